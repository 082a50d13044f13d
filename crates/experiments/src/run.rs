//! A run: the interface for a system to train its phases, to measure and to report.
//!
//! A system drives its run ([`System::run`]); this file knows no system and no medium.

mod phase;
mod progress;
mod teacher;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use bauta_data::Share;
use bauta_eval::{FeatureStore, Scores};
use bauta_recipe::{Recipe, SystemSettings, Train};
use bauta_report::plan::StepSizes;
use bauta_report::{EventLog, Section, Summary, TeacherWeights};
use bauta_train::{Ranks, StepTimes, Trainer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::Device;

use crate::settings::choose_precision;

pub use self::phase::RunPhase;
use self::progress::say;
pub use self::progress::{Console, TrainingProgress, remark, show_in_passing, tell};
pub(crate) use self::teacher::digest;
pub use crate::settings::choose_device;
pub use bauta_eval::{Splits, cached, choose_threads, device_name};
pub use bauta_recipe::Folders;

/// A published system: its run, from settings to scores.
pub trait System {
    /// The settings of its recipes.
    type Settings: SystemSettings;

    /// Trains in one phase or several, and measures the result.
    ///
    /// # Errors
    /// When settings, data and models do not fit together, or the run ends early; the last
    /// checkpoint is kept.
    fn run(settings: &Self::Settings, run: &mut Run<'_>) -> Result<Scores>;
}

/// The purpose of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// To train, measure and report.
    Report,
    /// To train, and to compute this process's share of the features that rank 0 measures.
    Assist,
    /// To train a network that teaches another run.
    Teach,
    /// To time this many steps of the first phase, and keep nothing.
    Time(u64),
    /// To report the sizes of the first phase's steps; nothing is trained.
    Size,
}

/// How a run is started.
#[derive(Clone, Copy)]
pub struct Launch<'a> {
    /// The recipe's name.
    pub name: &'a str,
    /// The folders of its files.
    pub folders: &'a Folders,
    /// Its purpose.
    pub aim: Aim,
    /// Continue from the folder's last checkpoint, if there is one.
    pub resume: bool,
    /// Set to end it early.
    pub stop: &'a AtomicBool,
    /// The processes that train it, each its share; the first of them writes.
    pub ranks: &'a Ranks,
    /// Starts the run of a recipe that trains a teacher.
    pub launch: fn(Recipe, &Launch<'_>) -> Result<RunEnd>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum RunEnd {
    /// Trained, measured and reported.
    Finished(Box<Summary>),
    /// Stopped on demand, at this step, with a checkpoint.
    Stopped(u64),
    /// Trained, for [`Aim::Teach`] and [`Aim::Assist`].
    Trained,
    /// Timed, for [`Aim::Time`], with matrix-product operations of one sample's step.
    Timed(Box<StepTimes>, u64),
    /// Sized, for [`Aim::Size`].
    Sized(Box<StepSizes>),
}

/// A run in progress, as its system sees it.
pub struct Run<'a> {
    /// Seed of every random stream.
    pub seed: u64,
    /// Optimiser, schedule and bookkeeping.
    pub train: Train,
    /// Device of the tensors.
    pub device: Device,
    /// Threads of libtorch and of loaders.
    pub threads: usize,
    /// Set to end it early.
    pub stop: &'a AtomicBool,
    launch: Launch<'a>,
    /// The processes that measure together: all, until rank 0 continues alone.
    measuring: Ranks,
    /// Whether the run is resumed and its folder existed before.
    begun: bool,
    /// The resolved recipe, written when the folder is made.
    recipe: String,
    trainer: Option<Trainer<'a>>,
    /// The event file for TensorBoard.
    events: Option<EventLog>,
    teacher: Option<TeacherWeights>,
    /// The samples in words, for the first line that is shown.
    pub(crate) trained_on: String,
    parameters: usize,
    trained: Instant,
    sections: Vec<Section>,
    protocols: Vec<String>,
}

/// A run that ends before its system's last line, on purpose.
#[derive(Debug, thiserror::Error)]
#[error("the run ends early")]
struct Ended(RunEnd);

