//! Writes a folder of videos as frame shards, once.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bauta_datasets::DataError;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;

use super::About;
use super::index::{ABOUT, frame_name};
use crate::image::Image;
use crate::prefetch::Cancel;
use crate::video::{ClipSource, Ffmpeg, VideoFiles, VideoOptions};

/// Options for writing shards.
#[derive(Clone, Debug, PartialEq)]
pub struct PrepareOptions {
    /// How the videos are read.
    pub videos: VideoOptions,
    /// Quality of the JPEGs, 1 to 100.
    pub quality: u8,
    /// Videos per shard, at least 1.
    pub per_shard: usize,
}

impl Default for PrepareOptions {
    fn default() -> Self {
        Self { videos: VideoOptions::default(), quality: 90, per_shard: 64 }
    }
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PrepareReport {
    /// Videos in the shards.
    pub videos: usize,
    /// Their frames.
    pub frames: u64,
    /// The reason for each video that was left out.
    pub left_out: Vec<String>,
    /// Notes on how the folder was interpreted, one sentence each.
    pub notes: Vec<String>,
}

/// Writes the videos of a folder as shards into the new folder `out`.
///
/// The splits and classes of the folder are kept. Videos that cannot be read are left out. `out` is
/// written atomically. `done` is called after each video with the total number of videos; it is
/// called from several threads.
///
/// # Errors
/// When `out` already exists or cannot be written, when an option is out of its range, when the
/// folder holds no videos, or none that can be read.
pub fn prepare(
    root: &Path,
    out: &Path,
    ffmpeg: &Ffmpeg,
    options: &PrepareOptions,
    done: &(dyn Fn(usize) + Sync),
) -> Result<PrepareReport, DataError> {
    if !(1..=100).contains(&options.quality) {
        return Err(DataError::setting("quality", options.quality, "must be in [1, 100]"));
    }
    if options.per_shard == 0 {
        return Err(DataError::setting("per_shard", 0, "must be at least 1"));
    }
    if out.exists() {
        let (path, problem) = (out.to_path_buf(), "already exists; choose a new folder".to_owned());
        return Err(DataError::Malformed { path, problem });
    }
    let mut report = PrepareReport::default();
    let (train, test) = VideoFiles::splits(root, ffmpeg, &options.videos, &mut report.notes)?;
    let all = train.len() + test.as_ref().map_or(0, ClipSource::len);
    let partial = Partial(bauta_files::partial(out));
    // Leftovers of a killed process.
    partial.remove();
    let splits = match &test {
        None => vec![(partial.0.clone(), &train)],
        Some(test) => vec![(partial.0.join("train"), &train), (partial.0.join("val"), test)],
    };
    for (folder, videos) in splits {
        fs::create_dir_all(&folder).map_err(DataError::io(&folder))?;
        let split = Writer { videos, options, report: Mutex::default(), all, done };
        let shards: Vec<(usize, Vec<usize>)> = (0..videos.len())
            .collect::<Vec<usize>>()
            .chunks(options.per_shard)
            .map(<[usize]>::to_vec)
            .enumerate()
            .collect();
        shards.par_iter().try_for_each(|(number, indices)| {
            split.shard(&folder.join(format!("{number:05}.tar")), indices)
        })?;
        let mut written = split.report.into_inner().expect("no writer panicked");
        if written.videos == 0 {
            let first = written.left_out.first().cloned().unwrap_or_default();
            let problem = format!("none of its videos can be read; the first: {first}");
            return Err(DataError::malformed(root, problem));
        }
        written.left_out.sort();
        report.videos += written.videos;
        report.frames += written.frames;
        report.left_out.append(&mut written.left_out);
    }
    bauta_files::rename_whole(&partial.0, out).map_err(DataError::io(out))?;
    Ok(report)
}

/// A folder of work in progress, removed however the work ends.
struct Partial(PathBuf);

impl Partial {
    fn remove(&self) {
        // If it is missing or was renamed, there is nothing to remove.
        fs::remove_dir_all(&self.0).ok();
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Writes the shards of a split, several at once.
struct Writer<'a> {
    videos: &'a VideoFiles,
    options: &'a PrepareOptions,
    report: Mutex<PrepareReport>,
    all: usize,
    done: &'a (dyn Fn(usize) + Sync),
}

impl Writer<'_> {
    fn shard(&self, path: &Path, indices: &[usize]) -> Result<(), DataError> {
        let file = File::create_new(path).map_err(DataError::io(path))?;
        let mut archive = tar::Builder::new(file);
        let mut written = 0;
        for &index in indices {
            let place = archive.get_mut().stream_position().map_err(DataError::io(path))?;
            match self.video(&mut archive, path, written, index) {
                Ok(frames) => {
                    written += 1;
                    let mut report = self.report.lock().expect("no writer panicked");
                    report.videos += 1;
                    report.frames += frames;
                }
                Err(error @ DataError::Video { .. }) => {
                    // The part of it that was written is removed.
                    let file = archive.get_mut();
                    file.set_len(place)
                        .and_then(|()| file.seek(SeekFrom::Start(place)))
                        .map_err(DataError::io(path))?;
                    let mut report = self.report.lock().expect("no writer panicked");
                    report.left_out.push(error.to_string());
                }
                Err(error) => return Err(error),
            }
            (self.done)(self.all);
        }
        let file = archive.into_inner().map_err(DataError::io(path))?;
        if written == 0 {
            return fs::remove_file(path).map_err(DataError::io(path));
        }
        file.sync_all().map_err(DataError::io(path))
    }

