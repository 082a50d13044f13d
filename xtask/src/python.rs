//! Python environments in the user's cache, one for each file of requirements.
//!
//! Only comparisons with Python programs need one; set-up, runs and tests do not.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::pip::{Pip, progress_bar};
use crate::staging::{Staging, check_disk, lock, move_into_place};
use crate::{bytes, workspace};

const PIP: Pip = Pip {
    what: "the Python environment",
    instead: "set BAUTA_PYTHON to a Python with the required packages",
};

/// Bytes to download and bytes unpacked: torch with its CUDA packages is nearly all of it.
const BYTES: [u64; 2] = [2_300_000_000, 3_900_000_000];

/// Returns a Python that has the packages in a file of requirements.
///
/// This is the one that `BAUTA_PYTHON` names, or a virtual environment in the cache, created when
/// it is first needed and then used offline. Its name holds the hash of the file: other
/// requirements give another environment.
pub fn environment(requirements: &Path) -> Result<PathBuf> {
    if let Some(python) = std::env::var_os("BAUTA_PYTHON").filter(|python| !python.is_empty()) {
        return Ok(python.into());
    }
    let text = fs::read(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let target = workspace::cache()?.join(format!("python-{}", key(&text)));
    let python = target.join("bin/python3");
    if works(&python) {
        return Ok(python);
    }
    let parent = target.parent().context("the cache folder has a parent")?;
    let [download, unpacked] = BYTES;
    PIP.check()?;
    check_disk(PIP.what, parent, download + unpacked)?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let _lock = lock(&target.with_added_extension("lock"), PIP.what)?;
    if works(&python) {
        return Ok(python); // Another process has made it meanwhile.
    }
    eprintln!(
        "Making a Python environment of {}: about {} to download, {} unpacked in {}",
        requirements.display(),
        bytes::show(download),
        bytes::show(unpacked),
        target.display()
    );
    make(requirements, &target)?;
    Ok(python)
}

/// Creates the environment next to `target` and moves it there when it is complete.
fn make(requirements: &Path, target: &Path) -> Result<()> {
    let staging = Staging::new(target.with_added_extension("partial"))?;
    let made = staging.0.join("environment");
    // It has no pip of its own: the system's pip installs into it, and it never changes later.
    ask(Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&made))?;
    let purelib = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let site = ask(Command::new(made.join("bin/python3")).args(["-c", purelib]))?;
    let bar = progress_bar(BYTES.iter().sum())?;
    let file = std::path::absolute(requirements)?.to_string_lossy().into_owned();
    let arguments = ["--no-deps".to_owned(), "-r".to_owned(), file];
    PIP.install(&staging.0, Path::new(&site), &bar, &arguments)?;
    bar.finish_and_clear();
    move_into_place(&made, target)
}

/// Runs a program to its end and returns its output.
pub fn ask(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} failed: {}", said.lines().last().unwrap_or("no message"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether a Python exists, still works, and looks for packages where they were installed: all of
/// that requires the version of Python that created it.
fn works(python: &Path) -> bool {
    let look = "import os, sysconfig; os.listdir(sysconfig.get_path('purelib'))";
    python.exists() && ask(Command::new(python).args(["-c", look])).is_ok()
}

/// The first 16 hexadecimal digits of the SHA-256.
fn key(text: &[u8]) -> String {
    Sha256::digest(text).iter().take(8).fold(String::new(), |mut key, byte| {
        let _ = write!(key, "{byte:02x}");
        key
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_requirements_are_another_environment() {
        assert_eq!(key(b"abc"), "ba7816bf8f01cfea");
        assert_ne!(key(b"torch==2.11.0\n"), key(b"torch==2.11.1\n"));
    }

    #[test]
    fn an_environment_without_packages_is_made_whole_and_works() {
        let scratch = tempfile::tempdir().unwrap();
        let requirements = scratch.path().join("requirements.txt");
        fs::write(&requirements, "# nothing\n").unwrap();
        let target = scratch.path().join("python-0");
        make(&requirements, &target).unwrap();
        assert!(works(&target.join("bin/python3")));
        assert!(!scratch.path().join("python-0.partial").exists());
        assert!(!works(&scratch.path().join("python-1/bin/python3")));
        // As after an upgrade of the system: another version has its packages elsewhere.
        fs::rename(target.join("lib"), target.join("lib of another version")).unwrap();
        assert!(!works(&target.join("bin/python3")));
    }
}
