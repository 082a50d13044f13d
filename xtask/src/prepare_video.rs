//! `prepare-video`: a folder of videos into frame shards, once.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use bauta_data::video::{PrepareOptions, VideoOptions, prepare};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::data::find_ffmpeg;

/// What is written, and how.
#[derive(Args)]
pub struct Arguments {
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

/// Writes the shards, after fetching ffmpeg if there is none.
pub fn prepare_video(arguments: &Arguments) -> Result<()> {
    let Arguments { dir, out, short_side, quality, per_shard } = arguments;
    let ffmpeg = find_ffmpeg()?;
    let videos = VideoOptions { short_side: *short_side, ..VideoOptions::default() };
    let options = PrepareOptions { videos, quality: *quality, per_shard: *per_shard };
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{bar:40} {pos} of {len} videos, {elapsed}")
            .context("the template is well-formed")?,
    );
    let read = AtomicUsize::new(0);
    let report = prepare(dir, out, &ffmpeg, &options, &|of| {
        bar.set_length(of as u64);
        bar.set_position(read.fetch_add(1, Ordering::Relaxed) as u64 + 1);
    })?;
    bar.finish_and_clear();
    for sentence in report.notes.iter().chain(&report.left_out) {
        eprintln!("note: {sentence}");
    }
    println!(
        "{} videos of {} frames are in {}; {} left out. Train on them with --set \
         data.name=frame-shards --set data.root={}",
        report.videos,
        report.frames,
        out.display(),
        report.left_out.len(),
        out.display()
    );
    Ok(())
}
