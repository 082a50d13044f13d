//! Locates an ffmpeg program.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::DataError;
use crate::fetch::{PACKAGES, Package, locate};

/// The package that contains an ffmpeg program.
pub fn ffmpeg_package() -> &'static Package {
    PACKAGES.iter().find(|package| package.name == "ffmpeg").expect("it is in the table")
}

/// Finds an ffmpeg program: `BAUTA_FFMPEG` if that is set, otherwise `ffmpeg` on the `PATH`,
/// otherwise the one fetched into the folder `cache`.
///
/// Only binaries and tests should read the environment; libraries take the program's path as an
/// argument.
///
/// # Errors
/// [`DataError::ClientMissing`] when there is none, [`DataError::ClientFailed`] when `BAUTA_FFMPEG`
/// names a program that is not ffmpeg.
pub fn find_ffmpeg(cache: &Path) -> Result<PathBuf, DataError> {
    let named = std::env::var_os("BAUTA_FFMPEG").filter(|named| !named.is_empty());
    let path = std::env::var_os("PATH").unwrap_or_default();
    among(named, &path, cache)
}

fn among(named: Option<OsString>, path: &OsStr, cache: &Path) -> Result<PathBuf, DataError> {
    if let Some(named) = named {
        let named = PathBuf::from(named);
        return check_ffmpeg(&named).map(|()| named);
    }
    let name = format!("ffmpeg{}", std::env::consts::EXE_SUFFIX);
    let on_path = std::env::split_paths(path).map(|folder| folder.join(&name));
    let package = ffmpeg_package();
    let fetched = locate(package, cache).map(|folder| folder.join(package.proof.files()[0].0));
    // If one on the path does not answer, the next is tried.
    let mut found = on_path.filter(|program| program.is_file()).chain(fetched);
    found.find(|program| check_ffmpeg(program).is_ok()).ok_or_else(|| DataError::ClientMissing {
        client: "ffmpeg".to_owned(),
        remedy: "run `cargo xtask data fetch ffmpeg`, install it, or set BAUTA_FFMPEG to the \
                 program"
            .to_owned(),
    })
}

/// Runs a program to check that it is ffmpeg.
///
/// # Errors
/// [`DataError::ClientFailed`] when it cannot be run or is not ffmpeg.
pub fn check_ffmpeg(program: &Path) -> Result<(), DataError> {
    let mut command = Command::new(program);
    command.arg("-version").stdin(Stdio::null()).stderr(Stdio::null());
    let refuse = |reason: String| DataError::ClientFailed {
        command: format!("{} -version", program.display()),
        reason,
    };
    let output = command.output().map_err(|error| refuse(error.to_string()))?;
    if !output.status.success() || !output.stdout.starts_with(b"ffmpeg version") {
        return Err(refuse("it does not identify itself as ffmpeg".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Writes a program that identifies itself as ffmpeg.
    ///
    /// Another process writes it: if a thread of this one forked while the script was open for
    /// writing, the script could not be run.
    fn program(folder: &Path) -> PathBuf {
        let path = folder.join("ffmpeg");
        let script = "printf '#!/bin/sh\\necho ffmpeg version 0\\n' > \"$0\" && chmod +x \"$0\"";
        assert!(Command::new("sh").arg("-c").arg(script).arg(&path).status().unwrap().success());
        path
    }

    #[test]
    fn programs_are_found_in_order_and_only_those_that_answer() {
        let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let [named, on_path, wrong] = [0, 1, 2].map(|at| folders[at].path());
        let good = program(named);
        program(on_path);
        fs::write(wrong.join("ffmpeg"), "no program").unwrap();
        let cache = tempfile::tempdir().unwrap();
        let path = std::env::join_paths([wrong, on_path]).unwrap();
        let find = |named: Option<&Path>, path: &OsStr| {
            let named = named.map(|named| named.as_os_str().to_owned());
            among(named, path, cache.path())
        };
        assert_eq!(find(Some(&good), &path).unwrap(), good);
        assert_eq!(find(None, &path).unwrap(), on_path.join("ffmpeg"));
        let error = find(None, wrong.as_os_str()).unwrap_err().to_string();
        assert!(error.contains("ffmpeg is not installed; run `cargo xtask data fetch ffmpeg`"));
        // A named program must be ffmpeg; nothing else is used in its place.
        let error = find(Some(&wrong.join("ffmpeg")), &path).unwrap_err().to_string();
        assert!(error.contains("ffmpeg -version` failed"), "{error}");
        let error = find(Some(Path::new("/bin/true")), &path).unwrap_err().to_string();
        assert!(error.contains("does not identify itself as ffmpeg"), "{error}");
        // The fetched program comes last.
        let package = ffmpeg_package();
        let place = cache.path().join(package.name);
        fs::create_dir(&place).unwrap();
        assert!(find(None, OsStr::new("")).is_err(), "an empty folder is no package");
    }
}
