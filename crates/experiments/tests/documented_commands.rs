//! The program understands its commands that the book tells readers to type.

#[path = "../../../xtask/src/docs/commands.rs"]
mod commands;

use std::path::Path;

use bauta_experiments::commands::Arguments;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use commands::documented;

/// Commands of `cargo xtask` that are not passed on to the program unchanged.
const XTASKS_OWN: [&str; 3] = ["run", "reproduce", "throughput"];

#[test]
fn every_command_of_the_book_is_understood() {
    let program = Arguments::command();
    let known: Vec<&str> = program.get_subcommands().map(|command| command.get_name()).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let mut checked = 0;
    for command in documented(&root) {
        let name = command.words[0].as_str();
        if XTASKS_OWN.contains(&name) || !known.contains(&name) {
            continue;
        }
        checked += 1;
        match Arguments::try_parse_from(["bauta".to_owned()].iter().chain(&command.words)) {
            Ok(_) => {}
            Err(error)
                if error.kind() == ErrorKind::DisplayHelp
                    || (!command.whole && error.kind() == ErrorKind::MissingRequiredArgument) => {}
            Err(error) => panic!("{}: {error}", command.place),
        }
    }
    assert!(checked > 10, "only {checked} commands were found");
}
