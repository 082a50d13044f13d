//! One run: recipe in, run folder out.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bauta_files::write_whole;
use bauta_recipe::{Layers, Recipe};
use bauta_train::{Checkpoints, Outcome, Stage, TrainConfig, fit};

use crate::evaluation::{self, Evaluation, evaluate};
use crate::prepared::{Prepared, device_name};
use crate::progress::TrainingProgress;
use crate::summary::{Summary, Teacher, Training};
use crate::systems::{ImageSystem, Measuring, with_system};
use crate::{finetuning, pictures, report, teacher};

/// What to run and where.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The recipe file.
    pub recipe: PathBuf,
    /// What is laid over it.
    pub layers: Layers,
    /// The run folder.
    pub out: PathBuf,
    /// Go on from the folder's last checkpoint, if there is one.
    pub resume: bool,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum RunEnd {
    /// Trained and evaluated.
    Finished(Box<Summary>),
    /// Stopped on demand, at this step, with a checkpoint.
    Stopped(u64),
}

/// Where what a recipe names is found, besides its data.
#[derive(Clone, Debug)]
pub struct Places {
    /// The folder of the recipes, by whose names teachers are named.
    pub recipes: PathBuf,
    /// Where teachers that recipes train are kept, for any run that names them.
    pub teachers: PathBuf,
}

impl Places {
    /// The folder of a recipe's file; teachers are kept beside the run's folder.
    pub fn beside(recipe: &Path, run_folder: &Path) -> Self {
        let folder_of = |path: &Path| match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        Self { recipes: folder_of(recipe), teachers: folder_of(run_folder).join("teachers") }
    }
}

/// Trains and evaluates a recipe; sets `stop` to end it early.
///
/// # Errors
/// With a message that says what to do; the last checkpoint stands.
pub fn run(options: &RunOptions, stop: &AtomicBool) -> Result<RunEnd> {
    let recipe = Recipe::load(&options.recipe, &options.layers)?;
    let name = options.recipe.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let places = Places::beside(&options.recipe, &options.out);
    run_resolved(name, recipe, &places, &options.out, options.resume, stop)
}

/// Trains and evaluates a resolved recipe of this name, as [`run`] does.
///
/// # Errors
/// As [`run`].
pub fn run_resolved(
    name: String,
    recipe: Recipe,
    places: &Places,
    folder: &Path,
    resume: bool,
    stop: &AtomicBool,
) -> Result<RunEnd> {
    let mut prepared = Prepared::new(recipe)?;
    evaluation::check(&prepared.recipe, &prepared.splits)?;
    prepared.teacher = teacher::find(&prepared.recipe, places, stop)?;
    // Last, so that a run that cannot start leaves no folder behind.
    prepare_folder(folder, &prepared.recipe, resume)?;
    let run = Run { name, prepared, folder };
    with_system!(run.prepared.recipe.system, S => run.system::<S>(resume, stop))
}

struct Run<'a> {
    name: String,
    prepared: Prepared,
    folder: &'a Path,
}

impl Run<'_> {
    fn system<S: ImageSystem>(&self, resume: bool, stop: &AtomicBool) -> Result<RunEnd> {
        let (system, outcome) = train::<S>(&self.prepared, self.folder, resume, stop)?;
        if outcome.stopped {
            return Ok(RunEnd::Stopped(outcome.progress.step));
        }
        let start = Instant::now();
        let Evaluation { eval, baseline } = self.evaluate(&system, stop)?;
        let Prepared { recipe, splits, .. } = &self.prepared;
        pictures::draw(recipe, splits, &system, self.folder)?;
        let samples = outcome.progress.step * self.prepared.samples_per_step() as u64;
        let summary = Summary {
            recipe: self.name.clone(),
            system: recipe.system.name().to_owned(),
            seed: recipe.seed,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: device_name(self.prepared.device),
            threads: self.prepared.threads,
            precision: recipe.train.precision.name().to_owned(),
            teacher: self.prepared.teacher.as_deref().map(Teacher::of).transpose()?,
            train: Training {
                steps: outcome.progress.step,
                samples,
                seconds: outcome.progress.seconds,
                samples_per_second: samples as f64 / outcome.progress.seconds,
                data_seconds: outcome.progress.data_seconds,
                skipped_images: outcome.progress.skipped,
                first_loss: outcome.progress.first_loss.unwrap_or(f64::NAN),
                final_loss: outcome.progress.final_loss.unwrap_or(f64::NAN),
                parameters: system.parameters().count(),
            },
            eval,
            baseline,
            eval_seconds: start.elapsed().as_secs_f64(),
        };
        summary.write(&self.folder.join("summary.json"))?;
        report::write(self.folder)?;
        Ok(RunEnd::Finished(Box::new(summary)))
    }

    /// Measures the trained system, its initial weights and the students of earlier stages.
    fn evaluate<S: ImageSystem>(&self, system: &S, stop: &AtomicBool) -> Result<Evaluation> {
        let Prepared { recipe, splits, .. } = &self.prepared;
        let measured = splits.limited(recipe.eval.limit);
        let untrained: S = self.prepared.untrained()?;
        let mut earlier = match recipe.eval.baselines {
            true => self.prepared.references()?,
            false => Vec::new(),
        };
        for stage in 1..S::stages(recipe) {
            let student: S = self.prepared.system()?;
            student
                .parameters()
                .load(&stage_folder(self.folder, stage).join("model.safetensors"))?;
            earlier.push((format!("stage_{stage}"), student));
        }
        let loader_config = self.prepared.loader_config();
        let loader = loader_config.clone();
        let mut found =
            evaluate(recipe, &measured, system, &untrained, &earlier, loader_config, stop)?;
        let untrained = &untrained;
        let own =
            system.measure(&Measuring { recipe, splits: &measured, loader, untrained, stop })?;
        found.eval.extend(own.eval);
        found.baseline.extend(own.baseline);
        if let Some(settings) = &recipe.eval.finetune {
            let tuned = finetuning::of_run(&self.prepared, settings, system, self.folder, stop)?;
            found.eval.extend(tuned.eval);
            found.baseline.extend(tuned.baseline);
        }
        Ok(found)
    }
}

