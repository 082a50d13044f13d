//! The phases of a run: how a recipe's `train` table defines them, and how they are trained.

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use anyhow::{Result, ensure};
use bauta_backbones::StepCost;
use bauta_data::Inputs;
use bauta_eval::{EvalError, OnlineMetrics, device_name};
use bauta_libtorch::remembered_peak;
use bauta_recipe::{Train, prepare_run_folder};
use bauta_report::plan::StepSizes;
use bauta_report::{EventLog, Section, thread_count};
use bauta_train::{End, Event, Objective, Phase, Standing, Start, Trainer, step_sizes, time_steps};

use super::progress::say;
use super::{Aim, Ended, Launch, Run, RunEnd, TrainingProgress};
use crate::settings::{precision, train_config};

/// A phase of a run, and the cost of its steps.
#[derive(Clone, Debug)]
pub struct RunPhase {
    pub(crate) phase: Phase,
    cost: StepCost,
    /// Number of phases of the run that are like this one.
    count: u32,
}

impl RunPhase {
    /// A phase trained as a `train` table says, on the given number of inputs per epoch.
    pub fn new(name: &str, train: &Train, inputs_per_epoch: u64) -> Self {
        let config = train_config(train, inputs_per_epoch);
        Self { phase: Phase::new(name, config), cost: StepCost::default(), count: 1 }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.phase.name
    }

    /// The same, with the cost of one sample's step, which includes that of a teacher only if
    /// added.
    pub fn costing(self, cost: StepCost) -> Self {
        Self { cost, ..self }
    }

    /// The same, as one of `count` phases that are alike.
    pub fn one_of(self, count: u32) -> Self {
        Self { count, ..self }
    }

    /// The same, starting as `start` says.
    pub fn starting(mut self, start: Start) -> Self {
        self.phase.start = start;
        self
    }

    /// The same, leaving a model folder of its name in `checkpoints`.
    pub fn keeping(mut self) -> Self {
        self.phase.keep = true;
        self
    }

    /// The same, measured every `epochs` epochs while it trains; never for 0.
    pub fn measured_every(mut self, epochs: u32) -> Self {
        let config = &mut self.phase.config;
        config.measure_every = u64::from(epochs) * config.steps_per_epoch;
        self
    }

    /// Inputs that it trains on.
    pub fn inputs(&self) -> u64 {
        self.phase.config.schedule.steps * self.phase.config.accumulate as u64
    }
}

impl<'a> Run<'a> {
    /// A phase trained as the recipe's `train` table says, on this many inputs per epoch.
    pub fn phase(&self, name: &str, inputs_per_epoch: u64) -> RunPhase {
        RunPhase::new(name, &self.train, inputs_per_epoch)
    }

    /// Trains a phase to its end, or loads its result.
    ///
    /// # Errors
    /// Any error of training, and when the run ends here: `stop` is set, or it was to be timed.
    pub fn train<O: Objective>(
        &mut self,
        phase: &RunPhase,
        objective: &mut O,
        inputs: impl FnMut(Range<u64>) -> Inputs<O::Input>,
    ) -> Result<()> {
        self.train_measured(phase, objective, inputs, |_| Err(EvalError::Stopped))
    }

    /// The same, measured by `measure` if the phase asks for it.
    ///
    /// # Errors
    /// As [`Self::train`].
    pub fn train_measured<O: Objective>(
        &mut self,
        phase: &RunPhase,
        objective: &mut O,
        inputs: impl FnMut(Range<u64>) -> Inputs<O::Input>,
        measure: impl Fn(&O) -> Result<OnlineMetrics, EvalError>,
    ) -> Result<()> {
        if let Aim::Time(steps) = self.launch.aim {
            let times = time_steps(&phase.phase.config, objective, inputs, steps)?;
            return Err(Ended(RunEnd::Timed(Box::new(times), phase.cost.total())).into());
        }
        if self.launch.aim == Aim::Size {
            ensure!(phase.cost.total() > 0, "this system does not count its steps' operations");
            let sizes = step_sizes(&phase.phase, objective, phase.cost);
            let sizes = StepSizes { phases: u64::from(phase.count), peak: self.peak(), ..sizes };
            return Err(Ended(RunEnd::Sized(Box::new(sizes))).into());
        }
        self.parameters = objective.parameters().count();
        self.trainer()?;
        // Sections about the start of training must outlive a killed run.
        let leads = self.launch.ranks.leads();
        if leads && !self.sections.is_empty() {
            Section::write_all(&self.sections, self.folder())?;
        }
        if leads {
            self.open(phase);
        }
        let (flops, processes) = (phase.cost.total() as f64, self.launch.ranks.count());
        let peak = (leads && flops > 0.0).then(|| self.peak());
        let Some(trainer) = &mut self.trainer else { unreachable!("it was opened above") };
        let events = &mut self.events;
        let config = &phase.phase.config;
        let made = trainer.progress();
        let before = made.step - if made.phase == phase.phase.name { made.phase_step } else { 0 };
        let mut progress = TrainingProgress::new(&phase.phase.name, before + config.schedule.steps);
        let mut told = Ok(());
        let end = trainer.fit_measured(&phase.phase, objective, inputs, |mut event, objective| {
            if let Event::Record(record) = &mut event {
                let reached = flops * record.samples_per_second;
                record.peak_share = peak.map(|peak| peak_share(reached, processes, peak));
                if config.measures(record.step - before) {
                    match measure(objective) {
                        Ok(found) => {
                            record.features = found.record();
                            progress.measured(record, &found);
                        }
                        Err(EvalError::Stopped) => {}
                        Err(error) => keep_first(&mut told, Err(error.into())),
                    }
                }
            }
            progress.observe(&event);
            let shown = match (event, events.as_mut()) {
                (Event::Record(record), Some(events)) => events.record(&record.phase, record),
                (Event::Checkpoint(_), Some(events)) => events.flush(),
                _ => Ok(()),
            };
            keep_first(&mut told, shown.map_err(anyhow::Error::from));
        });
        progress.finish();
        told?;
        self.trained = Instant::now();
        match end? {
            End::Stopped { step } => Err(Ended(RunEnd::Stopped(step)).into()),
            End::Finished | End::Earlier => Ok(()),
        }
    }

