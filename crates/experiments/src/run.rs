//! One run: recipe in, run folder out.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bauta_backbones::checkpoint::write_whole;
use bauta_recipe::{Layers, Recipe, System};
use bauta_train::fit;

use crate::evaluation::{self, Evaluation, evaluate};
use crate::prepared::{Prepared, device_name};
use crate::progress::TrainingProgress;
use crate::summary::{Summary, Training};
use crate::systems::{ImageSystem, Mae};
use crate::{finetuning, pictures, report};

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

/// Trains and evaluates a recipe; sets `stop` to end it early.
///
/// # Errors
/// With a message that says what to do; the last checkpoint stands.
pub fn run(options: &RunOptions, stop: &AtomicBool) -> Result<RunEnd> {
    let recipe = Recipe::load(&options.recipe, &options.layers)?;
    let name = options.recipe.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    run_resolved(name, recipe, &options.out, options.resume, stop)
}

/// Trains and evaluates a resolved recipe of this name, as [`run`] does.
///
/// # Errors
/// As [`run`].
pub fn run_resolved(
    name: String,
    recipe: Recipe,
    folder: &Path,
    resume: bool,
    stop: &AtomicBool,
) -> Result<RunEnd> {
    let prepared = Prepared::new(recipe)?;
    evaluation::check(&prepared.recipe, &prepared.splits)?;
    // Last, so that a run that cannot start leaves no folder behind.
    prepare_folder(folder, &prepared.recipe, resume)?;
    let run = Run { name, prepared, folder };
    match run.prepared.recipe.system {
        System::Mae => run.system::<Mae>(resume, stop),
    }
}

struct Run<'a> {
    name: String,
    prepared: Prepared,
    folder: &'a Path,
}

impl Run<'_> {
    fn system<S: ImageSystem>(&self, resume: bool, stop: &AtomicBool) -> Result<RunEnd> {
        let Prepared { recipe, splits, .. } = &self.prepared;
        let system: S = self.prepared.system()?;
        let loader = self.prepared.loader()?;
        let config = self.prepared.train_config(loader.steps_per_epoch());
        let feed = |steps| self.prepared.inputs(&loader, &system, steps);
        let mut progress = TrainingProgress::start(0, config.schedule.steps);
        let outcome = fit(&system, feed, &config, self.folder, resume, stop, |event| {
            progress.observe(&event);
        });
        progress.finish();
        let outcome = outcome?;
        if outcome.stopped {
            return Ok(RunEnd::Stopped(outcome.progress.step));
        }

        let start = Instant::now();
        let untrained: S = self.prepared.system()?;
        let loader_config = self.prepared.loader_config();
        let measured = splits.limited(recipe.eval.limit);
        let Evaluation { mut eval, mut baseline } =
            evaluate(recipe, &measured, &system, &untrained, loader_config, stop)?;
        if let Some(settings) = &recipe.eval.finetune {
            let prepared = &self.prepared;
            let found = finetuning::of_run(prepared, settings, &system, self.folder, stop)?;
            eval.extend(found.eval);
            baseline.extend(found.baseline);
        }
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
}

/// Makes the folder and writes the resolved recipe, or checks that a resumed
/// run is asked for with the recipe it was begun with.
fn prepare_folder(folder: &Path, recipe: &Recipe, resume: bool) -> Result<()> {
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