/// Trains every stage of a recipe; gives the last one's system.
///
/// A stage that is over leaves its student in `checkpoints/stage-N`, which teaches the next.
pub(crate) fn train<S: ImageSystem>(
    prepared: &Prepared,
    folder: &Path,
    resume: bool,
    stop: &AtomicBool,
) -> Result<(S, Outcome)> {
    let recipe = &prepared.recipe;
    let loader = prepared.loader()?;
    let config = prepared.train_config(loader.steps_per_epoch());
    let (steps, stages) = (config.schedule.steps, S::stages(recipe));
    let checkpoints = Checkpoints::of(folder);
    let last = checkpoints.last().filter(|_| resume);
    let done = last.map_or(Ok(0), |last| Checkpoints::progress(&last).map(|found| found.step))?;
    for stage in 0..stages {
        let first_step = u64::from(stage) * steps;
        let over = first_step + steps;
        let last_stage = stage + 1 == stages;
        if done > over || (done == over && !last_stage) {
            if done == over {
                checkpoints.keep(&stage_name(stage + 1))?;
            }
            continue;
        }
        let taught_by = match stage {
            0 => prepared.teacher.clone(),
            _ => Some(stage_folder(folder, stage)),
        };
        let system: S = prepared
            .stage(stage, taught_by.as_deref())
            .with_context(|| format!("stage {} of {stages}, in {}", stage + 1, folder.display()))?;
        let keep_optimizer = recipe.stages.as_ref().is_some_and(|stages| !stages.reset_optimizer);
        let config = TrainConfig {
            stage: Stage { index: stage, first_step, keep_optimizer },
            ..config.clone()
        };
        let feed = |steps| loader.batches(steps, system.preparation(&loader));
        let mut progress = TrainingProgress::start(first_step, over);
        let outcome = fit(&system, feed, &config, folder, resume, stop, |event| {
            progress.observe(&event);
        });
        progress.finish();
        let outcome = outcome?;
        if last_stage || outcome.stopped {
            return Ok((system, outcome));
        }
        checkpoints.keep(&stage_name(stage + 1))?;
    }
    bail!("a recipe has at least one stage")
}

/// The student of a stage that is over, counted from 1.
fn stage_name(stage: u32) -> String {
    format!("stage-{stage}")
}

fn stage_folder(run_folder: &Path, stage: u32) -> PathBuf {
    run_folder.join("checkpoints").join(stage_name(stage))
}

/// Makes the folder and writes the resolved recipe, or checks that a resumed
/// run is asked for with the recipe it was begun with.
pub(crate) fn prepare_folder(folder: &Path, recipe: &Recipe, resume: bool) -> Result<()> {
    let path = folder.join("recipe.toml");
    let text = recipe.to_toml()?;
    if path.exists() {
        if !resume {
            bail!("{} holds a run already; add --resume or name another --out", folder.display());
        }
        let begun = Recipe::load(&path, &Layers::default())?;
        if begun != *recipe {
            bail!(
                "{} was begun with another recipe ({}); resume with the same --set and --quick, \
                 or name another --out",
                folder.display(),
                path.display()
            );
        }
        return Ok(());
    }
    fs::create_dir_all(folder)
        .and_then(|()| write_whole(&path, text.as_bytes()))
        .with_context(|| format!("cannot write the run folder {}", folder.display()))
}

/// Makes Ctrl-C and termination finish the present step instead of killing the run.
///
/// # Errors
/// When the handler cannot be set.
pub fn stop_on_signals() -> Result<&'static AtomicBool> {
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            // Asked twice: leave at once; the last checkpoint is whole.
            std::process::exit(130);
        }
        eprintln!("\nstopping after this step; once more to leave at once");
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(&STOP)
}