    /// Prints which phase starts and on what data, or where it continues.
    fn open(&self, phase: &RunPhase) {
        let Some(made) = self.trainer.as_ref().map(Trainer::progress) else { return };
        let (name, steps) = (&phase.phase.name, phase.phase.config.schedule.steps);
        if made.finished.is_empty() && made.phase_step < steps {
            let Self { launch: Launch { name, .. }, parameters, threads, train, .. } = self;
            let (device, precision) = (device_name(self.device), train.precision);
            let threads = thread_count(*threads);
            say(&format!("{name}: {parameters} parameters, {device}, {threads}, {precision}"));
            say(&self.trained_on);
        }
        if made.is_over(name) {
            say(&format!("{name} is finished"));
        } else if made.phase == *name && made.phase_step > 0 {
            say(&format!("{name} continues from step {} of {steps}", made.phase_step));
        }
    }

    /// Operations per second that matrix products of the run's precision reach here.
    fn peak(&self) -> f64 {
        remembered_peak(precision(self.train.precision).kind(), self.device)
    }

    /// Adds a picture, as PNG, to the event file for TensorBoard.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn watched(&mut self, name: &str, png: &[u8]) -> Result<()> {
        let Some((trainer, events)) = self.trainer.as_ref().zip(self.events.as_mut()) else {
            return Ok(());
        };
        Ok(events.image(trainer.progress().step, &format!("pictures/{name}"), png)?)
    }

    /// Whether a phase of this name is over, in this process or before the run was resumed.
    ///
    /// # Errors
    /// When the checkpoints cannot be read.
    pub fn is_over(&mut self, phase: &str) -> Result<bool> {
        Ok(self.has_begun() && self.trainer()?.is_over(phase))
    }

    /// Ends a phase that cannot go on, so that another can begin.
    ///
    /// # Errors
    /// When the last checkpoint cannot be read or changed.
    pub fn abandon(&mut self, phase: &str) -> Result<()> {
        Ok(self.trainer()?.abandon(phase)?)
    }

    /// The state of a phase of this name, in this process or before the run was resumed.
    ///
    /// # Errors
    /// When the checkpoints cannot be read.
    pub fn standing(&mut self, phase: &str) -> Result<Standing> {
        if self.has_begun() { Ok(self.trainer()?.standing(phase)) } else { Ok(Standing::Ahead) }
    }

    /// A new run has no folder yet, and needs none to know the state of its phases.
    fn has_begun(&self) -> bool {
        self.trainer.is_some() || self.begun
    }

    /// The model folder that a phase of this name has kept.
    pub fn kept(&self, phase: &str) -> PathBuf {
        self.folder().join("checkpoints").join(phase)
    }

    /// The model folder of the last checkpoint.
    pub fn last(&self) -> PathBuf {
        self.folder().join("checkpoints/last")
    }

    /// The run's training; creates the folder if it does not exist.
    fn trainer(&mut self) -> Result<&mut Trainer<'a>> {
        if self.trainer.is_none() {
            let Launch { ranks, resume, .. } = self.launch;
            if ranks.leads() {
                prepare_run_folder(self.folder(), &self.recipe)?;
            }
            let trainer = Trainer::open_among(self.folder(), resume, self.stop, ranks)?;
            if ranks.leads() {
                let step = trainer.progress().step;
                self.events = Some(EventLog::open(self.folder(), step, SystemTime::now)?);
            }
            self.trainer = Some(trainer);
        }
        Ok(self.trainer.as_mut().expect("it was opened above"))
    }
}

/// The share of the `peak` of one process, given the operations per second of all together.
fn peak_share(reached: f64, processes: usize, peak: f64) -> f64 {
    (reached / processes as f64 / peak).min(1.0)
}

/// The first failure is the one to report.
fn keep_first(kept: &mut Result<()>, next: Result<()>) {
    if kept.is_ok() {
        *kept = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_share_the_operations_and_each_has_its_own_peak() {
        assert_eq!(peak_share(30.0, 1, 100.0), 0.3);
        assert_eq!(peak_share(120.0, 4, 100.0), 0.3);
        assert_eq!(peak_share(120.0, 1, 100.0), 1.0);
    }
}
