//! Commands of the training program, such as `forward`, `import`, `finetune` and
//! `segment`, after whatever set-up is missing.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use bauta_data::DatasetName;
use clap::Args;

use crate::data;
use crate::run::Bauta;
use crate::workspace::Workspace;

/// What is handed on; the program explains its own arguments.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    /// See `cargo xtask COMMAND --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub rest: Vec<OsString>,
}

/// Builds the program and becomes it.
pub fn program(workspace: &Workspace, command: &str, arguments: Arguments) -> Result<ExitCode> {
    let mut command = Bauta::build(workspace)?.command(command);
    command.args(arguments.rest);
    Bauta::become_it(command)
}

/// The same for a command with `--data NAME`: a data set that is missing is fetched,
/// unless a folder of the user's is named.
pub fn with_data(workspace: &Workspace, command: &str, arguments: Arguments) -> Result<ExitCode> {
    let words: Vec<&str> = arguments.rest.iter().filter_map(|word| word.to_str()).collect();
    let own_folder =
        words.iter().any(|word| word.trim_start_matches("--set=").starts_with("data.root="));
    if let Some(name) = dataset(&words).filter(|_| !own_folder) {
        data::fetch(name)?;
    }
    program(workspace, command, arguments)
}

/// The data set named by `--data NAME` or `--data=NAME`; a name that is not known is
/// for the program to refuse.
fn dataset(words: &[&str]) -> Option<DatasetName> {
    let place = words.iter().position(|word| *word == "--data" || word.starts_with("--data="))?;
    let name = words[place].strip_prefix("--data=").or(words.get(place + 1).copied())?;
    DatasetName::ALL.into_iter().find(|known| known.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_set_is_found_among_the_arguments() {
        let mnist = Some(DatasetName::Mnist);
        assert_eq!(dataset(&["--model", "m", "--data", "mnist", "--json", "f"]), mnist);
        assert_eq!(dataset(&["--data=mnist"]), mnist);
        for words in [&["--help"][..], &["--data"], &["--data", "imagenet"]] {
            assert_eq!(dataset(words), None, "{words:?}");
        }
    }
}
