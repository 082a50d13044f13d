//! Writes a folder of videos as frame shards; `cargo xtask prepare-video` builds and calls it.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a program talks to people")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use bauta_data::cache_root;
use bauta_data::video::{Ffmpeg, PrepareOptions, VideoOptions, prepare};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

#[derive(Parser)]
#[command(
    bin_name = "cargo xtask prepare-video",
    about = "Write a folder of videos as frame shards, so that training never decodes a video"
)]
struct Arguments {
    /// The folder of videos, in any layout of docs/your-own-videos.md
    dir: PathBuf,
    /// The new folder for the shards
    #[arg(long)]
    out: PathBuf,
    /// Shrink frames whose shorter side is longer than this many pixels; 0 keeps every size
    #[arg(long, default_value_t = VideoOptions::default().short_side)]
    short_side: usize,
    /// Quality of the JPEGs, 1 to 100
    #[arg(long, default_value_t = PrepareOptions::default().quality)]
    quality: u8,
    /// Videos in a shard
    #[arg(long, default_value_t = PrepareOptions::default().per_shard)]
    per_shard: usize,
}

fn main() -> ExitCode {
    match write(&Arguments::parse()) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the shards and reports what they hold.
fn write(arguments: &Arguments) -> Result<String, Box<dyn std::error::Error>> {
    let Arguments { dir, out, short_side, quality, per_shard } = arguments;
    let ffmpeg = Ffmpeg::find(&cache_root()?)?;
    let videos = VideoOptions { short_side: *short_side, ..VideoOptions::default() };
    let options = PrepareOptions { videos, quality: *quality, per_shard: *per_shard };
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} videos, {elapsed}")?;
    let bar = ProgressBar::new(0).with_style(style);
    let read = AtomicUsize::new(0);
    let report = prepare(dir, out, &ffmpeg, &options, &|of| {
        bar.set_length(of as u64);
        bar.set_position(read.fetch_add(1, Ordering::Relaxed) as u64 + 1);
    })?;
    bar.finish_and_clear();
    for sentence in report.notes.iter().chain(&report.left_out) {
        eprintln!("note: {sentence}");
    }
    Ok(format!(
        "{} videos of {} frames are in {}; {} left out. Train on them with --set \
         data.name=frame-shards --set data.root={}",
        report.videos,
        report.frames,
        out.display(),
        report.left_out.len(),
        out.display()
    ))
}
