//! A whole run with a search of weights, in miniature: killed in the middle of a generation and
//! resumed to the same search and bits; and on a folder of videos with sound.
//!
//! Sounds and videos are read by ffmpeg; without it the tests are reported as ignored.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod program;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitCode};

use bauta_backbones::SpacetimeFolder;
use bauta_data::cache_root;
use bauta_data::video::Ffmpeg;
use bauta_report::Summary;
use image::{Rgba, RgbaImage};
use libtest_mimic::{Arguments, Trial};
use program::{failure, finish, free_port, kill_after, same_files, start_rank};

fn main() -> ExitCode {
    let trials: [(&str, fn()); 5] = [
        (
            "a_run_killed_within_a_generation_ends_alike",
            a_run_killed_within_a_generation_ends_alike,
        ),
        (
            "weights_that_are_given_are_not_searched_and_candidates_may_diverge",
            weights_that_are_given_are_not_searched_and_candidates_may_diverge,
        ),
        ("equal_weights_that_diverge_are_no_baseline", equal_weights_that_diverge_are_no_baseline),
        ("videos_without_labels_are_searched_on", videos_without_labels_are_searched_on),
        (
            "two_processes_search_and_train_together_and_one_goes_on",
            two_processes_search_and_train_together_and_one_goes_on,
        ),
    ];
    let missing = "without ffmpeg: cargo xtask data fetch ffmpeg";
    let found = cache_root().and_then(|cache| Ffmpeg::find(&cache)).is_ok();
    let trials = trials.into_iter().map(|(name, test)| match found {
        true => Trial::test(name, move || {
            test();
            Ok(())
        }),
        // Fails if ignored tests are asked for.
        false => Trial::test(format!("{name}, {missing}"), move || Err(missing.into()))
            .with_ignored_flag(true),
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Two generations of three candidates of six steps, and a final training of 30.
const SMALL: [&str; 24] = [
    "data.limit=48",
    "data.held_out=30",
    "data.test=40",
    "data.moving.stamps=2",
    "data.moving.size=16",
    "data.moving.frames=6",
    "data.moving.exponent=0.5",
    "model.dim=16",
    "model.future=2",
    "search.generations=2",
    "search.population=3",
    "search.repeats=2",
    "search.steps=6",
    "search.clusters=4",
    "search.draws=1",
    "train.epochs=5",
    "train.batch_size=8",
    "train.base_lr=0.03",
    "train.device=cpu",
    "train.threads=1",
    "train.log_every=6",
    "train.checkpoint_every=10",
    "lambda.shuffle.rgb=0",
    "eval.linear.epochs=5",
];

/// The files that are equal, bit by bit, in runs of the same search and training.
const RESULT: [&str; 5] = [
    "search.json",
    "rgb/model.safetensors",
    "checkpoints/last/model.safetensors",
    "checkpoints/last/state.safetensors",
    "checkpoints/equal-weights/model.safetensors",
];

/// Stamps of one colour, each with a tone, as WAV files of 16-bit samples.
fn stamps(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (name, colour, step) in
        [("red", [250, 20, 20, 255], 0.2_f64), ("blue", [20, 20, 250, 255], 0.9)]
    {
        RgbaImage::from_pixel(24, 24, Rgba(colour))
            .save(folder.join(format!("{name}.png")))
            .unwrap();
        let samples: Vec<u8> = (0..4000)
            .flat_map(|i| (((f64::from(i) * step).sin() * 9000.0).round() as i16).to_le_bytes())
            .collect();
        let mut wav = b"RIFF".to_vec();
        wav.extend((36 + samples.len() as u32).to_le_bytes());
        wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
        wav.extend(16_000_u32.to_le_bytes());
        wav.extend(32_000_u32.to_le_bytes());
        wav.extend([2, 0, 16, 0]);
        wav.extend(b"data");
        wav.extend((samples.len() as u32).to_le_bytes());
        wav.extend(samples);
        fs::write(folder.join(format!("{name}.wav")), wav).unwrap();
    }
}

fn start(place: &Path, out: &str, set: &[&str], resume: bool) -> Child {
    program::start(&mut command(place, out, set, resume))
}

fn command(place: &Path, out: &str, set: &[&str], resume: bool) -> Command {
    let root = format!("data.root={}", place.join("stamps").display());
    let set = SMALL.iter().chain(set).map(|text| (*text).to_owned()).chain([root]);
    let mut command = program::run("elo-stamps", set, &place.join(out));
    if resume {
        command.arg("--resume");
    }
    command
}

fn a_run_killed_within_a_generation_ends_alike() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    stamps(&path("stamps"));
    finish(start(place.path(), "whole", &[], false));
    // After the first candidate of the second generation.
    let checkpoint = path("killed/checkpoints/step-24/state.json");
    kill_after(start(place.path(), "killed", &[], false), &checkpoint);
    assert!(!path("killed/summary.json").exists(), "killed too late to tell anything");
    finish(start(place.path(), "killed", &[], true));
    same_files(&path("whole"), &path("killed"), &RESULT);
    let summary = Summary::read(&path("killed/summary.json")).unwrap();
    for name in ["linear_top1", "kmeans_top1"] {
        assert!((0.0..=1.0).contains(&summary.eval[name]), "{name}");
        for baseline in ["random_init", "equal_weights"] {
            assert!(summary.baseline.contains_key(&format!("{baseline}.{name}")), "{baseline}");
        }
    }
    // Three candidates per generation.
    assert_eq!(summary.eval["search_evaluations"], 6.0);
    let report = fs::read_to_string(path("killed/report.html")).unwrap();
    for text in ["Search", "Clusters", "shuffle.rgb", "distill.flow_embedding"] {
        assert!(report.contains(text), "no {text} in the report");
    }
    assert!(path("killed/pictures/clips.png").is_file());
}

fn weights_that_are_given_are_not_searched_and_candidates_may_diverge() {
    let place = tempfile::tempdir().unwrap();
    stamps(&place.path().join("stamps"));
    let given = ["search.method=none", "lambda.align.rgb_sound=0.5", "eval.baselines=false"];
    finish(start(place.path(), "given", &given, false));
    let summary = Summary::read(&place.path().join("given/summary.json")).unwrap();
    assert!(!summary.eval.contains_key("search_evaluations"));
    assert!(!place.path().join("given/search.json").exists());

    // Training at such a rate always ends in a loss that is not finite.
    let wild = ["train.base_lr=1e30", "train.clip_grad=1e30"];
    let output = start(place.path(), "wild", &wild, false).wait_with_output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no candidate of the search could be judged"), "{said}");
}

/// At such a rate the sum of all tasks diverges, but a hundredth of one of them does not.
fn equal_weights_that_diverge_are_no_baseline() {
    let place = tempfile::tempdir().unwrap();
    stamps(&place.path().join("stamps"));
    let set = [
        "search.method=none",
        "lambda.others=0",
        "lambda.shuffle.rgb=0.01",
        "train.optimizer=sgd",
        "train.base_lr=5e10",
        "train.weight_decay=0",
        "train.clip_grad=1e30",
    ];
    finish(start(place.path(), "run", &set, false));
    let told = |summary: Summary| {
        assert!(summary.baseline.contains_key("random_init.linear_top1"));
        assert!(!summary.baseline.contains_key("equal_weights.linear_top1"));
        (summary.eval, summary.baseline)
    };
    let read = || Summary::read(&place.path().join("run/summary.json")).unwrap();
    let first = told(read());
    let report = fs::read_to_string(place.path().join("run/report.html")).unwrap();
    assert!(report.contains("Training with equal weights diverged"));
    finish(start(place.path(), "run", &set, true));
    assert_eq!(told(read()), first);
}

/// Batch statistics are per rank, so a run of one process is not comparable; ranks that shard the
/// optimiser have the same bits as ranks that do not.
fn two_processes_search_and_train_together_and_one_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    stamps(&path("stamps"));
    let two = |out: &str, set: &[&str]| {
        let port = free_port();
        [1, 0].map(|rank| start_rank(command(place.path(), out, set, false), [rank, 2], port))
    };
    two("whole", &[]).into_iter().for_each(finish);
    two("divided", &["train.shard_optimizer=true"]).into_iter().for_each(finish);
    same_files(&path("whole"), &path("divided"), &RESULT);
    let summary = Summary::read(&path("whole/summary.json")).unwrap();
    assert_eq!((summary.processes, summary.eval["search_evaluations"]), (2, 6.0));

    let [rank_1, rank_0] = two("killed", &[]);
    kill_after(rank_1, &path("killed/checkpoints/step-24/state.json"));
    let said = failure(rank_0);
    assert!(said.contains("rank 1 is gone"), "{said}");
    finish(start(place.path(), "killed", &[], true));
    let resumed = Summary::read(&path("killed/summary.json")).unwrap();
    assert_eq!((resumed.processes, resumed.eval["search_evaluations"]), (1, 6.0));
    assert_eq!(resumed.train.steps, summary.train.steps);

    // All processes learn that a candidate has diverged, and end with the same error.
    for child in two("wild", &["train.base_lr=1e30", "train.clip_grad=1e30"]) {
        let said = failure(child);
        assert!(said.contains("no candidate of the search could be judged"), "{said}");
    }
}

/// A video of a second and a half, with a tone if given.
fn video(path: &Path, number: u32, tone: Option<u32>) {
    let ffmpeg = Ffmpeg::find(&cache_root().unwrap()).unwrap();
    let pictures = format!("testsrc2=s=32x24:r=12:d=1.5,hue=h={}", 30 * number);
    let mut command = Command::new(ffmpeg.program());
    command.args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", &pictures]);
    let sound = tone.map(|tone| format!("sine=frequency={tone}:duration=1.5"));
    if let Some(sound) = &sound {
        command.args(["-f", "lavfi", "-i", sound]);
    }
    let encoder = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac -shortest";
    assert!(command.args(encoder.split(' ')).arg(path).status().unwrap().success());
}

fn videos_without_labels_are_searched_on() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("videos");
    fs::create_dir(&folder).unwrap();
    (0..12).for_each(|at| video(&folder.join(format!("{at}.mp4")), at, Some(300 + 100 * at)));
    let run = |out: &str, further: &[&str]| {
        let root = format!("data.root={}", folder.display());
        let own = [&root, "data.videos.size=16", "data.videos.frames=6"];
        let set = SMALL.iter().chain(&own).chain(further).map(|text| (*text).to_owned());
        program::start(&mut program::run("elo-clips", set, &place.path().join(out)))
    };
    finish(run("whole", &[]));
    let summary = Summary::read(&place.path().join("whole/summary.json")).unwrap();
    assert_eq!(summary.eval["search_evaluations"], 6.0);
    assert!(!summary.eval.contains_key("linear_top1") && summary.baseline.is_empty());
    let kept = SpacetimeFolder::read(&place.path().join("whole/rgb")).unwrap();
    assert_eq!((kept.config().frames, kept.config().image_size), (4, 16));

    // A video without sound is named in the error, and nothing is written.
    video(&folder.join("mute.mp4"), 3, None);
    let refused = |further: &[&str]| {
        let output = run("refused", further).wait_with_output().unwrap();
        assert!(!output.status.success() && !place.path().join("refused").exists());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = refused(&[]);
    assert!(said.contains("mute.mp4 cannot be read: it has no sound"), "{said}");
    let said = refused(&["data.videos.holdout=0.001"]);
    assert!(said.contains("none would be held out"), "{said}");
}
