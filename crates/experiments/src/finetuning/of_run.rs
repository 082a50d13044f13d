//! The fine-tuning that a recipe asks for in `[eval.finetune]`, at the end of its run.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use bauta_backbones::{ImageNormalization, ModelFolder};
use bauta_recipe::FineTune;
use bauta_train::Checkpoints;

use super::{Measured, Task};
use crate::evaluation::Evaluation;
use crate::prepared::{Prepared, precision};
use crate::systems::ImageSystem;

/// Fine-tunes a run's trained system, and the same network from scratch, on the run's
/// data; keeps them in the run folder's `finetune` and `from-scratch`.
pub(crate) fn of_run<S: ImageSystem>(
    prepared: &Prepared,
    settings: &FineTune,
    system: &S,
    run_folder: &Path,
    stop: &AtomicBool,
) -> Result<Evaluation> {
    // The description is the checkpoint's, the weights are those that are evaluated: with
    // an average of the weights, the two differ.
    let last = run_folder.join("checkpoints/last");
    let last = Checkpoints::of(run_folder).last().unwrap_or(last);
    let weights = system.parameters().iter().map(|p| (p.name.clone(), p.tensor.detach()));
    let weights = weights.collect();
    let folder =
        ModelFolder::new(last.clone(), ModelFolder::read(&last)?.config().clone(), weights);
    let recipe = &prepared.recipe;
    let statistics = prepared.splits.train.statistics();
    let size = recipe.data.image_size;
    let tune = |from_scratch: bool| -> Result<Measured> {
        let (mean, std) = (statistics.mean, statistics.std);
        let task = Task {
            normalization: ImageNormalization::new(mean, std, prepared.device)?,
            folder: &folder,
            from_scratch,
            settings,
            augment: recipe.data.augment.clone(),
            image_size: Some([size.height(), size.width()]),
            on_error: recipe.data.on_error,
            train: Arc::clone(&prepared.splits.train),
            test: Arc::clone(&prepared.splits.test),
            seed: recipe.seed,
            device: prepared.device,
            threads: prepared.threads,
            precision: precision(recipe.train.precision),
        };
        task.run(&run_folder.join(if from_scratch { "from-scratch" } else { "finetune" }), stop)
    };
    Ok(Evaluation { eval: tune(false)?.metrics, baseline: tune(true)?.metrics })
}
