//! Videos as folders of numbered pictures, one folder per video.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bauta_datasets::video::VideoOptions;
use bauta_datasets::{DataError, Decoding};

use super::augment::shrunk;
use super::files::class_set;
use super::{ClipSource, LabelSet, Timeline};
use crate::image::Image;
use crate::prefetch::Cancel;
use crate::regular;
use crate::source::Statistics;
use crate::source::layout::Kind;
use crate::source::listed::Listed;
use crate::source::listing::{entries, is_picture, shown};

/// The kind of folders of frames, and the layout of a folder of them.
const FRAME_FOLDERS: Kind = Kind {
    wanted: is_picture,
    called: "folders of frames",
    missing: "folders of frames (.jpg, .png or .webp)",
    layout: "a data set is train/CLASS/VIDEO/*.jpg and val/CLASS/VIDEO/*.jpg, or \
             CLASS/VIDEO/*.jpg with a part held out (holdout), or VIDEO/*.jpg without classes \
             (docs/your-own-videos.md)",
    folders: true,
};

/// Folders of pictures, each the frames of a video in the order of their numbers.
#[derive(Debug)]
pub struct FrameFolders {
    listed: Listed,
    sets: Vec<LabelSet>,
    frames: Vec<OnceLock<Vec<PathBuf>>>,
    options: VideoOptions,
}

impl FrameFolders {
    /// Lists both splits, the second if there is one.
    pub(super) fn splits(
        root: &Path,
        options: &VideoOptions,
        notes: &mut Vec<String>,
    ) -> Result<(Self, Option<Self>), DataError> {
        options.check()?;
        let (train, test) = Listed::splits(root, FRAME_FOLDERS, notes)?;
        let of = |listed: Listed| {
            let frames = listed.paths().iter().map(|_| OnceLock::new()).collect();
            let sets = class_set(listed.classes());
            Self { listed, sets, frames, options: options.clone() }
        };
        Ok((of(train), test.map(of)))
    }

    pub(super) fn listed(&self) -> &Listed {
        &self.listed
    }

    /// The files of a video's frames, in order.
    fn files(&self, index: usize) -> Result<&[PathBuf], DataError> {
        if let Some(files) = self.frames[index].get() {
            return Ok(files);
        }
        let folder = &self.listed.paths()[index];
        let mut files = entries(folder)?;
        files.retain(|path| is_picture(path) && regular::is_regular(path));
        let files = in_order(files).map_err(|problem| self.refuse(index, problem))?;
        Ok(self.frames[index].get_or_init(|| files))
    }

    fn refuse(&self, index: usize, problem: String) -> DataError {
        DataError::Video { video: self.describe(index), problem }
    }
}

/// Orders frames by the numbers at the end of their names, if all have one, and otherwise by name.
///
/// # Errors
/// When numbers are missing or repeated, and when one name without a number would put the others in
/// the order of their digits.
fn in_order(files: Vec<PathBuf>) -> Result<Vec<PathBuf>, String> {
    let numbered: Option<Vec<(u64, PathBuf)>> =
        files.iter().map(|path| Some((number(path)?, path.clone()))).collect();
    let Some(mut numbered) = numbered else {
        return disordered(&files).map_or(Ok(files), Err);
    };
    numbered.sort();
    let name = |(_, path): &(u64, PathBuf)| path.file_name().map(shown).unwrap_or_default();
    let steps = || numbered.windows(2).map(|pair| pair[1].0 - pair[0].0);
    let step = steps().min().unwrap_or(1);
    if let Some(at) = steps().position(|found| found == 0) {
        let [one, other] = [&numbered[at], &numbered[at + 1]].map(name);
        return Err(format!("{one} and {other} have the same number; remove one of them"));
    }
    if let Some(at) = steps().position(|found| found != step) {
        let [before, after] = [&numbered[at], &numbered[at + 1]].map(name);
        return Err(format!("frames are missing between {before} and {after}"));
    }
    Ok(numbered.into_iter().map(|(_, path)| path).collect())
}

/// What is wrong with files in the order of their names: `f10` comes before `f2` because another
/// name has no number.
fn disordered(files: &[PathBuf]) -> Option<String> {
    let other = files.iter().find(|path| number(path).is_none())?;
    let numbered: Vec<&PathBuf> = files.iter().filter(|path| number(path).is_some()).collect();
    let pair = numbered.windows(2).find(|pair| {
        let [before, after] = [pair[0], pair[1]].map(|path| parts(path).map(|(name, _)| name));
        before == after && number(pair[0]) > number(pair[1])
    })?;
    let [other, before, after] =
        [other, pair[0], pair[1]].map(|path| path.file_name().map(shown).unwrap_or_default());
    Some(format!(
        "{other} has no number, so that the frames would be in the order of their names, {before} \
         before {after}; move {other} away, or end all names in numbers"
    ))
}

/// The number at the end of a file's name.
fn number(path: &Path) -> Option<u64> {
    parts(path)?.1.parse().ok()
}

/// A file's name without its extension, up to the digits at its end, and these.
fn parts(path: &Path) -> Option<(&str, &str)> {
    let stem = path.file_stem()?.to_str()?;
    Some(stem.split_at(stem.trim_end_matches(|c: char| c.is_ascii_digit()).len()))
}

impl ClipSource for FrameFolders {
    fn len(&self) -> usize {
        self.listed.paths().len()
    }

    fn channels(&self) -> usize {
        3
    }

    fn label_sets(&self) -> &[LabelSet] {
        &self.sets
    }

    fn label(&self, index: usize, _: usize) -> u32 {
        self.listed.label(index).expect("there is a set of classes")
    }

    fn timeline(&self, index: usize) -> Result<Timeline, DataError> {
        let frames = self.files(index)?.len() as u64;
        Ok(Timeline { frames, rate: self.options.frame_rate })
    }

    fn frames(
        &self,
        index: usize,
        wanted: &[u64],
        cancel: &Cancel,
    ) -> Result<Vec<Image<'_>>, DataError> {
        let VideoOptions { max_pixels, short_side, .. } = self.options;
        let decoding = Decoding { max_pixels, ..Decoding::default() };
        let files = self.files(index)?;
        let mut first = None;
        let read = |&place: &u64| {
            if cancel.is_set() {
                return Err(self.refuse(index, "it is no longer needed".to_owned()));
            }
            let path = &files[place as usize];
            let refuse = |problem| DataError::Image { image: shown(path.as_os_str()), problem };
            let image = Image::decode_with(&regular::read(path)?, decoding).map_err(refuse)?;
            let size = [image.height(), image.width()];
            let (wanted, of) = *first.get_or_insert((size, path));
            if size != wanted {
                let [height, width] = size;
                let of = of.file_name().map(shown).unwrap_or_default();
                return Err(refuse(format!(
                    "it has {height} × {width} pixels (height × width), but {of} beside it has {} \
                     × {}; resize all frames of a video to one size",
                    wanted[0], wanted[1]
                )));
            }
            Ok(shrunk(image, short_side))
        };
        wanted.iter().map(read).collect()
    }

    fn describe(&self, index: usize) -> String {
        shown(self.listed.paths()[index].as_os_str())
    }

    fn statistics(&self) -> Statistics {
        Statistics::VIDEO
    }
}

#[cfg(test)]
mod tests;
