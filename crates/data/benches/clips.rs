//! Clips and frames a second: generators, and videos against PyAV in the same run.
//!
//! PyAV is asked where `BAUTA_PEER_PYTHON` names a Python that has it (`pip install av numpy`).
//! Both give every frame as RGB at its own size, or the sixteen of a clip of 64 frames from
//! somewhere in the video; both read two videos at once.

// A table is what this program is for.
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

/// Videos are read this often, each time from another place.
const TIMES: u64 = 24;
/// How many at once.
const WORKERS: usize = 2;

fn main() {
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

/// Clips of sixteen frames a second, through the loader.
fn generated(name: &str, source: impl ClipSource + 'static, size: usize) {
    let sampling = ClipSampling { frames: 16, stride: 1, ..ClipSampling::default() };
    let config = LoaderConfig { threads: WORKERS, ..LoaderConfig::new(64, size, size) };
    let loader = ClipLoader::new(Arc::new(source), sampling, ClipAugment::none(), 1, config)
        .expect("the settings are good");
    let mut batches = loader.batches(0..20, |batch| batch.pixels.dim().0);
    // The first one finds nothing in memory.
    batches.next();
    let begun = Instant::now();
    let clips: usize = batches.map(|clips| clips.expect("it is drawn")).sum();
    println!("{name}: {:.0} clips a second", clips as f64 / begun.elapsed().as_secs_f64());
}

/// Where the clips begin: the same for both.
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
    let clips: Vec<Vec<u64>> =
        starts.iter().map(|start| (0..16).map(|at| start + at * 63 / 15).collect()).collect();
    let name = path.file_name().unwrap_or_default().display();
    for (what, wanted, decoded) in
        [("whole", whole, frames * (TIMES / 4)), ("clips", clips, 64 * TIMES)]
    {
        let ours = decoded as f64 / read(&source, wanted);
        match pyav(path, what, &starts) {
            Some(theirs) => println!(
                "{name}, {what}: {ours:.0} frames a second, PyAV {theirs:.0}: {:.2} ×",
                ours / theirs
            ),
            None => println!("{name}, {what}: {ours:.0} frames a second"),
        }
    }
}

/// Seconds that it takes to read these frames, several at once.
fn read(source: &Arc<dyn ClipSource>, wanted: Vec<Vec<u64>>) -> f64 {
    let prefetcher = Prefetcher::new(WORKERS, WORKERS).expect("threads start");
    let (source, steps) = (Arc::clone(source), wanted.len() as u64);
    let begun = Instant::now();
    let read = prefetcher.inputs(0..steps, move |step, _| {
        let frames = source.frames(0, &wanted[step as usize], &Cancel::default())?;
        Ok(Prepared::whole(frames.len()))
    });
    assert!(read.into_iter().all(|frames| frames.expect("it is decoded") > 0));
    begun.elapsed().as_secs_f64()
}

/// Frames a second of PyAV, where there is one.
fn pyav(path: &Path, what: &str, starts: &[u64]) -> Option<f64> {
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
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}
