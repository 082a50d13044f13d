//! Calls of cargo, with libtorch where plain cargo would find it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use cargo_metadata::Message;

use crate::workspace::Workspace;

/// A call of the cargo that runs this program, in the workspace's root.
///
/// `LIBTORCH` is what a plain `cargo build` would see: another spelling of the
/// same folder would make cargo build everything on libtorch again.
pub fn cargo(workspace: &Workspace, subcommand: &str) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.arg(subcommand).current_dir(&workspace.root);
    let link = workspace.libtorch_link();
    let folders = folders(&link, |name| std::env::var_os(name));
    let is_own = folders.iter().any(|(name, folder)| *name == "LIBTORCH" && *folder != link);
    if !is_python_meant(std::env::var_os("LIBTORCH_USE_PYTORCH").as_deref(), is_own) {
        command.env_remove("LIBTORCH_USE_PYTORCH");
    }
    command.envs(folders);
    command
}

/// Whether to link the active Python's torch: as in our own search, only `1` says so, and a libtorch
/// of the user's own comes first. torch-sys takes any value for a yes, and before `LIBTORCH`.
fn is_python_meant(variable: Option<&OsStr>, is_own: bool) -> bool {
    variable.is_some_and(|value| value == "1") && !is_own
}

/// The folders that variables name, for a program in another folder: a relative one is made
/// absolute, and an empty `LIBTORCH` counts as none, as for our own search. Others keep their
/// spelling.
fn folders(
    libtorch: &Path,
    value_of: impl Fn(&str) -> Option<OsString>,
) -> Vec<(&'static str, PathBuf)> {
    let named = |name| value_of(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut folders = vec![("LIBTORCH", named("LIBTORCH").unwrap_or_else(|| libtorch.to_owned()))];
    for name in ["BAUTA_DATA", "BAUTA_OCCT"] {
        folders.extend(named(name).map(|folder| (name, folder)));
    }
    for (_, folder) in folders.iter_mut().filter(|(_, folder)| folder.is_relative()) {
        if let Ok(absolute) = std::path::absolute(&*folder) {
            *folder = absolute;
        }
    }
    folders
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

/// Has `cargo build` build one program, optimised, and returns its path as cargo states it: the
/// folder depends on the user's own settings of cargo, such as `build.target`.
pub fn build_binary(command: &mut Command, program: &str) -> Result<PathBuf> {
    command.args(["--release", "--bin", program]);
    let shown = shown(command);
    // What people read, warnings included, still goes to standard error.
    command.arg("--message-format=json-render-diagnostics");
    command.stdin(Stdio::inherit()).stderr(Stdio::inherit());
    let output = command.output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` failed ({})", output.status);
    }
    for message in Message::parse_stream(&*output.stdout) {
        if let Message::CompilerArtifact(artifact) = message?
            && artifact.target.is_bin()
            && artifact.target.name == program
            && let Some(path) = artifact.executable
        {
            return Ok(path.into());
        }
    }
    bail!("`{shown}` does not say where the program is")
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
    use std::fs;

    use super::*;
    use crate::python::ask;

    #[test]
    fn named_folders_do_not_depend_on_where_cargo_runs() {
        let link = Path::new("/work space/.libtorch");
        let named = |pairs: &[(&'static str, &'static str)]| {
            folders(link, |name| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into())
            })
        };
        let current = std::env::current_dir().unwrap();
        assert_eq!(named(&[]), [("LIBTORCH", link.to_owned())]);
        let empty = named(&[("LIBTORCH", ""), ("BAUTA_DATA", "")]);
        assert_eq!(empty, [("LIBTORCH", link.to_owned())]);
        let relative =
            named(&[("LIBTORCH", "a b"), ("BAUTA_DATA", "data"), ("BAUTA_OCCT", "/o//")]);
        let wanted = [
            ("LIBTORCH", current.join("a b")),
            ("BAUTA_DATA", current.join("data")),
            ("BAUTA_OCCT", PathBuf::from("/o//")),
        ];
        assert_eq!(relative, wanted);
        assert_eq!(relative[2].1.as_os_str(), "/o//", "no other spelling");
    }

    #[test]
    fn the_libtorch_that_is_found_is_the_one_that_is_linked() {
        let meant = |value: Option<&str>, is_own| is_python_meant(value.map(OsStr::new), is_own);
        assert!(meant(Some("1"), false));
        assert!(!meant(Some("1"), true), "LIBTORCH comes first");
        for other in [None, Some(""), Some("0")] {
            assert!(!meant(other, false), "{other:?}");
        }
    }

    #[test]
    fn a_program_is_where_cargo_puts_it() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        fs::create_dir(root.join("src")).unwrap();
        let manifest = "[package]\nname = \"one\"\nedition = \"2024\"\n[workspace]\n";
        fs::write(root.join("Cargo.toml"), manifest).unwrap();
        fs::write(root.join("src/main.rs"), "fn main() {}\n").unwrap();
        let about = ask(Command::new("rustc").arg("-vV")).unwrap();
        let host = about.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let workspace = Workspace { root: root.to_owned() };
        let build = |program: &str| {
            build_binary(cargo(&workspace, "build").env("CARGO_BUILD_TARGET", host), program)
        };
        let program = build("one").unwrap();
        assert!(program.ends_with(format!("{host}/release/one")), "{}", program.display());
        assert!(Command::new(program).status().unwrap().success());
        let error = build("two").unwrap_err().to_string();
        assert!(error.starts_with("`cargo build --release --bin two` failed"), "{error}");
    }

    #[test]
    fn a_failure_shows_the_command_as_typed() {
        let mut command = Command::new("/usr/bin/false");
        command.args(["fmt", "--all"]);
        assert_eq!(shown(&command), "false fmt --all");
        let error = complete(Command::new("false").arg("--x")).unwrap_err().to_string();
        assert!(error.starts_with("`false --x` failed"), "{error}");
    }
}