impl<'a> Launch<'a> {
    /// Runs a system on its recipe.
    ///
    /// # Errors
    /// With a message that says what to do; the last checkpoint is kept. A run that cannot start
    /// leaves no folder behind.
    pub fn run<S: System>(&self, recipe: &Recipe<S::Settings>) -> Result<RunEnd> {
        recipe.check_run_folder(&self.folders.run, self.resume)?;
        let found = self.ranks.leads() && self.resume && self.folders.run.exists();
        if let Some(place) = self.folders.lost_checkpoints().filter(|_| found) {
            say(&format!(
                "no checkpoint found in {}; training starts from step 0",
                place.display()
            ));
        }
        // All learn what rank 0 found. A barrier: no rank creates the folder before all are here.
        let begun = self.ranks.any(found)?;
        let (device, threads) = (choose_device(recipe.train.device)?, recipe.train.threads);
        self.ranks.check_device(device)?;
        let precision = choose_precision(recipe.train.precision, device);
        let mut run = Run {
            seed: recipe.seed,
            train: Train { precision, ..recipe.train.clone() },
            device,
            threads: choose_threads(if threads == 0 { self.ranks.threads() } else { threads }),
            stop: self.stop,
            launch: *self,
            measuring: self.ranks.clone(),
            begun,
            recipe: recipe.to_toml()?,
            trainer: None,
            events: None,
            teacher: None,
            trained_on: String::new(),
            parameters: 0,
            trained: Instant::now(),
            sections: Vec::new(),
            protocols: Vec::new(),
        };
        match S::run(&recipe.settings, &mut run) {
            Ok(_) if self.aim == Aim::Assist => Ok(RunEnd::Trained),
            Ok(scores) => {
                let summary = run.summary(recipe, scores)?;
                Section::write_all(&run.sections, &self.folders.run)?;
                summary.write(&self.folders.run.join("summary.json"))?;
                bauta_report::write(&self.folders.run)?;
                Ok(RunEnd::Finished(Box::new(summary)))
            }
            Err(error) => error.downcast::<Ended>().map(|Ended(end)| end),
        }
    }
}

impl Run<'_> {
    /// The run's folder.
    pub fn folder(&self) -> &Path {
        &self.launch.folders.run
    }

    /// The part of each training batch that this process computes.
    pub fn share(&self) -> Share {
        self.launch.ranks.share()
    }

    /// The processes that train it.
    pub fn ranks(&self) -> &Ranks {
        self.launch.ranks
    }

    /// The result of `make` in the first process, sent to all others, which wait for it. All must
    /// call it.
    ///
    /// # Errors
    /// Errors of `make`, of which the other processes learn only that the first is gone.
    pub fn by_first<T>(&self, make: impl FnOnce() -> Result<T>) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
    {
        let ranks = self.ranks();
        if ranks.count() == 1 {
            return make();
        }
        if ranks.leads() {
            let made = make()?;
            ranks.told_by_first(&serde_json::to_string(&made)?)?;
            return Ok(made);
        }
        let text = ranks.told_by_first("")?;
        serde_json::from_str(&text).context("process 0 sent a message that cannot be read")
    }

    /// Where the features of the current measurement are kept, and which processes compute them.
    pub(crate) fn feature_store(&self, in_memory: u64) -> FeatureStore {
        FeatureStore::new(in_memory, self.folder()).among(&self.measuring)
    }

    /// Adds a section to the report, or extends the one of the same title.
    pub fn section(&mut self, section: Section) {
        match self.sections.iter_mut().find(|known| known.title == section.title) {
            Some(known) => known.body.extend(section.body),
            None => self.sections.push(section),
        }
    }

    /// Whether the report has a section of this title.
    pub fn has_section(&self, title: &str) -> bool {
        self.sections.iter().any(|known| known.title == title)
    }

    /// Describes the scores, one protocol per line.
    pub fn explain(&mut self, protocols: impl IntoIterator<Item = String>) {
        self.protocols.extend(protocols);
    }

    /// Proceeds from training to what rank 0 alone draws and measures; the run of any other rank
    /// ends here.
    ///
    /// # Errors
    /// When the run ends here, or `stop` is set.
    pub fn measures(&mut self) -> Result<()> {
        self.measures_together()?;
        if self.launch.aim == Aim::Assist {
            return Err(Ended(RunEnd::Trained).into());
        }
        self.measuring = Ranks::alone();
        Ok(())
    }

    /// Proceeds from training to what all processes measure together, each its share; a run that
    /// only trains ends here.
    ///
    /// # Errors
    /// As [`Self::measures`].
    pub fn measures_together(&self) -> Result<()> {
        if self.launch.aim == Aim::Teach {
            return Err(Ended(RunEnd::Trained).into());
        }
        if self.stop.load(Ordering::Relaxed) {
            anyhow::bail!("stopped while evaluating; go on with the same command and --resume");
        }
        Ok(())
    }

    fn summary<S: SystemSettings>(&self, recipe: &Recipe<S>, scores: Scores) -> Result<Summary> {
        let progress = self.trainer.as_ref().context("a run trains at least one phase")?.progress();
        Ok(Summary {
            recipe: self.launch.name.to_owned(),
            system: S::NAME.to_owned(),
            seed: recipe.seed,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: device_name(self.device),
            threads: self.threads,
            processes: self.launch.ranks.count(),
            precision: self.train.precision.to_string(),
            teacher: self.teacher.clone(),
            train: progress.training(self.parameters),
            eval: scores.eval.into_iter().collect(),
            baseline: scores.baseline.into_iter().collect(),
            protocols: self.protocols.clone(),
            eval_seconds: self.trained.elapsed().as_secs_f64(),
        })
    }
}
