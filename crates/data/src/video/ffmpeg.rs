//! Running and ending an ffmpeg program.
//!
//! It is run once for each access to a file. Its output is consumed as it arrives, so only a few
//! frames of it wait in memory. It is killed and waited for when nobody wants the rest, when it
//! produces no output for a minute, or when its output cannot be read.

mod decode;
mod log;
mod ppm;
mod probe;
mod process;
mod sound;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use bauta_datasets::DataError;
use bauta_datasets::video::{check_ffmpeg, find_ffmpeg};

pub(super) use self::decode::{Decode, decode};
pub use self::probe::VideoInfo;
use crate::prefetch::Cancel;

/// An ffmpeg program that was found and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ffmpeg {
    program: PathBuf,
}

impl Ffmpeg {
    /// Finds the program, as [`find_ffmpeg`] does.
    ///
    /// # Errors
    /// As [`find_ffmpeg`].
    pub fn find(cache: &Path) -> Result<Self, DataError> {
        Ok(Self { program: find_ffmpeg(cache)? })
    }

    /// Uses a known program.
    ///
    /// # Errors
    /// [`DataError::ClientFailed`] when it cannot be run or is not ffmpeg.
    pub fn at(program: impl Into<PathBuf>) -> Result<Self, DataError> {
        let program = program.into();
        check_ffmpeg(&program)?;
        Ok(Self { program })
    }

    /// Path of the program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Probes a file: its frames and their times, its size, and whether it has sound.
    ///
    /// The whole file is read, but nothing is decoded.
    ///
    /// # Errors
    /// [`DataError::Video`] when it is not a video, has no frames, or is truncated.
    pub fn probe(&self, path: &Path) -> Result<VideoInfo, DataError> {
        self.probe_until(path, &Cancel::default())
    }

    pub(super) fn probe_until(&self, path: &Path, cancel: &Cancel) -> Result<VideoInfo, DataError> {
        probe::probe(self, path, cancel)
            .map_err(|problem| DataError::Video { video: path.display().to_string(), problem })
    }

    /// The start of a command that reads a file: no questions, no colours, and each message with
    /// its level; only pictures are read.
    fn reading(&self, path: &Path, before: &[String]) -> Command {
        let mut command = self.opening(path, before);
        command.args(["-an", "-sn", "-dn"]);
        command
    }

    /// The same, with all streams of the file.
    fn opening(&self, path: &Path, before: &[String]) -> Command {
        // A path can look like an option or an address; a playlist can name addresses.
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
