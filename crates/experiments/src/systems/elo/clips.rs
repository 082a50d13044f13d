//! The clips of a run, prepared once and kept in memory.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bauta_data::sound::{LogMel, LogMelConfig};
use bauta_data::video::{
    ClipFlow, Ffmpeg, MovingStamps, SoundingSource, SoundingSplit, SoundingVideos,
};
use bauta_data::{Inputs, Prefetcher, Prepared, cache_root, fetched};
use bauta_libtorch::on_one_thread;
use bauta_recipe::{ClipModality, ClipNetwork, Elo as Settings, SoundingClipSource};
use bauta_targets::pretext::{FrameNetwork, PretextConfig, SoundingClips, Task};
use bauta_train::Ranks;
use tch::{Device, Tensor};

use super::drawing::{Drawing, Part};
use super::maker::Maker;
use crate::run::Run;

/// Number of inputs prepared ahead of the step.
const QUEUE: usize = 8;

/// The clips of a run, and how inputs are built from them.
pub(super) struct Clips {
    maker: Arc<Maker>,
    prefetcher: Prefetcher,
    classes: Vec<String>,
    device: Device,
    ranks: Ranks,
}

impl Clips {
    /// Prepares the clips of a recipe.
    pub(super) fn open(settings: &Settings, run: &Run<'_>) -> Result<Self> {
        let share = run.share();
        share.check(run.train.batch_size)?;
        ensure!(
            run.train.batch_size >= 2 * share.of,
            "train.batch_size = {}: must be at least {}, two clips for each of {} processes, to \
             mismatch pairs",
            run.train.batch_size,
            2 * share.of,
            share.of
        );
        let (data, model) = (&settings.data, &settings.model);
        let cache = cache_root()?;
        let has = |modality| model.modalities.contains(&modality);
        let source = source(settings, &cache, has(ClipModality::Sound))?;
        let (frames, size) = (source.frames(), source.size());
        let classes = source.classes().to_vec();
        let drawing = Drawing {
            mel: LogMel::new(LogMelConfig { rate: source.rate(), ..LogMelConfig::default() })?,
            source,
        };
        let prefetcher = Prefetcher::new(run.threads, QUEUE)?;
        let part = |split, count| drawing.part(split, count, &prefetcher, run.stop);
        let [mut train, mut held_out, mut test] = [
            part(SoundingSplit::Train, data.limit)?,
            part(SoundingSplit::HeldOut, data.held_out)?,
            part(SoundingSplit::Test, data.test)?,
        ];
        for (part, what, least) in [
            (&train, "to train on", run.train.batch_size),
            (&held_out, "held out", settings.search.clusters),
            (&test, "to measure on", 1),
        ] {
            let (heard, silent) = (part.labels.len(), part.silent);
            ensure!(
                heard >= least,
                "{heard} clips {what} have sound, but at least {least} are needed: {silent} are \
                 silent or their sound ends before the middle; give more videos or more clips, or \
                 leave \"sound\" out of model.modalities"
            );
        }
        let moments = train.moments();
        [&mut train, &mut held_out, &mut test].into_iter().for_each(|part| part.scale(moments));
        let network = match model.network {
            ClipNetwork::Tiny => FrameNetwork::Tiny,
            ClipNetwork::Fifty => FrameNetwork::Fifty,
        };
        let sizes = PretextConfig {
            network,
            width: model.dim / network.factor(),
            frames: frames - model.future,
            future: model.future,
            size,
            grey: has(ClipModality::Grey),
            flow: has(ClipModality::Flow),
            sound: has(ClipModality::Sound).then(|| drawing.sound_sides()),
        };
        if sizes.flow {
            let flow = ClipFlow::new(cache.join("flow"));
            train.flow = flow.of(&train.pixels, [frames, size, size], &prefetcher, run.stop)?;
        }
        let (seed, batch) = (run.seed, run.train.batch_size);
        let maker = Arc::new(Maker { train, held_out, test, sizes, seed, batch, share });
        let ranks = run.ranks().clone();
        Ok(Self { maker, prefetcher, classes, device: run.device, ranks })
    }

    pub(super) fn seed(&self) -> u64 {
        self.maker.seed
    }

    pub(super) fn device(&self) -> Device {
        self.device
    }

    /// The processes that train on them, each on its share of every batch.
    pub(super) fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// Names of the tasks, in the order of their weights.
    pub(super) fn task_names(&self) -> Vec<&'static str> {
        self.sizes().tasks().into_iter().map(Task::name).collect()
    }

    /// Sizes of the networks and their clips.
    pub(super) fn sizes(&self) -> &PretextConfig {
        &self.maker.sizes
    }

    pub(super) fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Whether the clips have at least two classes.
    pub(super) fn are_labelled(&self) -> bool {
        self.classes.len() >= 2
    }

    pub(super) fn train(&self) -> &Part {
        &self.maker.train
    }

    pub(super) fn held_out(&self) -> &Part {
        &self.maker.held_out
    }

    pub(super) fn test(&self) -> &Part {
        &self.maker.test
    }

    /// u8 pixels of some clips of a part, by index.
    pub(super) fn pixels(&self, part: &Part, chosen: Range<usize>) -> Tensor {
        self.maker.pixels(part, &chosen.collect::<Vec<_>>()).to_device(self.device)
    }

    /// The training data, in one line.
    pub(super) fn in_words(&self) -> String {
        let parts = [self.train(), self.held_out(), self.test()];
        let [train, held_out, test] = parts.map(|part| part.labels.len());
        let classes = match self.classes.len() {
            0 => "without classes".to_owned(),
            classes => format!("of {classes} classes"),
        };
        let silent = match parts.iter().map(|part| part.silent).sum() {
            0_u64 => String::new(),
            silent => format!("; {silent} silent ones were left out"),
        };
        format!(
            "{train} clips to train on, {held_out} held out and {test} to measure on, \
             {classes}{silent}"
        )
    }

    /// Whole batches in a pass over the training clips.
    pub(super) fn steps_per_epoch(&self) -> u64 {
        (self.train().labels.len() / self.maker.batch) as u64
    }

    /// The inputs of a round's steps: 0 for the final training, the number of a generation, from
    /// 1, for its candidates.
    pub(super) fn inputs(
        &self,
        round: u64,
    ) -> impl FnMut(Range<u64>) -> Inputs<SoundingClips> + use<> {
        let (prefetcher, maker) = (self.prefetcher.clone(), Arc::clone(&self.maker));
        move |steps| {
            let maker = Arc::clone(&maker);
            let make = on_one_thread(move |step| maker.step(step, round));
            prefetcher.inputs(steps, move |step, _| Ok(Prepared::whole(make(step))))
        }
    }
}

/// The source of a recipe's clips, with sound if `heard`.
fn source(settings: &Settings, cache: &Path, heard: bool) -> Result<Arc<dyn SoundingSource>> {
    let (data, ffmpeg) = (&settings.data, Ffmpeg::find(cache)?);
    Ok(match data.name {
        SoundingClipSource::MovingStamps => {
            let root = match &data.root {
                Some(root) => root.clone(),
                None => fetched(data.package().context("the stamps are not a package")?, cache)?,
            };
            Arc::new(MovingStamps::open(&root, &ffmpeg, &data.moving)?)
        }
        SoundingClipSource::Videos => {
            let root = data.root.as_deref().context("data.root is not a folder of videos")?;
            let mut notes = Vec::new();
            let videos = SoundingVideos::open(root, &ffmpeg, &data.videos, heard, &mut notes)?;
            notes.iter().for_each(|note| tracing::info!("{note}"));
            Arc::new(videos)
        }
    })
}
