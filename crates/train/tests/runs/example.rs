//! The committed example, run as a user would run it: killed, and started again.

use std::path::{Path, PathBuf};
use std::process::Command;

use bauta_report::MetricsLog;
use bauta_train::Progress;

use super::toy::assert_same;

/// The example's program, which cargo builds with the tests.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("examples/own_objective");
    assert!(program.is_file(), "build it with `cargo test -p bauta-train --examples`");
    program
}

fn train(folder: &Path, arguments: &[&str]) -> Option<i32> {
    Command::new(program()).arg(folder).args(arguments).status().unwrap().code()
}

#[test]
fn it_learns_and_a_killed_run_ends_with_the_same_bytes() {
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(train(whole.path(), &[]), Some(0));
    assert_eq!(train(killed.path(), &["53"]), Some(9));
    let standing = Progress::read(&killed.path().join("checkpoints/last")).unwrap();
    assert_eq!((standing.phase.as_str(), standing.step), ("cleaning", 40));
    assert_eq!(train(killed.path(), &[]), Some(0));
    assert_same(killed.path(), whole.path(), "killed at 53");
    let log = MetricsLog::read(&whole.path().join("metrics.jsonl")).unwrap();
    assert!(log[log.len() - 1].loss < 0.25 * log[0].loss, "{log:?}");
}
