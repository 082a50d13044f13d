//! ELo: a search for weights of self-supervised losses on clips with sound (arXiv 2002.12177).

mod modality;
mod weights;

use std::path::PathBuf;

use bauta_datasets::video::{MovingStampsOptions, SoundingVideoOptions, ffmpeg_package};
use bauta_datasets::{PACKAGES, Package};
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};

pub use self::modality::ClipModality;
pub use self::weights::{OfFrames, OfModalities, OfPairs, OfSites, OfTransfers, TaskWeights};
use crate::data_need::DataNeed;
use crate::reading::{
    Violation, at_least_one, ensure, must_be, non_negative, positive, proper_fraction,
};
use crate::system_settings::SystemSettings;
use crate::tables::images::check_root;
use crate::tables::limits::{check_batch, count};
use crate::tables::{Eval, Linear, Protocol, Train};

/// Settings of a recipe of system `elo`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elo {
    /// The clips.
    pub data: SoundingData,
    /// The networks of the modalities.
    pub model: ClipNetworks,
    /// How the weights are searched.
    #[serde(default)]
    pub search: SearchTable,
    /// Fixed weights, in [0, 1], by task and modality; those that are not given are searched.
    #[serde(default)]
    pub lambda: TaskWeights,
    /// What is measured at the end.
    #[serde(default)]
    pub eval: EloEval,
}

/// The clips to train and evaluate on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoundingData {
    /// Where the clips come from.
    pub name: SoundingClipSource,
    /// The folder of your videos, or of stamps; if not given, Tux Paint's stamps are fetched to the
    /// cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Clips to train on, 2000 if not given.
    #[serde(default = "defaults::limit")]
    pub limit: usize,
    /// Clips held out to choose weights by.
    #[serde(default = "defaults::held_out")]
    pub held_out: usize,
    /// Clips to measure on.
    #[serde(default = "defaults::test")]
    pub test: usize,
    /// With `moving-stamps`: what the clips look and sound like.
    #[serde(default)]
    pub moving: MovingStampsOptions,
    /// With `videos`: how clips are cut from them.
    #[serde(default)]
    pub videos: SoundingVideoOptions,
}

/// Where clips come from, by the names that recipes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum SoundingClipSource {
    /// Tux Paint's stamps that cross a frame, each with its own sound.
    MovingStamps,
    /// A folder of your own videos with sound, in any layout of `docs/your-own-videos.md`.
    Videos,
}

/// The networks of the modalities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipNetworks {
    /// The kind of network for frames.
    #[serde(default)]
    pub network: ClipNetwork,
    /// Width of an embedding, D: a multiple of 4, for `r2plus1d-50` of 32 (the paper's is 2048).
    pub dim: usize,
    /// Number of frames to predict, which follow those that the networks see.
    #[serde(default = "defaults::future")]
    pub future: usize,
    /// The modalities that have a network: `rgb` always, and any of `grey`, `flow` (optical flow)
    /// and `sound`. Tasks of the others are neither searched nor trained.
    #[serde(default = "ClipModality::all")]
    pub modalities: Vec<ClipModality>,
}

/// Networks for frames, by the names that recipes use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
pub enum ClipNetwork {
    /// A stem and three stages of one block each, for clips of about 8 frames of 32 × 32 pixels.
    #[default]
    #[serde(rename = "tiny")]
    #[strum(serialize = "tiny")]
    Tiny,
    /// A (2+1)D ResNet-50, the paper's.
    #[serde(rename = "r2plus1d-50")]
    #[strum(serialize = "r2plus1d-50")]
    Fifty,
}

/// Methods that propose weights, by the names that recipes use, in the order of the documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum WeightSearch {
    /// CMA-ES: samples of a normal distribution that adapts.
    #[default]
    CmaEs,
    /// Children of the best of small samples of the population.
    Tournament,
    /// Zero and one on as many weights as the budget allows.
    Grid,
    /// Uniform weights.
    Random,
    /// No search: weights that `lambda` does not give are 1.
    None,
}

