//! The training loop, over the phases of a run.
//!
//! A phase starts fresh, or continues from the run's last checkpoint. Losses and norms are read
//! from the device every `log_every` steps; the first that is not finite stops the run.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bauta_backbones::checkpoint::write_tensors;
use bauta_data::Inputs;
use bauta_files::{FolderLock, remove_partials};
use bauta_report::{MetricsLog, Record};

use crate::checkpoints::Checkpoints;
use crate::window::Window;
use crate::{End, Objective, Phase, Progress, Ranks, Start, StepMaker, TrainError, checkpoint};

/// Events of the training loop.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step was made; its values have not been read from the device yet.
    Step {
        /// Steps made so far, in all phases.
        step: u64,
    },
    /// Metrics were read and are written next, with any values that an observer adds.
    Record(&'a mut Record),
    /// A checkpoint was written.
    Checkpoint(&'a Path),
}

/// A run's training: its folder, its progress, and how it stops.
///
/// A run calls [`fit`](Self::fit) for each of its phases, in the same order at each start of the
/// run. A finished phase is not trained again; a run that is interrupted at any instant resumes
/// from its last checkpoint.
#[derive(Debug)]
pub struct Trainer<'a> {
    run_folder: PathBuf,
    checkpoints: Checkpoints,
    /// Files other than checkpoints that rank 0 writes; other ranks only read.
    written: Option<Written>,
    progress: Progress,
    stop: &'a AtomicBool,
    ranks: Ranks,
}

#[derive(Debug)]
struct Written {
    metrics: MetricsLog,
    _lock: FolderLock,
}

/// Where a phase stands in the last checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A later phase has begun; this one is over.
    Earlier,
    /// It is the current phase, unfinished or finished.
    Present,
    /// It has not begun.
    Ahead,
}

impl<'a> Trainer<'a> {
    /// Opens a run's folder, creating it if necessary.
    ///
    /// The folder is locked against other processes while the trainer lives, and half-written files
    /// of killed processes are removed. With `resume`, the run continues from its last checkpoint,
    /// if there is one; without, it starts anew: the metrics of an earlier start are dropped, and
    /// its checkpoints no longer count. When `stop` is set, the current step is finished and a
    /// checkpoint written.
    ///
    /// # Errors
    /// [`TrainError::Busy`] when another process trains in the folder, [`TrainError::Io`] when
    /// it cannot be used, [`TrainError::Checkpoint`] when the progress in its last checkpoint
    /// cannot be read.
    pub fn open(run_folder: &Path, resume: bool, stop: &'a AtomicBool) -> Result<Self, TrainError> {
        Self::open_among(run_folder, resume, stop, &Ranks::alone())
    }

    /// Like [`Self::open`], in one of several processes, which all call it and then fit the same
    /// phases.
    ///
    /// Only rank 0 writes and calls observers, for which the others wait; all read the same
    /// folder. When `stop` is set on one rank, all finish the current step. A run can be resumed
    /// with any number of ranks.
    ///
    /// # Errors
    /// As [`Self::open`], and [`TrainError::Ranks`] when another rank does not respond.
    pub fn open_among(
        run_folder: &Path,
        resume: bool,
        stop: &'a AtomicBool,
        ranks: &Ranks,
    ) -> Result<Self, TrainError> {
        let checkpoints = Checkpoints::of(run_folder);
        let lock = match ranks.leads() {
            true => Some(Self::take(run_folder, resume, &checkpoints)?),
            false => None,
        };
        // Now rank 0 has cleaned up the folder.
        ranks.any(false)?;
        let progress = read_progress(&checkpoints)?;
        let write = |lock| -> Result<Written, TrainError> {
            let metrics = MetricsLog::open(&run_folder.join("metrics.jsonl"), progress.step)?;
            Ok(Written { metrics, _lock: lock })
        };
        let (written, ranks) = (lock.map(write).transpose()?, ranks.clone());
        Ok(Self { run_folder: run_folder.into(), checkpoints, written, progress, stop, ranks })
    }

    /// Creates and locks a run's folder and cleans it up.
    fn take(
        run_folder: &Path,
        resume: bool,
        checkpoints: &Checkpoints,
    ) -> Result<FolderLock, TrainError> {
        fs::create_dir_all(run_folder).map_err(TrainError::io(run_folder))?;
        let lock = FolderLock::take(run_folder).map_err(TrainError::io(run_folder))?;
        let lock = lock.ok_or_else(|| TrainError::Busy(run_folder.into()))?;
        for folder in ["", "checkpoints", "pictures"].map(|name| run_folder.join(name)) {
            if folder.is_dir() {
                remove_partials(&folder).map_err(TrainError::io(&folder))?;
            }
        }
        match resume {
            true => checkpoints.recover()?,
            false => checkpoints.forget()?,
        }
        Ok(lock)
    }

    /// Whether a phase is finished.
    pub fn is_over(&self, phase: &str) -> bool {
        self.progress.is_over(phase)
    }

