//! Clips and frames per second: generators, and videos compared with PyAV in the same run.
//!
//! PyAV is measured if `BAUTA_PEER_PYTHON` names a Python that has it (`pip install av numpy`).
//! Both read, as RGB at its own size, every frame (`whole`), the sixteen frames of a clip that
//! spans 64 frames of the video (`clips`), or those of four such clips in one pass, as a step with
//! repeated sampling needs them (`repeats`); both read two videos at once. Rates are given per
//! second of wall-clock time and per second of processor time, which other programs disturb less.
//! Both sides keep freed memory, as the `bauta` program does.

// This program prints a table.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use bauta_data::video::{
    CameraPans, ClipAugment, ClipDataset, ClipLoader, ClipSampling, ClipSource, Ffmpeg,
    MovingMnist, MovingMnistOptions, PanOptions, VideoFiles, VideoOptions,
};
use bauta_data::{
    Cancel, DatasetName, LoaderConfig, Prefetcher, Prepared, Split, cache_root, locate, open,
};
use bauta_streams::{Purpose, StreamKey};

/// Number of reads of a video, each from a different position.
const TIMES: u64 = 24;
/// Number of videos read at once.
const WORKERS: usize = 2;
/// Ticks per second of processor time in `/proc`, as on every common Linux.
const TICKS: f64 = 100.0;

/// Settings of glibc that make a program keep freed memory; they are read when it starts.
const KEPT: [(&str, &str); 2] =
    [("MALLOC_MMAP_THRESHOLD_", "33554432"), ("MALLOC_TRIM_THRESHOLD_", "2147483647")];

fn main() {
    if std::env::var_os(KEPT[0].0).is_none() {
        let mut again = Command::new(std::env::current_exe().expect("it runs"));
        let status = again.args(std::env::args_os().skip(1)).envs(KEPT).status();
        std::process::exit(status.expect("it runs").code().unwrap_or(1));
    }
    let cache = cache_root().expect("there is a home folder");
    let folders = |dataset: ClipDataset| -> Option<Vec<PathBuf>> {
        dataset.packages().into_iter().map(|package| locate(package, &cache)).collect()
    };
    if let Some(roots) = folders(ClipDataset::MovingMnist) {
        for size in [32, 64] {
            let options = MovingMnistOptions { size, ..MovingMnistOptions::default() };
            let source = MovingMnist::open(Split::Train, &roots[0], &options);
            generated(&format!("moving-mnist {size}"), source.expect("MNIST is whole"), size);
        }
    }
    if let Some(roots) = folders(ClipDataset::CameraPans) {
        let pictures = open(DatasetName::Folder, Split::Train, &roots[0]).expect("photos");
        let options = PanOptions::default();
        let source = CameraPans::new(pictures, Split::Train, &options);
        generated("camera-pans 64", source.expect("photos decode"), 64);
    }
    match (folders(ClipDataset::VideoClips), Ffmpeg::find(&cache)) {
        (Some(roots), Ok(ffmpeg)) => {
            for name in ["bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4"] {
                against_pyav(&roots[1].join(name), &ffmpeg);
            }
        }
        _ => println!("videos: cargo xtask data fetch video-clips, and ffmpeg"),
    }
}

/// Measures clips per second, each of sixteen frames, through the loader.
fn generated(name: &str, source: impl ClipSource + 'static, size: usize) {
    let sampling = ClipSampling { frames: 16, stride: 1, ..ClipSampling::default() };
    let config = LoaderConfig { threads: WORKERS, ..LoaderConfig::new(64, size, size) };
    let loader = ClipLoader::new(Arc::new(source), sampling, ClipAugment::none(), 1, config)
        .expect("the settings are good");
    let mut batches = loader.batches(0..20, |batch| batch.pixels.dim().0);
    // The first batch finds nothing in memory.
    batches.next();
    let watch = Watch::start();
    let clips: usize = batches.map(|clips| clips.expect("it is drawn")).sum();
    println!("{name}: clips {}", watch.stop(clips as f64));
}

/// A stopwatch for wall-clock time and processor time.
struct Watch(Instant, f64);

/// Items per second of each kind of time.
struct Speed {
    clock: f64,
    processors: f64,
}

impl Watch {
    fn start() -> Self {
        Self(Instant::now(), processors())
    }