/// How the weights are searched: each candidate trains networks for a while, and is judged by how
/// well the sizes of their clusters follow Zipf's law.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchTable {
    /// The method that proposes weights.
    pub method: WeightSearch,
    /// Number of generations.
    pub generations: u32,
    /// Candidates per generation, at least 2.
    pub population: usize,
    /// With `cma-es`: the first step size, in (0, 1].
    pub step: f64,
    /// Number of evaluations after which a good candidate counts as reliable. Evaluating one again
    /// takes the place of a new candidate; `cma-es` evaluates none again.
    pub repeats: u32,
    /// Steps that a candidate trains for.
    pub steps: u64,
    /// Clusters, near the number of classes that are expected.
    pub clusters: usize,
    /// Exponent of Zipf's law.
    pub exponent: f64,
    /// Temperature of the soft assignment to clusters.
    pub temperature: f64,
    /// Clusterings over which the fitness is averaged.
    pub draws: u32,
}

impl Default for SearchTable {
    fn default() -> Self {
        Self {
            method: WeightSearch::default(),
            generations: 15,
            population: 12,
            step: 0.25,
            repeats: 3,
            steps: 150,
            clusters: 20,
            exponent: 1.0,
            temperature: 1.0,
            draws: 3,
        }
    }
}

/// What is measured on the labels of the test clips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EloEval {
    /// Measure the untrained network too, and train one with all weights 1.
    pub baselines: bool,
    /// Linear probe.
    pub linear: Linear,
}

impl Default for EloEval {
    fn default() -> Self {
        Self { baselines: true, linear: Linear::default() }
    }
}

impl EloEval {
    /// The protocol as the `eval` table of images.
    pub fn as_eval(&self) -> Eval {
        let protocols = vec![Protocol::Linear];
        Eval { protocols, linear: self.linear.clone(), ..Eval::default() }
    }
}

mod defaults {
    pub(super) fn limit() -> usize {
        2000
    }
    pub(super) fn held_out() -> usize {
        500
    }
    pub(super) fn test() -> usize {
        1000
    }
    pub(super) fn future() -> usize {
        4
    }
}

/// A task with a weight below this is left out of the training.
pub const LEAST_WEIGHT: f64 = 0.01;

/// Maximum number of clips in a split, which are kept in memory.
const MOST_CLIPS: usize = 100_000;

/// Maximum number of evaluations, and of steps, of a search.
const MOST: u64 = 1_000_000;

impl ClipNetworks {
    /// Whether every modality in the name of a task has a network.
    pub fn has(&self, task: &str) -> bool {
        let missing = ClipModality::all().into_iter().filter(|one| !self.modalities.contains(one));
        missing.into_iter().all(|modality| {
            let name: &str = modality.into();
            task.split(['.', '_']).all(|part| part != name)
        })
    }
}

impl SoundingData {
    /// The package that holds the stamps, if they are used and no folder is given.
    pub fn package(&self) -> Option<&'static Package> {
        let fetched = self.root.is_none() && self.name == SoundingClipSource::MovingStamps;
        PACKAGES.iter().find(|package| fetched && package.name == "tuxpaint-stamps")
    }

    /// Frames of a clip, and their height and width in pixels.
    fn frames_and_size(&self) -> [usize; 2] {
        match self.name {
            SoundingClipSource::MovingStamps => [self.moving.frames, self.moving.size],
            SoundingClipSource::Videos => [self.videos.frames, self.videos.size],
        }
    }

    /// Checks the options of the named source, under its own keys.
    fn check_source(&self) -> Result<(), Violation> {
        let [frames, size] = self.frames_and_size();
        let (in_frames, in_size) = match self.name {
            SoundingClipSource::MovingStamps => {
                at_least_one("data.moving.stamps", self.moving.stamps)?;
                non_negative("data.moving.exponent", self.moving.exponent)?;
                ("data.moving.frames", "data.moving.size")
            }
            SoundingClipSource::Videos => {
                let SoundingVideoOptions { seconds, holdout, .. } = self.videos;
                let lasts = (0.1..=60.0).contains(&seconds);
                must_be(lasts, "data.videos.seconds", seconds, "in [0.1, 60]")?;
                proper_fraction("data.videos.holdout", holdout)?;
                ("data.videos.frames", "data.videos.size")
            }
        };
        must_be((8..=1024).contains(&size), in_size, size, "in [8, 1024]")?;
        must_be((3..=1000).contains(&frames), in_frames, frames, "in [3, 1000]")
    }
}

