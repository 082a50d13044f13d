//! Several processes train a run together: what one does, and none goes on without the others.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod digits;
mod program;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use bauta_backbones::checkpoint::read_tensors;
use bauta_report::{MetricsLog, Summary};
use digits::{DECODER, Place, SMALL, words};

/// A port that nobody uses at present.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A recipe of images on the digits.
fn command(recipe: &str, set: &[&str], place: &Place, out: &str) -> Command {
    let set = words(&SMALL).into_iter().chain(words(&DECODER)).chain(words(set));
    let mut command = program::run(recipe, set, &place.path(out));
    command.arg("--set").arg(format!("data.root={}", place.path("data").display()));
    command
}

/// Starts it as one of several processes.
fn start_rank(mut command: Command, [rank, count]: [usize; 2], port: u16) -> Child {
    let set = [("RANK", rank), ("WORLD_SIZE", count), ("LOCAL_RANK", rank)];
    command.envs(set.map(|(name, value)| (name, value.to_string())));
    command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
    program::start(&mut command)
}

/// What a process that must fail says.
fn failure(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success(), "it went well");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn losses(run: &Path) -> Vec<f64> {
    let records = MetricsLog::read(&run.join("metrics.jsonl")).unwrap();
    records.iter().map(|record| record.loss).collect()
}

/// Holds losses and weights of two runs against each other. A bias of keys is left out: it
/// changes no attention, so its gradient is rounding alone, which Adam makes whole steps of.
fn same_training(one: &Path, other: &Path) {
    let [ours, theirs] = [one, other].map(losses);
    assert_eq!(ours.len(), theirs.len());
    for (step, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        // Rounding adds up over the steps.
        let allowed = if step < 20 { 1e-5 } else { 1e-4 };
        assert!((ours - theirs).abs() < allowed, "step {step}: loss {ours}, not {theirs}");
    }
    let weights = |run: &Path| read_tensors(&run.join("checkpoints/last/model.safetensors"));
    let [ours, theirs] = [one, other].map(|run| weights(run).unwrap());
    assert_eq!(ours.len(), theirs.len());
    for (name, tensor) in &ours {
        let apart = (tensor - &theirs[name]).abs();
        if name.ends_with("qkv.bias") {
            let third = apart.numel() as i64 / 3;
            let _ = apart.narrow(0, third, third).zero_();
        }
        let apart = apart.max().double_value(&[]);
        assert!(apart < 1e-5, "{name} is {apart} apart");
    }
}

const EACH_STEP: [&str; 3] = ["train.epochs=2", "train.log_every=1", "train.checkpoint_every=6"];

#[test]
fn two_processes_train_as_one_with_both_batches() {
    let place = Place::new();
    let alone = program::start(&mut command("mae-cifar10", &EACH_STEP, &place, "alone"));
    let port = free_port();
    let ranks = [1, 0]
        .map(|rank| start_rank(command("mae-cifar10", &EACH_STEP, &place, "two"), [rank, 2], port));
    ranks.into_iter().chain([alone]).for_each(program::finish);
    same_training(&place.path("two"), &place.path("alone"));
    let (set, port) = ([&EACH_STEP[..], &["train.shard_optimizer=true"]].concat(), free_port());
    let divided = |rank| start_rank(command("mae-cifar10", &set, &place, "div"), [rank, 2], port);
    [1, 0].map(divided).into_iter().for_each(program::finish);
    let files = ["model", "optimizer"].map(|name| format!("checkpoints/last/{name}.safetensors"));
    let files = files.each_ref().map(String::as_str);
    program::same_files(&place.path("two"), &place.path("div"), &files);
    assert_eq!(losses(&place.path("two")).len(), 24);
    let summary = Summary::read(&place.path("two/summary.json")).unwrap();
    assert_eq!((summary.processes, summary.train.samples), (2, 24 * 32));
    let report = std::fs::read_to_string(place.path("two/report.html")).unwrap();
    assert!(report.contains("each on its share of every batch"));
}