    /// Adds a video to a shard, frame by frame; returns its number of frames.
    fn video(
        &self,
        archive: &mut tar::Builder<File>,
        shard: &Path,
        number: usize,
        index: usize,
    ) -> Result<u64, DataError> {
        let Self { videos, options, .. } = self;
        let info = videos.info(index)?;
        let numbers: Vec<u64> = (0..info.timeline.frames).map(|place| info.frame(place)).collect();
        let mut wanted = numbers.clone();
        wanted.dedup();
        let (mut places, mut which) = (numbers.iter().peekable(), wanted.iter());
        let (mut frame, mut failed) = (0, None);
        let decoded = videos.each_frame(index, &wanted, &Cancel::default(), |image| {
            let picture = jpeg(&image, options.quality)?;
            let shown = which.next();
            while places.next_if(|place| Some(*place) == shown).is_some() {
                let name = format!("{number:06}/{}", frame_name(frame));
                append(archive, &name, &picture).map_err(|error| {
                    let problem = error.to_string();
                    failed = Some(error);
                    problem
                })?;
                frame += 1;
            }
            Ok(())
        });
        if let Some(error) = failed {
            return Err(DataError::io(shard)(error));
        }
        decoded?;
        let listed = videos.listed();
        let label = listed.label(index);
        let about = About {
            path: listed.relative(index).to_string_lossy().into_owned(),
            class: label.map(|label| listed.classes()[label as usize].clone()),
            frames: frame,
            rate: info.timeline.rate,
        };
        let text = serde_json::to_vec(&about).expect("strings and numbers can be written");
        append(archive, &format!("{number:06}/{ABOUT}"), &text).map_err(DataError::io(shard))?;
        Ok(frame)
    }
}

fn append(archive: &mut tar::Builder<File>, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, bytes)
}

fn jpeg(image: &Image<'_>, quality: u8) -> Result<Vec<u8>, String> {
    let mut file = Vec::new();
    let side = |pixels| u32::try_from(pixels).map_err(|_| "its frames are too large".to_owned());
    let (width, height) = (side(image.width())?, side(image.height())?);
    JpegEncoder::new_with_quality(&mut file, quality)
        .encode(image.pixels(), width, height, ExtendedColorType::Rgb8)
        .map_err(|error| error.to_string())?;
    Ok(file)
}
