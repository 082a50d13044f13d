//! The phases of a run: what a recipe's `train` table makes of them, and how they are trained.

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use anyhow::Result;
use bauta_backbones::Flops;
use bauta_data::Inputs;
use bauta_recipe::Train;
use bauta_report::EventLog;
use bauta_train::{End, Event, Objective, Phase, Standing, Start, Trainer, time_steps};

use super::{Aim, Ended, Run, RunEnd, TrainingProgress, folder};
use crate::settings::train_config;

/// A phase of a run, and what its steps cost.
#[derive(Clone, Debug)]
pub struct RunPhase {
    pub(crate) phase: Phase,
    pub(crate) flops_per_sample: Flops,
}

impl RunPhase {
    /// A phase trained as a `train` table says, on so many inputs per epoch.
    pub fn new(name: &str, train: &Train, inputs_per_epoch: u64) -> Self {
        let config = train_config(train, inputs_per_epoch);
        Self { phase: Phase::new(name, config), flops_per_sample: Flops::default() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.phase.name
    }

    /// The same, with matrix-product operations of one sample's step; a teacher's count only
    /// where they are said to.
    pub fn costing(self, flops_per_sample: Flops) -> Self {
        Self { flops_per_sample, ..self }
    }

    /// The same, beginning as `start` says.
    pub fn starting(mut self, start: Start) -> Self {
        self.phase.start = start;
        self
    }

    /// The same, leaving a model folder of its name in `checkpoints`.
    pub fn keeping(mut self) -> Self {
        self.phase.keep = true;
        self
    }

    /// Inputs that it trains on.
    pub fn inputs(&self) -> u64 {
        self.phase.config.schedule.steps * self.phase.config.accumulate as u64
    }
}

impl<'a> Run<'a> {
    /// A phase trained as the recipe's `train` table says, on so many inputs per epoch.
    pub fn phase(&self, name: &str, inputs_per_epoch: u64) -> RunPhase {
        RunPhase::new(name, &self.train, inputs_per_epoch)
    }

    /// Trains a phase to its end, or loads what it ended with.
    ///
    /// # Errors
    /// Whatever keeps the run from going on, and when it ends here: `stop` is set, or it was
    /// to be timed.
    pub fn train<O: Objective>(
        &mut self,
        phase: &RunPhase,
        objective: &mut O,
        inputs: impl FnMut(Range<u64>) -> Inputs<O::Input>,
    ) -> Result<()> {
        if let Aim::Time(steps) = self.launch.aim {
            let (config, flops) = (&phase.phase.config, phase.flops_per_sample.total());
            let timing = time_steps(config, flops, objective, inputs, steps)?;
            return Err(Ended(RunEnd::Timed(Box::new(timing))).into());
        }
        self.parameters = objective.parameters().count();
        self.trainer()?;
        let (Some(trainer), Some(events)) = (&mut self.trainer, &mut self.events) else {
            unreachable!("both were opened above")
        };
        let made = trainer.progress();
        let before = if made.phase == phase.phase.name { made.phase_step } else { 0 };
        let steps = made.step - before + phase.phase.config.schedule.steps;
        let mut progress = TrainingProgress::new(&phase.phase.name, steps);
        let mut told = Ok(());
        let end = trainer.fit(&phase.phase, objective, inputs, |event| {
            progress.observe(&event);
            let shown = match event {
                Event::Record(record) => events.record(&record.phase, record),
                Event::Checkpoint(_) => events.flush(),
                Event::Step { .. } => Ok(()),
            };
            // The first failure is the one to report.
            told = std::mem::replace(&mut told, Ok(())).and(shown);
        });
        progress.finish();
        told?;
        self.trained = Instant::now();
        match end? {
            End::Stopped { step } => Err(Ended(RunEnd::Stopped(step)).into()),
            End::Finished | End::Earlier => Ok(()),
        }
    }

    /// Shows a picture, as PNG, to who watches the run in TensorBoard.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn watched(&mut self, name: &str, png: &[u8]) -> Result<()> {
        let Some((trainer, events)) = self.trainer.as_ref().zip(self.events.as_mut()) else {
            return Ok(());
        };
        Ok(events.image(trainer.progress().step, &format!("pictures/{name}"), png)?)
    }

    /// Whether a phase of this name is over, in this life of the run or a former one.
    ///
    /// # Errors
    /// When the checkpoints cannot be read.
    pub fn is_over(&mut self, phase: &str) -> Result<bool> {
        Ok(self.has_begun() && self.trainer()?.is_over(phase))
    }

    /// Where a phase of this name stands, in this life of the run or a former one.
    ///
    /// # Errors
    /// When the checkpoints cannot be read.
    pub fn standing(&mut self, phase: &str) -> Result<Standing> {
        if self.has_begun() { Ok(self.trainer()?.standing(phase)) } else { Ok(Standing::Ahead) }
    }

    /// A run that begins has no folder yet, and needs none to say where its phases stand.
    fn has_begun(&self) -> bool {
        self.trainer.is_some() || self.launch.resume && self.folder().exists()
    }

    /// The model folder that a phase of this name has kept.
    pub fn kept(&self, phase: &str) -> PathBuf {
        self.folder().join("checkpoints").join(phase)
    }

    /// The model folder of the last checkpoint.
    pub fn last(&self) -> PathBuf {
        self.folder().join("checkpoints/last")
    }

    /// The run's training; makes the folder if it is not there.
    fn trainer(&mut self) -> Result<&mut Trainer<'a>> {
        if self.trainer.is_none() {
            folder::prepare(self.folder(), &self.recipe)?;
            let trainer = Trainer::open(self.folder(), self.launch.resume, self.stop)?;
            let step = trainer.progress().step;
            self.events = Some(EventLog::open(self.folder(), step, SystemTime::now)?);
            self.trainer = Some(trainer);
        }
        Ok(self.trainer.as_mut().expect("it was opened above"))
    }
}