impl Elo {
    fn check_search(&self) -> Result<(), Violation> {
        let SearchTable { generations, population, repeats, steps, draws, .. } = self.search;
        for (key, value, least) in [
            ("search.generations", u64::from(generations), 1),
            ("search.population", population as u64, 2),
            ("search.repeats", u64::from(repeats), 1),
            ("search.steps", steps, 1),
            ("search.draws", u64::from(draws), 1),
            ("search.clusters", self.search.clusters as u64, 2),
        ] {
            let within = (least..=MOST).contains(&value);
            must_be(within, key, value, &format!("in [{least}, {MOST}]"))?;
        }
        let (step, held_out) = (self.search.step, self.data.held_out);
        must_be(step > 0.0 && step <= 1.0, "search.step", step, "in (0, 1]")?;
        non_negative("search.exponent", self.search.exponent)?;
        positive("search.temperature", self.search.temperature)?;
        let clusters = self.search.clusters;
        ensure(clusters <= held_out, &["search.clusters", "data.held_out"], || {
            format!("search.clusters is {clusters}; it must be at most data.held_out, {held_out}")
        })?;
        ClipModality::check(&self.model.modalities)?;
        if let Some(others) = self.lambda.others {
            must_be((0.0..=1.0).contains(&others), "lambda.others", others, "in [0, 1]")?;
        }
        for (task, weight) in &self.lambda.named() {
            if let Some(weight) = *weight {
                let key = format!("lambda.{task}");
                must_be((0.0..=1.0).contains(&weight), &key, weight, "in [0, 1]")?;
                let idle = weight >= LEAST_WEIGHT && !self.model.has(task);
                ensure(!idle, &[key.as_str(), "model.modalities"], || {
                    format!("{key} is {weight}, but model.modalities leaves out its modality")
                })?;
            }
        }
        let mut all = self.lambda.given();
        all.retain(|(task, _)| self.model.has(task));
        let searched = all.iter().any(|(_, weight)| weight.is_none());
        let some =
            searched || all.iter().any(|(_, weight)| weight.is_some_and(|w| w >= LEAST_WEIGHT));
        ensure(some, &["lambda"], || {
            format!(
                "every weight of lambda is below {LEAST_WEIGHT}, so nothing is trained; raise one"
            )
        })?;
        let needless = !searched && self.search.method != WeightSearch::None;
        ensure(!needless, &["search.method", "lambda"], || {
            let method = self.search.method;
            format!(
                "search.method is \"{method}\", but lambda gives every weight; leave one out, or \
                 set search.method to \"none\""
            )
        })
    }
}

impl SystemSettings for Elo {
    const NAME: &'static str = "elo";

    fn check(&self, train: &Train) -> Result<(), Violation> {
        let data = &self.data;
        for (key, clips) in
            [("data.limit", data.limit), ("data.held_out", data.held_out), ("data.test", data.test)]
        {
            at_least_one(key, clips)?;
            must_be(clips <= MOST_CLIPS, key, clips, &format!("at most {MOST_CLIPS}"))?;
        }
        let (limit, batch) = (data.limit, train.batch_size);
        must_be(batch >= 2, "train.batch_size", batch, "at least 2, to mismatch pairs")?;
        ensure(limit >= batch, &["data.limit", "train.batch_size"], || {
            format!("data.limit {limit} is less than one step of train.batch_size {batch} clips")
        })?;
        let accumulate = train.accumulate;
        must_be(
            accumulate == 1,
            "train.accumulate",
            accumulate,
            "1, because losses are scaled by steps",
        )?;
        data.check_source()?;
        let [frames, size] = data.frames_and_size();
        check_batch("train.batch_size", batch.saturating_mul(frames), size, size)?;
        count("model.dim", self.model.dim)?;
        let (dim, future) = (self.model.dim, self.model.future);
        let factor = match self.model.network {
            ClipNetwork::Tiny => 4,
            ClipNetwork::Fifty => 32,
        };
        must_be(dim.is_multiple_of(factor), "model.dim", dim, &format!("a multiple of {factor}"))?;
        let fits = (1..=frames / 2).contains(&future);
        must_be(
            fits,
            "model.future",
            future,
            &format!("in [1, {}], half of the clip's frames", frames / 2),
        )?;
        self.check_search()?;
        self.eval.as_eval().check()?;
        let fetched = data.name == SoundingClipSource::MovingStamps;
        check_root(data.root.as_deref(), fetched, data.name.into()).map_err(Violation::left_open)
    }

    fn data(&self) -> Vec<DataNeed> {
        let clips = DataNeed { name: self.data.name.into(), package: self.data.package() };
        vec![clips, DataNeed { name: "ffmpeg", package: Some(ffmpeg_package()) }]
    }
}
