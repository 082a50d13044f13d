//! Commands of the training program, such as `forward`, `import`, `finetune` and `segment`, after
//! any missing set-up.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use bauta_datasets::DatasetName;
use bauta_datasets::video::ClipDataset;
use clap::Args;

use crate::data;
use crate::run::Bauta;
use crate::workspace::Workspace;

/// The arguments that are passed on; the program explains them itself.
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

/// The same for a command with `--data NAME`: a data set that is missing is fetched, unless a
/// folder of the user's is named. If no data set that can be fetched is named, the command reads
/// those in `otherwise`.
///
/// The program knows the arguments and reports mistakes in them.
pub fn with_data(
    workspace: &Workspace,
    command: &str,
    arguments: Arguments,
    otherwise: &[DatasetName],
) -> Result<ExitCode> {
    for name in to_fetch(&arguments.rest, otherwise) {
        data::fetch(name)?;
    }
    let words = readable(&arguments.rest);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let Some(Ok(videos)) = value_of(&words, "--data").map(str::parse::<ClipDataset>)
        && !asks_for_help(&words)
    {
        data::fetch_videos(videos, is_elsewhere(&words))?;
    }
    program(workspace, command, arguments)
}

/// Has the program draw reconstructions, after fetching ffmpeg if a video is named.
pub fn reconstruct(workspace: &Workspace, arguments: Arguments) -> Result<ExitCode> {
    let words = readable(&arguments.rest);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if value_of(&words, "--video").is_some() && !asks_for_help(&words) {
        data::fetch_ffmpeg()?;
    }
    program(workspace, "reconstruct", arguments)
}

/// The data sets of `--data`, unless `--root` or `data.root` says where they lie, or help is
/// requested.
fn to_fetch(arguments: &[OsString], otherwise: &[DatasetName]) -> Vec<DatasetName> {
    let words = readable(arguments);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if is_elsewhere(&words) {
        return Vec::new();
    }
    match value_of(&words, "--data") {
        Some(name) => name.parse().into_iter().collect(),
        None => otherwise.to_vec(),
    }
}

/// The arguments as words, each of them: a path that is not UTF-8 is still the value of its flag.
fn readable(arguments: &[OsString]) -> Vec<String> {
    arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// Whether a folder of the user's is named, or only help is requested.
fn is_elsewhere(words: &[&str]) -> bool {
    let is_root = |word: &&str| word.trim_start_matches("--set=").starts_with("data.root=");
    let named = words.iter().any(is_root) || value_of(words, "--root").is_some();
    named || asks_for_help(words)
}

fn asks_for_help(words: &[&str]) -> bool {
    words.iter().any(|word| matches!(*word, "--help" | "-h"))
}

/// The value of `--flag value` or `--flag=value`.
fn value_of<'a>(words: &[&'a str], flag: &str) -> Option<&'a str> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if *word == flag {
            return words.next().copied();
        }
        if let Some(value) = word.strip_prefix(flag).and_then(|rest| rest.strip_prefix('=')) {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn the_named_data_are_fetched_unless_they_are_elsewhere() {
        let found =
            |line: &str| to_fetch(&line.split(' ').map(OsString::from).collect::<Vec<_>>(), &[]);
        let model = "--model m --protocol knn";
        assert_eq!(found(&format!("{model} --data mnist")), [DatasetName::Mnist]);
        assert_eq!(found(&format!("{model} --data=cifar10 --seed 1")), [DatasetName::Cifar10]);
        for elsewhere in [
            "--data mnist --root d",
            "--data=mnist --root=d",
            "--data mnist --help",
            "--data mnist --set data.root=d",
            "--data mnist --set=data.root=d",
        ] {
            assert_eq!(found(elsewhere), [], "{elsewhere}");
        }
        let latin = OsString::from_vec(b"photos/caf\xe9".to_vec());
        let line = ["--data", "mnist", "--root"].map(OsString::from);
        assert_eq!(to_fetch(&[&line[..], &[latin]].concat(), &[]), [], "a path is not text");
        for unknown in ["", "--data", "--data emnist", "--database mnist"] {
            assert_eq!(found(unknown), [], "{unknown}");
        }
    }

    #[test]
    fn what_a_command_reads_by_itself_is_fetched_unless_it_reads_something_else() {
        let both = [DatasetName::Mnist, DatasetName::Cifar10];
        let found =
            |line: &str| to_fetch(&line.split(' ').map(OsString::from).collect::<Vec<_>>(), &both);
        assert_eq!(found("--model m"), both);
        assert_eq!(found("--model m --data coco --root d"), []);
    }
}