#[test]
fn features_that_two_processes_make_have_the_scores_of_one() {
    let place = Place::new();
    let set = |memory: &'static str| {
        ["eval.protocols=[\"knn\", \"linear\", \"few-shot\"]", "eval.baselines=true", memory]
    };
    let command = |memory, out: &str| command("mae-cifar10", &set(memory), &place, out);
    program::finish(program::start(&mut command("eval.features_in_memory=1000", "run")));
    let summary = || Summary::read(&place.path("run/summary.json")).unwrap();
    let alone = summary();
    assert!(alone.eval.len() > 2 && alone.baseline.len() > 4, "{alone:?}");
    for memory in ["eval.features_in_memory=1000", "eval.features_in_memory=0"] {
        std::fs::remove_file(place.path("run/summary.json")).unwrap();
        let port = free_port();
        let ranks = [1, 0].map(|rank| {
            let mut resumed = command(memory, "run");
            resumed.arg("--resume");
            start_rank(resumed, [rank, 2], port)
        });
        ranks.into_iter().for_each(program::finish);
        let two = summary();
        assert_eq!((&two.eval, &two.baseline), (&alone.eval, &alone.baseline), "{memory}");
        assert_eq!(two.processes, 2);
        let names = std::fs::read_dir(place.path("run")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| name.starts_with("features-")).count(), 0);
    }
}

#[test]
fn masks_and_scores_of_a_system_with_state_are_those_of_one_process() {
    let place = Place::new();
    let set = [
        "data.image_size=8",
        "tasks.count=2",
        "model.hidden=[48, 24]",
        "mask.density=0.3",
        "learning.weight_epochs=1",
        "learning.samples=50",
        "train.epochs=2",
        "train.batch_size=32",
        "train.device=cpu",
        "train.threads=1",
        "train.log_every=1",
    ];
    let command = |out: &str| {
        let mut command = program::run("exssnet-permuted-mnist", words(&set), &place.path(out));
        command.arg("--set").arg(format!("data.root={}", place.path("data").display()));
        command
    };
    let (alone, port) = (program::start(&mut command("alone")), free_port());
    let ranks = [1, 0].map(|rank| start_rank(command("two"), [rank, 2], port));
    ranks.into_iter().chain([alone]).for_each(program::finish);
    same_training(&place.path("two"), &place.path("alone"));
    let state =
        |run: &str| read_tensors(&place.path(run).join("checkpoints/last/state.safetensors"));
    let [one, two] = ["alone", "two"].map(|run| state(run).unwrap());
    assert!(!one.is_empty());
    for (name, tensor) in &one {
        assert!(two[name].allclose(tensor, 1e-5, 1e-5, true), "{name} differs");
    }
}

#[test]
fn one_that_is_killed_stops_the_other_and_one_goes_on_alone() {
    let place = Place::new();
    let long = ["train.epochs=60", "train.checkpoint_every=10", "train.shard_optimizer=true"];
    let port = free_port();
    let [rank_0, rank_1] = [0, 1]
        .map(|rank| start_rank(command("mae-cifar10", &long, &place, "run"), [rank, 2], port));
    program::kill_after(rank_1, &place.path("run/checkpoints/last/state.json"));
    let killed = Instant::now();
    let said = failure(rank_0);
    assert!(said.contains("rank 1 is gone"), "{said}");
    assert!(killed.elapsed() < Duration::from_secs(60));
    let mut resumed = command("mae-cifar10", &long, &place, "run");
    program::finish(program::start(resumed.arg("--resume")));
    assert_eq!(Summary::read(&place.path("run/summary.json")).unwrap().train.steps, 60 * 12);
}

#[test]
fn ranks_that_do_not_fit_together_are_refused_and_leave_nothing() {
    let place = Place::new();
    let port = free_port();
    let differ = [["seed=1"], ["seed=2"]].iter().enumerate();
    let differ: Vec<Child> = differ
        .map(|(rank, set)| start_rank(command("mae-cifar10", set, &place, "run"), [rank, 2], port))
        .collect();
    for child in differ {
        let said = failure(child);
        assert!(said.contains("rank 1 runs another recipe"), "{said}");
    }
    let mut lonely = command("mae-cifar10", &[], &place, "run");
    lonely.env("BAUTA_RANKS_TIMEOUT", "1");
    let said = failure(start_rank(lonely, [0, 3], free_port()));
    assert!(said.contains("rank 1, 2 did not come within 1 s"), "{said}");
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let said = failure(start_rank(command("mae-cifar10", &[], &place, "run"), [0, 2], port));
    assert!(said.contains("is in use"), "{said}");
    let odd = ["train.batch_size=33"];
    let port = free_port();
    let odd = [0, 1].map(|r| start_rank(command("mae-cifar10", &odd, &place, "run"), [r, 2], port));
    for child in odd {
        let said = failure(child);
        assert!(said.contains("multiple of the 2 processes"), "{said}");
    }
    assert!(!place.path("run").exists());
}
