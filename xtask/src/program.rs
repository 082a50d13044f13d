//! `forward`, `import`, `export`, `segment`, `detect`: commands of the training program, after
//! whatever set-up is missing.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::run::Bauta;
use crate::workspace::Workspace;

/// What is handed on; the program explains its own arguments.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    /// See `cargo xtask COMMAND --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

/// Builds the program and becomes it.
pub fn program(workspace: &Workspace, command: &str, arguments: Arguments) -> Result<ExitCode> {
    let mut command = Bauta::build(workspace)?.command(command);
    command.args(arguments.rest);
    Bauta::become_it(command)
}
