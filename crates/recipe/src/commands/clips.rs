//! The settings of the commands that evaluate and fine-tune a video transformer.

use std::path::PathBuf;

use bauta_datasets::video::{
    ClipAugment, ClipDataset, ClipOptions, ClipSampling, MovingMnistOptions, PanOptions,
    ShortVideo, VideoOptions,
};
use bauta_datasets::{DatasetName, OnError};
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use super::FineTuneMachine;
use crate::reading::{
    Checked, SettingsError, Violation, at_least_one, must_be, overrides, proper_fraction,
};
use crate::tables::limits::{count, within_limit};
use crate::tables::{ClipEval, FineTune, ViewCounts};

/// A data set of images or of videos, by its name in recipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedData {
    /// Images.
    Images(DatasetName),
    /// Videos.
    Videos(ClipDataset),
}

const IMAGES: &[DatasetName] = DatasetName::VARIANTS;
const VIDEOS: &[ClipDataset] = ClipDataset::VARIANTS;

impl VariantArray for NamedData {
    const VARIANTS: &'static [Self] = &{
        let mut all = [Self::Images(IMAGES[0]); IMAGES.len() + VIDEOS.len()];
        let mut at = 0;
        while at < all.len() {
            all[at] = match at < IMAGES.len() {
                true => Self::Images(IMAGES[at]),
                false => Self::Videos(VIDEOS[at - IMAGES.len()]),
            };
            at += 1;
        }
        all
    };
}

impl From<NamedData> for &'static str {
    fn from(data: NamedData) -> Self {
        match data {
            NamedData::Images(data) => data.into(),
            NamedData::Videos(data) => data.into(),
        }
    }
}

/// Labelled videos, given by dotted keys of a command, with the same meaning as in a recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LabelledClips {
    /// The folder of the videos, or of the moving digits; their cache if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Use only this many training videos, evenly spread over the split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The fraction held out for evaluation if a folder has no test split, in (0, 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holdout: Option<f64>,
    /// Which of the videos' labels to use, such as `direction`; if not given, the only one, or
    /// each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Which frames a clip has; the model determines how many.
    pub clip: ClipWindow,
    /// With `moving-mnist`: what the videos look like.
    pub moving: MovingMnistOptions,
    /// With `camera-pans`: what the videos look like.
    pub pans: PanOptions,
    /// With videos in files, or folders of frames: how they are read.
    pub videos: VideoOptions,
    /// What to do with a video that cannot be decoded.
    pub on_error: OnError,
}

/// Which frames a clip has; the model determines how many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClipWindow {
    /// Take every τ-th frame; if not given, every 4th, and every frame of generated videos.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride: Option<usize>,
    /// Frames per second at which `stride` counts.
    pub rate: f64,
    /// What to do with a clip that is longer than its video.
    pub short: ShortVideo,
}

impl Default for ClipWindow {
    fn default() -> Self {
        let ClipSampling { rate, short, .. } = ClipSampling::default();
        Self { stride: None, rate, short }
    }
}

impl LabelledClips {
    /// How clips of `frames` frames are sampled from these videos.
    pub fn sampling(&self, videos: ClipDataset, frames: usize) -> ClipSampling {
        let ClipWindow { stride, rate, short } = self.clip.clone();
        let usual = match videos {
            ClipDataset::MovingMnist | ClipDataset::CameraPans => 1,
            _ => ClipSampling::default().stride,
        };
        ClipSampling { frames, stride: stride.unwrap_or(usual), rate, short }
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

    fn check(&self) -> Result<(), Violation> {
        self.limit.map_or(Ok(()), |limit| at_least_one("data.limit", limit))?;
        self.holdout.map_or(Ok(()), |part| proper_fraction("data.holdout", part))?;
        self.clip.stride.map_or(Ok(()), |stride| count("data.clip.stride", stride))?;
        let rate = self.clip.rate;
        must_be(rate > 0.0 && rate.is_finite(), "data.clip.rate", rate, "above 0")
    }
}

/// The settings, as dotted keys, of the command that evaluates a video transformer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClipEvaluateSettings {
    /// The videos.
    pub data: LabelledClips,
    /// The protocols.
    pub eval: ClipEval,
}

impl Checked for ClipEvaluateSettings {
    fn check(&self) -> Result<(), Violation> {
        self.data.check()?;
        self.eval.check()
    }
}

impl ClipEvaluateSettings {
    /// Reads overrides, `key=value`, over the defaults.
    ///
    /// # Errors
    /// [`SettingsError`], which names the override and what is accepted.
    pub fn parse(set: &[String]) -> Result<Self, SettingsError> {
        overrides("the settings of evaluation", set)
    }
}