    fn stop(&self, done: f64) -> Speed {
        let Self(begun, before) = self;
        let clock = done / begun.elapsed().as_secs_f64();
        Speed { clock, processors: done / (processors() - before) }
    }
}

impl std::fmt::Display for Speed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} per second, {:.0} per processor second", self.clock, self.processors)
    }
}

/// Processor seconds of this program and of the child processes that it has waited for.
fn processors() -> f64 {
    let about = std::fs::read_to_string("/proc/self/stat").expect("this is Linux");
    // The name, in brackets, can contain anything.
    let (_, fields) = about.rsplit_once(')').expect("it has a name");
    let fields = fields.split_whitespace().skip(11).take(4);
    fields.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / TICKS
}

/// Start frames of the clips, the same for both.
fn starts(frames: u64) -> Vec<u64> {
    let key = StreamKey { seed: 0, purpose: Purpose::named("bench"), epoch: 0, sample: 0 };
    let mut stream = key.stream();
    (0..TIMES).map(|_| stream.below(frames - 64)).collect()
}

fn against_pyav(path: &Path, ffmpeg: &Ffmpeg) {
    let options = VideoOptions { short_side: 0, ..VideoOptions::default() };
    let source = VideoFiles::files(vec![path.to_path_buf()], ffmpeg.clone(), &options);
    let source: Arc<dyn ClipSource> = Arc::new(source.expect("the settings are good"));
    let frames = source.timeline(0).expect("it is a video").frames;
    let starts = starts(frames);
    let whole: Vec<Vec<u64>> = (0..TIMES / 4).map(|_| (0..frames).collect()).collect();
    let clip = |start: &u64| (0..16).map(|at| start + at * 63 / 15).collect::<Vec<_>>();
    let clips: Vec<Vec<u64>> = starts.iter().map(clip).collect();
    let together = |clips: &[Vec<u64>]| {
        let mut wanted = clips.concat();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    };
    let repeats: Vec<Vec<u64>> = clips.chunks(4).map(together).collect();
    let spans = |wanted: &Vec<u64>| wanted[wanted.len() - 1] - wanted[0] + 1;
    let name = path.file_name().unwrap_or_default().display();
    for (what, wanted) in [("whole", whole), ("clips", clips), ("repeats", repeats)] {
        let decoded: u64 = wanted.iter().map(spans).sum();
        let ours = read(&source, wanted, decoded as f64);
        println!("{name}, {what}: frames {ours}");
        if let Some(theirs) = pyav(path, what, &starts) {
            let [clock, processors] =
                [ours.clock / theirs.clock, ours.processors / theirs.processors];
            println!("  PyAV {theirs}: {clock:.2} ×, {processors:.2} ×");
        }
    }
}

/// Reads these frames, several clips at once; for them `decoded` frames must be decoded.
fn read(source: &Arc<dyn ClipSource>, wanted: Vec<Vec<u64>>, decoded: f64) -> Speed {
    let prefetcher = Prefetcher::new(WORKERS, WORKERS).expect("threads start");
    let (source, steps) = (Arc::clone(source), wanted.len() as u64);
    let watch = Watch::start();
    let read = prefetcher.inputs(0..steps, move |step, _| {
        let frames = source.frames(0, &wanted[step as usize], &Cancel::default())?;
        Ok(Prepared::whole(frames.len()))
    });
    assert!(read.into_iter().all(|frames| frames.expect("it is decoded") > 0));
    watch.stop(decoded)
}

/// The same for PyAV, if it is available.
fn pyav(path: &Path, what: &str, starts: &[u64]) -> Option<Speed> {
    let python = std::env::var_os("BAUTA_PEER_PYTHON")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/pyav.py");
    let output = Command::new(python)
        .arg(script)
        .arg(path)
        .args([what, &(TIMES / 4).to_string(), &WORKERS.to_string()])
        .args(starts.iter().map(ToString::to_string))
        .output()
        .expect("BAUTA_PEER_PYTHON is a program");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "PyAV failed: {words}");
    let text = String::from_utf8_lossy(&output.stdout);
    let (clock, processors) = text.trim().split_once(' ')?;
    Some(Speed { clock: clock.parse().ok()?, processors: processors.parse().ok()? })
}
