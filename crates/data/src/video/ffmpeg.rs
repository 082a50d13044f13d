//! An ffmpeg program: how it is run and ended.
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

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use bauta_datasets::DataError;
use bauta_datasets::video::{check_ffmpeg, find_ffmpeg};

pub(super) use self::decode::{Decode, decode};
pub use self::probe::VideoInfo;
use crate::prefetch::Cancel;

/// An ffmpeg program that was found and answers.
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

    /// Takes a program that is known.
    ///
    /// # Errors
    /// [`DataError::ClientFailed`] when it cannot be run or is no ffmpeg.
    pub fn at(program: impl Into<PathBuf>) -> Result<Self, DataError> {
        let program = program.into();
        check_ffmpeg(&program)?;
        Ok(Self { program })
    }

    /// Where the program lies.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Probes a file: its frames and their times, its size, and whether it has sound.
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
