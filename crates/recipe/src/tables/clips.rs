//! The `data` table of systems that train on clips of videos.

use bauta_datasets::OnError;
use bauta_datasets::video::{
    ClipAugment, ClipDataset, ClipOptions, ClipSampling, MovingMnistOptions, PanOptions,
    VideoOptions, ffmpeg_package,
};
use bauta_masking::{Grid, MaskError};
use serde::{Deserialize, Serialize};

use super::images::{ImageSize, check_one_step, check_root};
use super::limits::{check_batch, count};
use super::train::Train;
use crate::data_need::DataNeed;
use crate::reading::{Violation, at_least_one, must_be, proper_fraction};

/// The videos to train and evaluate on, and how clips are cut from them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipData {
    /// The videos.
    pub name: ClipDataset,
    /// The folder of the videos, or of the moving digits; if not given, the data are fetched to the
    /// cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<std::path::PathBuf>,
    /// Train on only this many videos, spread evenly over the training split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The fraction held out for evaluation if your own folder has no test split, in (0, 1); chosen
    /// by path, the same in every run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout: Option<f64>,
    /// Size of the model's frames in pixels: one number for a square, or `[height, width]`.
    pub image_size: ImageSize,
    /// Clips cut from each video in a step, each with its own mask (repeated sampling); a step has
    /// `train.batch_size` · `data.repeats` clips.
    #[serde(default = "one")]
    pub repeats: usize,
    /// Which frames a clip has.
    #[serde(default)]
    pub clip: ClipSampling,
    /// Augmentation of training clips; if not given, one that keeps the labels of these videos
    /// true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment: Option<ClipAugment>,
    /// With `moving-mnist`: what the videos look like.
    #[serde(default)]
    pub moving: MovingMnistOptions,
    /// With `camera-pans`: what the videos look like.
    #[serde(default)]
    pub pans: PanOptions,
    /// With videos in files, or folders of frames: how they are read.
    #[serde(default)]
    pub videos: VideoOptions,
    /// What happens when a video cannot be decoded.
    #[serde(default)]
    pub on_error: OnError,
}

fn one() -> usize {
    1
}

impl ClipData {
    /// The token geometry of one clip.
    ///
    /// # Errors
    /// [`MaskError`] when the clip is not a whole number of patches.
    pub fn grid(&self, patch_frames: usize, patch_size: usize) -> Result<Grid, MaskError> {
        let clip = [self.clip.frames, self.image_size.height(), self.image_size.width()];
        Grid::of_clip(clip, patch_frames, patch_size)
    }

    /// How the videos are opened.
    pub fn options(&self) -> ClipOptions {
        let Self { holdout, moving, pans, videos, .. } = self;
        ClipOptions {
            holdout: *holdout,
            moving: moving.clone(),
            pans: pans.clone(),
            videos: videos.clone(),
        }
    }

    /// The data to fetch, unless they lie in a folder of the user's.
    pub fn needs(&self) -> Vec<DataNeed> {
        let name = self.name.into();
        let need = |package| DataNeed { name, package };
        let mut needs = match self.root {
            Some(_) => Vec::new(),
            None => self.name.packages().into_iter().map(|package| need(Some(package))).collect(),
        };
        if needs.is_empty() {
            needs.push(need(None));
        }
        if self.name.needs_ffmpeg() {
            needs.push(DataNeed { name: "ffmpeg", package: Some(ffmpeg_package()) });
        }
        needs
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for impossible sizes, videos without a folder, or too few of them for a step.
    pub fn check(&self, train: &Train) -> Result<(), Violation> {
        self.holdout.map_or(Ok(()), |part| proper_fraction("data.holdout", part))?;
        self.image_size.check("data.image_size")?;
        count("data.repeats", self.repeats)?;
        count("data.clip.frames", self.clip.frames)?;
        count("data.clip.stride", self.clip.stride)?;
        let rate = self.clip.rate;
        must_be(rate > 0.0 && rate.is_finite(), "data.clip.rate", rate, "above 0")?;
        if let Some(limit) = self.limit {
            at_least_one("data.limit", limit)?;
        }
        check_root(self.root.as_deref(), !self.name.packages().is_empty(), self.name.into())?;
        let frames = train.batch_size.saturating_mul(self.repeats).saturating_mul(self.clip.frames);
        let size = self.image_size;
        check_batch("train.batch_size", frames, size.height(), size.width())?;
        check_one_step(self.limit, train, "videos")
    }
}
