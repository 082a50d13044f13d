//! The parts of a run, and batches of them with targets drawn from those of each face.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use bauta_brep::generate::Parts;
use bauta_brep::model::SampledBatch;
use bauta_brep::{BrepError, Holdout, Part, PartSplits, PartStore, Sampling};
use bauta_data::{DataError, Inputs, Prefetcher, Prepared, Share, cache_root};
use bauta_libtorch::on_one_thread;
use bauta_recipe::{Brep as Settings, PartSource, SplitBy};
use bauta_streams::{Purpose, StreamKey};

use crate::run::Run;

/// Number of inputs that are prepared ahead of the step.
const QUEUE: usize = 4;

/// The parts to train on and to test on, and how batches are built from them.
pub(super) struct CadParts {
    pub splits: PartSplits,
    train: Arc<PartStore>,
    seed: u64,
    batch_size: usize,
    share: Share,
}

impl CadParts {
    /// Generates or opens the parts of a recipe.
    ///
    /// # Errors
    /// When a folder does not hold prepared parts, or there are fewer parts than a batch has.
    pub fn open(settings: &Settings, run: &Run<'_>) -> Result<Self> {
        let data = &settings.data;
        let splits = match data.name {
            PartSource::Generated => {
                let sampling =
                    Sampling { candidates: data.candidates, kept: data.targets, near: data.near };
                let counts = [data.generated(), data.test];
                PartSplits::generate(Parts { seed: run.seed }, counts, &sampling)?
            }
            PartSource::Prepared | PartSource::OcctMisc | PartSource::Kicad => {
                let root = match (&data.root, data.cached()) {
                    (Some(root), _) => root.clone(),
                    (None, Some(folder)) => cache_root()?.join(folder),
                    (None, None) => bail!("data.root is missing: the folder of prepared parts"),
                };
                let by_base_name = data.split_by == SplitBy::BaseName;
                let holdout = Holdout { fraction: data.holdout, by_base_name };
                PartSplits::open(&root, &holdout, data.limit)?
            }
        };
        let (count, batch_size) = (splits.train.len(), run.train.batch_size);
        ensure!(
            count >= batch_size,
            "train.batch_size is {batch_size}, but there are only {count} parts to train on; give \
             more parts or a smaller train.batch_size"
        );
        let share = run.share();
        share.check(batch_size)?;
        let train = Arc::new(splits.train.clone());
        Ok(Self { train, splits, seed: run.seed, batch_size, share })
    }

    /// Batches in an epoch.
    pub fn batches_per_epoch(&self) -> u64 {
        (self.train.len() / self.batch_size) as u64
    }

    /// Training batches with the given number of targets per face.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn inputs(
        &self,
        threads: usize,
        points: usize,
    ) -> Result<impl FnMut(Range<u64>) -> Inputs<SampledBatch> + use<>> {
        let prefetcher = Prefetcher::new(threads, QUEUE)?;
        let order = Order {
            train: Arc::clone(&self.train),
            seed: self.seed,
            batch_size: self.batch_size as u64,
            per_epoch: self.batches_per_epoch(),
            share: self.share,
            points,
        };
        Ok(move |steps| {
            let order = order.clone();
            let make = on_one_thread(move |step| order.batch(step));
            prefetcher.inputs(steps, move |step, _| {
                make(step).map(Prepared::whole).map_err(|error| DataError::Input(error.into()))
            })
        })
    }
}

/// The order of parts: which ones a step has.
#[derive(Clone)]
struct Order {
    train: Arc<PartStore>,
    seed: u64,
    batch_size: u64,
    per_epoch: u64,
    share: Share,
    points: usize,
}

impl Order {
    fn batch(&self, step: u64) -> Result<SampledBatch, BrepError> {
        let (epoch, place) = (step / self.per_epoch, step % self.per_epoch);
        let key = |purpose, sample| StreamKey { seed: self.seed, purpose, epoch, sample };
        let mut order: Vec<usize> = (0..self.train.len()).collect();
        key(Purpose::SHUFFLE, 0).stream().shuffle(&mut order);
        let first = (place * self.batch_size) as usize;
        let numbers = self.share.part(&order[first..first + self.batch_size as usize]);
        let parts = numbers.iter().map(|&number| self.train.get(number));
        let parts = parts.collect::<Result<Vec<Cow<'_, Part>>, BrepError>>()?;
        let mut rows = Vec::new();
        for (part, &number) in parts.iter().zip(numbers) {
            let mut stream = key(Purpose::named("brep points"), number as u64).stream();
            rows.extend(part.draw_targets(self.points, &mut stream));
        }
        Ok(SampledBatch::of(&parts.iter().map(|part| &**part).collect::<Vec<_>>(), &rows))
    }
}
