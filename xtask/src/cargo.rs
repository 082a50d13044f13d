//! Calls of cargo, with libtorch where plain cargo would find it.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// A call of the cargo that runs this program, in the workspace's root.
///
/// `LIBTORCH` is what a plain `cargo build` would see: another spelling of the
/// same folder would make cargo build everything on libtorch again.
pub fn cargo(workspace: &Workspace, subcommand: &str) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.arg(subcommand).current_dir(&workspace.root);
    if std::env::var_os("LIBTORCH").is_none() {
        command.env("LIBTORCH", workspace.libtorch_link());
    }
    command
}

/// Runs a command to its end; its own output says what went wrong.
pub fn complete(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// The command as a user would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// `LD_LIBRARY_PATH` with libtorch's libraries first.
pub fn library_path(libtorch: &Path) -> OsString {
    let mut path = libtorch.join("lib").into_os_string();
    if let Some(rest) = std::env::var_os("LD_LIBRARY_PATH").filter(|rest| !rest.is_empty()) {
        path.push(":");
        path.push(rest);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_command_as_typed() {
        let mut command = Command::new("/usr/bin/false");
        command.args(["fmt", "--all"]);
        assert_eq!(shown(&command), "false fmt --all");
        let error = complete(Command::new("false").arg("--x")).unwrap_err().to_string();
        assert!(error.starts_with("`false --x` failed"), "{error}");
    }
}
