//! `prepare-video`: a folder of videos into frame shards, once, after ffmpeg is found or fetched.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo::{build_binary, cargo};
use crate::data::fetch_ffmpeg;
use crate::program::Arguments;
use crate::run::Bauta;
use crate::workspace::Workspace;

/// Builds the program, which links no libtorch, and becomes it.
pub fn prepare_video(workspace: &Workspace, arguments: Arguments) -> Result<ExitCode> {
    let name = "prepare-video";
    let mut command = cargo(workspace, "build");
    let program =
        build_binary(command.args(["--package", "bauta-data", "--features", name]), name)?;
    if !arguments.rest.iter().any(|word| word == "--help" || word == "-h") {
        fetch_ffmpeg()?;
    }
    let mut command = Command::new(program);
    command.args(arguments.rest);
    Bauta::become_it(command)
}