/// The settings, as dotted keys, of the command that fine-tunes a video transformer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClipFineTuneSettings {
    /// Seed of every random stream: order, clips, head, list of labels.
    pub seed: u64,
    /// The videos.
    pub data: LabelledClips,
    /// Device, number format and bookkeeping.
    pub train: FineTuneMachine,
    /// The protocol.
    pub eval: ClipFineTuneProtocol,
}

/// `eval` of [`ClipFineTuneSettings`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClipFineTuneProtocol {
    /// Fine-tuning; a step has `batch_size` videos.
    pub finetune: FineTune,
    /// Clips that are cut from each video in a step (repeated sampling).
    pub repeats: usize,
    /// Augmentation of training clips; if not given, one that keeps the labels true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub augment: Option<ClipAugment>,
    /// Views of each test video, over which the classes' probabilities are averaged.
    pub views: ViewCounts,
}

impl Default for ClipFineTuneProtocol {
    fn default() -> Self {
        let (finetune, views) = (FineTune::default(), ViewCounts::default());
        Self { finetune, repeats: 1, augment: None, views }
    }
}

impl Checked for ClipFineTuneSettings {
    fn check(&self) -> Result<(), Violation> {
        self.data.check()?;
        within_limit("train.threads", self.train.threads as f64)?;
        let every = self.train.log_every;
        must_be(every > 0, "train.log_every", every, "at least 1")?;
        let ClipFineTuneProtocol { finetune, repeats, views, .. } = &self.eval;
        count("eval.repeats", *repeats)?;
        count("eval.views.clips", views.clips)?;
        count("eval.views.crops", views.crops)?;
        for (key, value) in [
            ("eval.finetune.randaugment", finetune.randaugment),
            ("eval.finetune.erasing", finetune.erasing),
        ] {
            let what = "0, because it varies single images; eval.augment varies clips";
            must_be(value == 0.0, key, value, what)?;
        }
        finetune.check()
    }
}

impl ClipFineTuneSettings {
    /// Reads overrides, `key=value`, over the defaults.
    ///
    /// # Errors
    /// [`SettingsError`], which names the override and what is accepted.
    pub fn parse(set: &[String]) -> Result<Self, SettingsError> {
        overrides("the settings of fine-tuning on videos", set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::named;

    #[test]
    fn every_data_set_has_a_name_and_unknown_ones_get_the_nearest() {
        assert_eq!(NamedData::VARIANTS.len(), IMAGES.len() + VIDEOS.len());
        for &data in NamedData::VARIANTS {
            assert_eq!(named::<NamedData>("data set", data.into()).unwrap(), data);
        }
        let error = named::<NamedData>("data set", "frame-folder").unwrap_err().to_string();
        assert!(error.contains("did you mean frame-folders?"), "{error}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_key() {
        for (assignment, words) in [
            ("data.clip.frames=8", "unknown key data.clip.frames"),
            ("data.clip.stride=0", "must be at least 1"),
            ("data.clip.rate=0", "must be above 0"),
            ("data.holdout=1", "must be in (0, 1)"),
            ("data.limit=0", "must be at least 1"),
            ("eval.repeats=0", "must be at least 1"),
            ("eval.views.crops=0", "must be at least 1"),
            ("eval.finetune.erasing=0.25", "varies single images"),
            ("train.log_every=0", "must be at least 1"),
        ] {
            let error = ClipFineTuneSettings::parse(&[assignment.to_owned()]);
            let error = error.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert!(error.contains(assignment.split('=').next().unwrap()), "{error}");
        }
        let error = ClipEvaluateSettings::parse(&["eval.views.clips=0".to_owned()]);
        assert!(error.unwrap_err().to_string().contains("eval.views.clips"));
    }

    /// A key that is named changes no other.
    #[test]
    fn defaults_stay_where_others_are_named() {
        let set = ClipFineTuneSettings::parse(&["eval.finetune.epochs=1".to_owned()]).unwrap();
        let mut default = ClipFineTuneSettings::default();
        default.eval.finetune.epochs = 1;
        assert_eq!(set, default);
    }

    #[test]
    fn generated_videos_have_every_frame_taken() {
        let clips = LabelledClips::default();
        assert_eq!(clips.sampling(ClipDataset::MovingMnist, 8).stride, 1);
        assert_eq!(clips.sampling(ClipDataset::Videos, 16), ClipSampling::default());
    }
}
