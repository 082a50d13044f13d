//! Several processes train a run together, with the same result as one; none continues alone.

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
use program::{failure, free_port, start_rank};

/// A recipe of images on the digits.
fn command(recipe: &str, set: &[&str], place: &Place, out: &str) -> Command {
    let set = words(&SMALL).into_iter().chain(words(&DECODER)).chain(words(set));
    let mut command = program::run(recipe, set, &place.path(out));
    command.arg("--set").arg(format!("data.root={}", place.path("data").display()));
    command
}

fn losses(run: &Path) -> Vec<f64> {
    let records = MetricsLog::read(&run.join("metrics.jsonl")).unwrap();
    records.iter().map(|record| record.loss).collect()
}

/// Trains into `alone` with one process and into `two` with two, which must be the same training.
fn same_alone_and_on_two(place: &Place, command: impl Fn(&str) -> Command) {
    let (alone, port) = (program::start(&mut command("alone")), free_port());
    let ranks = [1, 0].map(|rank| start_rank(command("two"), [rank, 2], port));
    ranks.into_iter().chain([alone]).for_each(program::finish);
    same_training(&place.path("two"), &place.path("alone"));
}

/// Compares losses and weights of two runs. The biases of keys are left out: they do not change the
/// attention, so their gradients are only rounding, from which Adam makes full steps.
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
    same_alone_and_on_two(&place, command);
    let state =
        |run: &str| read_tensors(&place.path(run).join("checkpoints/last/state.safetensors"));
    let [one, two] = ["alone", "two"].map(|run| state(run).unwrap());
    assert!(!one.is_empty());
    for (name, tensor) in &one {
        assert!(two[name].allclose(tensor, 1e-5, 1e-5, true), "{name} differs");
    }
}

/// No batch statistics are used, so the run is that of one process except for rounding.
#[test]
fn policies_and_the_classifiers_that_they_direct_are_those_of_one_process() {
    let place = Place::new();
    let set = [
        "data.tree={ labels = 8, documents = 600 }",
        "model.ids=256",
        "model.dim=8",
        "model.hidden=8",
        "policies.hidden=8",
        "policies.window=7",
        "policies.episodes=1",
        "policies.batch_size=32",
        "train.epochs=2",
        "train.batch_size=16",
        "train.warmup_epochs=0.1",
        "train.device=cpu",
        "train.threads=1",
        "train.log_every=1",
        "eval.documents=5",
    ];
    let command = |out: &str| program::run("multilabel-tree", words(&set), &place.path(out));
    same_alone_and_on_two(&place, command);
    let [learnt, alone] = ["two", "alone"].map(|run| {
        read_tensors(&place.path(run).join("checkpoints/learn-1/model.safetensors")).unwrap()
    });
    for name in ["meta.policy.weights", "meta.policy.thresholds"] {
        assert!(learnt[name].allclose(&alone[name], 1e-5, 1e-5, false), "{name} differs");
        assert!(learnt[name].std(false).double_value(&[]) > 1e-3, "nothing was learnt: {name}");
    }
    let [two, alone] =
        ["two", "alone"].map(|run| Summary::read(&place.path(run).join("summary.json")).unwrap());
    assert_eq!((two.processes, two.train.samples), (2, alone.train.samples));
    assert!((two.eval["micro_f1"] - alone.eval["micro_f1"]).abs() < 1e-3);
}

/// Batch statistics are per rank, so a run of one process is not comparable; ranks that shard the
/// optimiser have the same bits as ranks that do not.
#[test]
fn subnetworks_of_a_residual_network_are_the_same_on_all_ranks() {
    let place = Place::new();
    let set = [
        "data.name=mnist",
        "data.image_size=8",
        "data.augment={ crop = \"none\" }",
        "tasks.count=2",
        "tasks.classes=5",
        "model.width=2",
        "learning.weight_epochs=2",
        "eval.against=[\"supsup\"]",
        "train.epochs=3",
        "train.batch_size=32",
        "train.device=cpu",
        "train.threads=1",
        "train.log_every=1",
        "train.checkpoint_every=2",
    ];
    let command = |out: &str| {
        let mut command = program::run("exssnet-split-cifar10", words(&set), &place.path(out));
        command.arg("--set").arg(format!("data.root={}", place.path("data").display()));
        command
    };
    let (whole, divided) = (free_port(), free_port());
    let whole = [1, 0].map(|rank| start_rank(command("two"), [rank, 2], whole));
    let divided = [1, 0].map(|rank| {
        let mut command = command("div");
        command.args(["--set", "train.shard_optimizer=true"]);
        start_rank(command, [rank, 2], divided)
    });
    whole.into_iter().chain(divided).for_each(program::finish);
    let files = ["model", "optimizer", "state"];
    let files = files.map(|name| format!("checkpoints/last/{name}.safetensors"));
    let files: Vec<&str> =
        files.iter().map(String::as_str).chain(["subnetworks.safetensors"]).collect();
    program::same_files(&place.path("two"), &place.path("div"), &files);
    let summary = Summary::read(&place.path("two/summary.json")).unwrap();
    assert_eq!(summary.processes, 2);

    // One process finishes what two have begun.
    let port = free_port();
    let [rank_0, rank_1] = [0, 1].map(|rank| start_rank(command("killed"), [rank, 2], port));
    program::kill_within(rank_1, &place.path("killed"), "exssnet-2-weights");
    assert!(failure(rank_0).contains("rank 1 is gone"));
    program::finish(program::start(command("killed").arg("--resume")));
    let resumed = Summary::read(&place.path("killed/summary.json")).unwrap();
    assert_eq!((resumed.processes, resumed.train.steps), (1, summary.train.steps));
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
fn one_that_loses_rank_0_names_only_that() {
    let place = Place::new();
    let long = ["train.epochs=60", "train.checkpoint_every=10"];
    let port = free_port();
    let [rank_0, rank_1] = [0, 1]
        .map(|rank| start_rank(command("mae-cifar10", &long, &place, "run"), [rank, 2], port));
    program::kill_after(rank_0, &place.path("run/checkpoints/last/state.json"));
    let said = failure(rank_1);
    assert!(said.contains("rank 0 is gone"), "{said}");
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
        assert!(said.contains("rank 1 has a different recipe"), "{said}");
    }
    let mut lonely = command("mae-cifar10", &[], &place, "run");
    lonely.env("BAUTA_RANKS_TIMEOUT", "1");
    let said = failure(start_rank(lonely, [0, 3], free_port()));
    assert!(said.contains("rank 1, 2 did not connect within 1 s"), "{said}");
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
