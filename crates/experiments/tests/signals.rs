//! A hangup ends a run at a checkpoint, unless nohup started it; a closed log ends none.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod digits;
mod program;

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use digits::{DECODER, Place, SMALL, words};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use program::{failure, finish, start};

/// A run of a few seconds in the folder `out`.
fn command(place: &Place, out: &str) -> Command {
    let long = words(&["train.epochs=25", "train.checkpoint_every=20", "eval.every=5"]);
    let set = words(&SMALL).into_iter().chain(words(&DECODER)).chain(long);
    let mut command = program::run("mae-cifar10", set, &place.path(out));
    command.arg("--set").arg(format!("data.root={}", place.path("data").display()));
    command
}

/// Waits for a checkpoint in the folder `out`.
fn wait_for_checkpoint(child: &mut Child, place: &Place, out: &str) {
    let (checkpoint, begun) = (place.path(out).join("checkpoints/last"), Instant::now());
    while !checkpoint.exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before its checkpoint");
        assert!(begun.elapsed() < Duration::from_secs(120), "no checkpoint");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for a checkpoint in the folder `out`, and closes the terminal, as it seems to the run.
fn hang_up(child: &mut Child, place: &Place, out: &str) {
    wait_for_checkpoint(child, place, out);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGHUP).unwrap();
}

#[test]
fn a_hangup_stops_a_run_but_not_under_nohup() {
    let place = Place::new();
    // The tests themselves may run under nohup.
    let plain = command(&place, "plain");
    let mut env = Command::new("env");
    env.arg("--default-signal=HUP").arg(plain.get_program()).args(plain.get_args());
    let mut child = start(&mut env);
    hang_up(&mut child, &place, "plain");
    let said = failure(child);
    assert!(said.contains("go on with the same command and --resume"), "{said}");

    let plain = command(&place, "nohup");
    let mut nohup = Command::new("nohup");
    nohup.arg(plain.get_program()).args(plain.get_args());
    let mut child = start(&mut nohup);
    hang_up(&mut child, &place, "nohup");
    finish(child);
    assert!(place.path("nohup/summary.json").is_file());
}

/// SLURM sends SIGTERM twice within milliseconds when it preempts a job.
#[test]
fn one_stop_can_be_asked_for_by_two_signals() {
    let place = Place::new();
    let mut child = start(&mut command(&place, "twice"));
    wait_for_checkpoint(&mut child, &place, "twice");
    let pid = Pid::from_raw(child.id() as i32);
    for _ in 0..2 {
        kill(pid, Signal::SIGTERM).unwrap();
        std::thread::sleep(Duration::from_millis(10));
    }
    let said = failure(child);
    assert!(said.contains("go on with the same command and --resume"), "{said}");
}

/// As in `bauta run … 2>&1 | head -1`.
#[test]
fn a_run_goes_on_when_nobody_reads_its_messages() {
    let place = Place::new();
    let mut child = start(&mut command(&place, "unread"));
    drop(child.stderr.take());
    assert!(child.wait().unwrap().success());
    assert!(place.path("unread/summary.json").is_file());
}
