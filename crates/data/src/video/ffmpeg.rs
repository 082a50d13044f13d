//! An ffmpeg program: where it is found, and how it is run and ended.
//!
//! It is run once for each look into a file. What it writes is taken as it comes, so no more
//! than a few frames of it wait in memory; and it is killed and waited for when nobody wants
//! the rest, when it gives nothing for a minute, or when it writes what cannot be read.

mod decode;
mod log;
mod ppm;
mod probe;
mod process;
mod sound;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(super) use self::decode::{Decode, decode};
pub use self::probe::VideoInfo;
use crate::error::DataError;
use crate::fetch::{PACKAGES, Package, locate};
use crate::prefetch::Cancel;
use crate::regular::is_regular;

/// An ffmpeg program that was found and answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ffmpeg {
    program: PathBuf,
}

impl Ffmpeg {
    /// Finds the program: `BAUTA_FFMPEG` if that is set, else `ffmpeg` on the `PATH`, else the
    /// one that was fetched into the folder `cache`.
    ///
    /// Only binaries and tests should ask the environment; a library is told, by [`Self::at`].
    ///
    /// # Errors
    /// [`DataError::ClientMissing`] when there is none, [`DataError::ClientFailed`] when what
    /// `BAUTA_FFMPEG` names is none.
    pub fn find(cache: &Path) -> Result<Self, DataError> {
        let named = std::env::var_os("BAUTA_FFMPEG").filter(|named| !named.is_empty());
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self::among(named, &path, cache)
    }

    fn among(named: Option<OsString>, path: &OsStr, cache: &Path) -> Result<Self, DataError> {
        if let Some(named) = named {
            return Self::at(named);
        }
        let name = format!("ffmpeg{}", std::env::consts::EXE_SUFFIX);
        let on_path = std::env::split_paths(path).map(|folder| folder.join(&name));
        let package = Self::package();
        let fetched = locate(package, cache).map(|folder| folder.join(package.proof.files()[0].0));
        // One on the path that does not answer need not be the last word.
        let mut found = on_path.filter(|program| is_regular(program)).chain(fetched);
        found.find_map(|program| Self::at(program).ok()).ok_or_else(|| DataError::ClientMissing {
            client: "ffmpeg".to_owned(),
            remedy: "run `cargo xtask data fetch ffmpeg`, install it, or set BAUTA_FFMPEG to the \
                     program"
                .to_owned(),
        })
    }

    /// Takes a program that is known.
    ///
    /// # Errors
    /// [`DataError::ClientFailed`] when it cannot be run or is no ffmpeg.
    pub fn at(program: impl Into<PathBuf>) -> Result<Self, DataError> {
        let program = program.into();
        let mut command = Command::new(&program);
        command.arg("-version").stdin(Stdio::null()).stderr(Stdio::null());
        let refuse = |reason: String| DataError::ClientFailed {
            command: format!("{} -version", program.display()),
            reason,
        };
        let output = command.output().map_err(|error| refuse(error.to_string()))?;
        if !output.status.success() || !output.stdout.starts_with(b"ffmpeg version") {
            return Err(refuse("it does not say that it is ffmpeg".to_owned()));
        }
        Ok(Self { program })
    }

    /// The package that brings the program.
    pub fn package() -> &'static Package {
        PACKAGES.iter().find(|package| package.name == "ffmpeg").expect("it is in the table")
    }

    /// Where the program lies.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Looks into a file: how many frames it has and when, how large, and whether it sounds.
    ///
    /// The whole file is read, and nothing decoded.
    ///
    /// # Errors
    /// [`DataError::Video`] when it is no video, has no frames, or is cut off.
    pub fn probe(&self, path: &Path) -> Result<VideoInfo, DataError> {
        self.probe_until(path, &Cancel::default())
    }

    pub(super) fn probe_until(&self, path: &Path, cancel: &Cancel) -> Result<VideoInfo, DataError> {
        probe::probe(self, path, cancel)
            .map_err(|problem| DataError::Video { video: path.display().to_string(), problem })
    }

    /// The beginning of a command that reads a file: no questions, no colours, and each
    /// message with its level; pictures alone are taken.
    fn reading(&self, path: &Path, before: &[String]) -> Command {
        let mut command = self.opening(path, before);
        command.args(["-an", "-sn", "-dn"]);
        command
    }

    /// The same, with whatever streams the file has.
    fn opening(&self, path: &Path, before: &[String]) -> Command {
        // A path may look like an option or an address; a playlist may name addresses.
        let mut file = OsString::from("file:");
        file.push(path);
        let mut command = Command::new(&self.program);
        command
            .args(["-hide_banner", "-nostdin", "-nostats", "-v", "level+info"])
            .args(["-protocol_whitelist", "file"])
            .args(before)
            .arg("-i")
            .arg(file)
            .env("LC_ALL", "C")
            .env("AV_LOG_FORCE_NOCOLOR", "1");
        command
    }
}

#[cfg(test)]
pub(super) mod tests;
