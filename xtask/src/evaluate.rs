//! `evaluate`: the data set that is named, then the program's command of that name.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use bauta_data::DatasetName;

use crate::data;
use crate::libtorch::Search;
use crate::program::{self, Arguments};
use crate::workspace::Workspace;

/// Fetches libtorch and the data set that the arguments name, and becomes the program.
///
/// The program knows the arguments and says what is wrong with them.
pub fn evaluate(workspace: &Workspace, arguments: Arguments) -> Result<ExitCode> {
    Search::new(workspace)?.find_or_fetch()?;
    if let Some(name) = to_fetch(&arguments.rest) {
        data::fetch(name)?;
    }
    program::program(workspace, "evaluate", arguments)
}

/// The data set of `--data`, unless `--root` says where it lies, or help is wanted.
fn to_fetch(arguments: &[OsString]) -> Option<DatasetName> {
    let given = |flag| value_of(arguments, flag).is_some();
    if given("--root") || arguments.iter().any(|argument| argument == "--help" || argument == "-h")
    {
        return None;
    }
    let name = value_of(arguments, "--data")?;
    DatasetName::ALL.into_iter().find(|known| known.name() == name)
}

/// The value of `--flag value` or `--flag=value`.
fn value_of<'a>(arguments: &'a [OsString], flag: &str) -> Option<&'a str> {
    let mut arguments = arguments.iter().filter_map(|argument| argument.to_str());
    while let Some(argument) = arguments.next() {
        if argument == flag {
            return arguments.next();
        }
        if let Some(value) = argument.strip_prefix(flag).and_then(|rest| rest.strip_prefix('=')) {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_data_are_fetched_unless_they_are_elsewhere() {
        let found = |line: &str| to_fetch(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        let model = "--model m --protocol knn";
        assert_eq!(found(&format!("{model} --data mnist")), Some(DatasetName::Mnist));
        assert_eq!(found(&format!("{model} --data=cifar10 --seed 1")), Some(DatasetName::Cifar10));
        for elsewhere in ["--data mnist --root d", "--data=mnist --root=d", "--data mnist --help"] {
            assert_eq!(found(elsewhere), None, "{elsewhere}");
        }
        for unknown in ["", "--data", "--data emnist", "--database mnist"] {
            assert_eq!(found(unknown), None, "{unknown}");
        }
    }
}