    /// A phase's progress, for a run that prepares a phase only if it must still be trained.
    pub fn standing(&self, phase: &str) -> Standing {
        match phase == self.progress.phase {
            _ if self.progress.is_earlier(phase) => Standing::Earlier,
            true => Standing::Present,
            false => Standing::Ahead,
        }
    }

    /// The model folder that a phase with `keep` leaves, `checkpoints/PHASE`.
    pub fn kept(&self, phase: &str) -> PathBuf {
        self.checkpoints.kept(phase)
    }

    /// The run's last checkpoint, `checkpoints/last`, which exists once one was written.
    pub fn last(&self) -> PathBuf {
        self.checkpoints.last()
    }

    /// The run's progress.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Trains `objective` to the end of a phase, or until the run is stopped.
    ///
    /// `feed` returns the inputs of a range of input steps of the phase (`accumulate` of them per
    /// optimiser step), the same for the same step at each start of the run. With `ema`, the
    /// averages are the objective's weights at the end.
    ///
    /// # Errors
    /// Any error that prevents the phase from starting or continuing; the last checkpoint is kept.
    pub fn fit<O: Objective>(
        &mut self,
        phase: &Phase,
        objective: &mut O,
        feed: impl FnMut(Range<u64>) -> Inputs<O::Input>,
        mut observe: impl FnMut(Event<'_>),
    ) -> Result<End, TrainError> {
        self.fit_measured(phase, objective, feed, |event, _| observe(event))
    }

    /// Like [`Self::fit`], but passes the objective to the observer, which can measure it at
    /// records where [`TrainConfig::measures`](crate::TrainConfig::measures) is true.
    ///
    /// # Errors
    /// As [`Self::fit`].
    pub fn fit_measured<O: Objective>(
        &mut self,
        phase: &Phase,
        objective: &mut O,
        feed: impl FnMut(Range<u64>) -> Inputs<O::Input>,
        observe: impl FnMut(Event<'_>, &O),
    ) -> Result<End, TrainError> {
        phase.check(objective.parameters())?;
        // No rank reads before rank 0 has written the previous phase.
        self.ranks.any(false)?;
        // The progress on disk is the one that counts.
        self.progress = read_progress(&self.checkpoints)?;
        let last = self.checkpoints.last();
        let steps = phase.config.schedule.steps;
        let maker = match self.may_begin(phase)? {
            Standing::Earlier => return Ok(End::Earlier),
            Standing::Present if self.progress.phase_step >= steps => {
                checkpoint::load_model(&last, objective)?;
                if phase.keep && self.ranks.leads() && !self.checkpoints.kept(&phase.name).is_dir()
                {
                    self.checkpoints.keep(&last, &phase.name)?;
                }
                return Ok(End::Finished);
            }
            Standing::Present => {
                self.progress.phase_steps = steps;
                let mut maker = StepMaker::among(objective, &phase.config, &self.ranks);
                maker.load(&last)?;
                maker
            }
            Standing::Ahead => {
                self.progress.begin(&phase.name, steps);
                if phase.start == Start::Continue {
                    checkpoint::load_model(&last, objective)?;
                }
                let mut maker = StepMaker::among(objective, &phase.config, &self.ranks);
                if phase.start == Start::WithMoments {
                    maker.load_optimizer(&last)?;
                }
                maker
            }
        };
        let end = self.train(phase, maker.until(self.stop), feed, observe);
        if !self.ranks.leads() && matches!(end, Ok(End::Finished)) {
            // Each rank has its own batch statistics; from here on all have those of rank 0.
            checkpoint::load_model(&last, objective)?;
        }
        if end.is_err()
            && let Ok(kept) = read_progress(&self.checkpoints)
        {
            // Steps lost by the error do not count if the caller continues with another phase.
            self.progress = kept;
        }
        end
    }

    /// Ends a phase at its last checkpoint, if it has one, so that another can begin: for a phase
    /// that cannot go on, such as one that diverged after a stop had saved a part of it.
    ///
    /// # Errors
    /// When the last checkpoint cannot be read or changed, or another rank does not respond.
    pub fn abandon(&mut self, phase: &str) -> Result<(), TrainError> {
        self.ranks.any(false)?;
        self.progress = read_progress(&self.checkpoints)?;
        // All have read it before rank 0 changes it.
        self.ranks.any(false)?;
        if self.progress.abandon(phase) && self.ranks.leads() {
            checkpoint::write_progress(&self.checkpoints.last(), &self.progress)?;
        }
        self.ranks.any(false)?;
        Ok(())
    }

    /// Where a phase stands; an error if it cannot begin.
    fn may_begin(&self, phase: &Phase) -> Result<Standing, TrainError> {
        let Progress { phase: present, phase_step, phase_steps, .. } = &self.progress;
        let standing = self.standing(&phase.name);
        if standing != Standing::Ahead {
            return Ok(standing);
        }
        if present.is_empty() && phase.start != Start::Fresh {
            let (key, value) = ("start", format!("{:?}", phase.start));
            let rule = "needs a phase before it, but this is the run's first";
            return Err(TrainError::Setting { key, value, rule });
        }
        if !present.is_empty() && !self.progress.is_over(present) {
            let wanted = &phase.name;
            return Err(TrainError::Checkpoint {
                path: self.checkpoints.last(),
                reason: format!(
                    "this checkpoint belongs to phase \"{present}\" (step {phase_step} of \
                     {phase_steps}); phase \"{wanted}\" cannot begin from it: train \"{present}\" \
                     to its end, or start the run again"
                ),
            });
        }
        Ok(Standing::Ahead)
    }

    fn train<O: Objective>(
        &mut self,
        phase: &Phase,
        mut maker: StepMaker<'_, O>,
        mut feed: impl FnMut(Range<u64>) -> Inputs<O::Input>,
        mut observe: impl FnMut(Event<'_>, &O),
    ) -> Result<End, TrainError> {
        let leads = self.ranks.leads();
        let mut observe = |event: Event<'_>, objective: &O| {
            if leads {
                observe(event, objective);
            }
        };
        let config = &phase.config;
        let (steps, micro) = (config.schedule.steps, config.accumulate as u64);
        let before = self.progress.step - self.progress.phase_step;
        let mut inputs = feed(self.progress.phase_step * micro..steps * micro);
        let mut window = Window::open(&inputs);

        let mut saved = self.progress.phase_step;
        let mut stopped = self.ranks.any(self.stop.load(Ordering::Relaxed))?;
        while self.progress.phase_step < steps && !stopped {
            let lr = config.schedule.at(self.progress.phase_step);
            match maker.make(&mut inputs, lr, self.progress.phase_step) {
                // The unfinished step is made anew when the run resumes; the checkpoint before it
                // is not written twice.
                Err(TrainError::StoppedWithin { .. }) if self.progress.phase_step == saved => break,
                Err(TrainError::StoppedWithin { .. }) => {}
                made => {
                    made?;
                    self.progress.phase_step += 1;
                    self.progress.step += 1;
                    observe(Event::Step { step: self.progress.step }, maker.objective());
                }
            }

            stopped = maker.is_stopping();
            let made = self.progress.phase_step;
            let every = |period: u64| period > 0 && made.is_multiple_of(period);
            let saving = made == steps || stopped || every(config.checkpoint_every);
            if (saving || config.is_log_step(made)) && maker.unread() > 0 {
                let read = maker.read();
                if let Some(place) = read.first_not_finite() {
                    let at = made - read.losses.len() as u64 + place as u64;
                    let name = match leads {
                        true => "non-finite-batch.safetensors".to_owned(),
                        false => {
                            format!("non-finite-batch-{}.safetensors", self.ranks.share().rank)
                        }
                    };
                    let batch = self.run_folder.join(name);
                    let inputs = feed(at * micro..(at + 1) * micro);
                    let saved = save_inputs(maker.objective(), inputs, &batch);
                    let batch = saved.map(|()| batch).map_err(Box::new);
                    let (loss, grad_norm) = (read.losses[place], read.norms[place]);
                    let step = before + at;
                    return Err(TrainError::NonFinite { step, loss, grad_norm, batch });
                }
                let mut record = window.close(&inputs, phase, &mut self.progress, read, lr);
                observe(Event::Record(&mut record), maker.objective());
                if config.measures(made) {
                    window = Window::open(&inputs);
                }
                if let Some(Written { metrics, .. }) = &mut self.written {
                    metrics.write(&record)?;
                }
            }
            if saving {
                let optimizer = maker.optimizer_state()?;
                if let Some(Written { metrics, .. }) = &mut self.written {
                    metrics.flush()?;
                    let keep = (made == steps && phase.keep).then_some(phase.name.as_str());
                    let progress = &self.progress;
                    let write = |folder: &Path| maker.write(folder, &optimizer, progress);
                    let path = self.checkpoints.save(progress.step, keep, write)?;
                    observe(Event::Checkpoint(&path), maker.objective());
                }
                self.ranks.any(false)?;
                (saved, stopped) = (made, maker.is_stopping());
                window = Window::open(&inputs);
            }
        }
        if self.progress.phase_step < steps {
            return Ok(End::Stopped { step: self.progress.step });
        }
        maker.finish();
        Ok(End::Finished)
    }
}

/// The run's progress on disk.
fn read_progress(checkpoints: &Checkpoints) -> Result<Progress, TrainError> {
    checkpoints.newest().map_or_else(|| Ok(Progress::default()), |last| Progress::read(&last))
}

/// Saves the inputs of a step as `INPUT.NAME` tensors.
fn save_inputs<O: Objective>(
    objective: &O,
    inputs: Inputs<O::Input>,
    path: &Path,
) -> Result<(), TrainError> {
    let mut tensors = Vec::new();
    for (place, input) in inputs.enumerate() {
        for (name, tensor) in objective.tensors(&input?) {
            tensors.push((format!("{place}.{name}"), tensor));
        }
    }
    write_tensors(path, tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)))?;
    Ok(())
}
