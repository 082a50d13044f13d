//! Image tasks, built from labelled data sets.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use bauta_backbones::ImageNormalization;
use bauta_data::{LoaderConfig, SampleType, Source, Subset, TaskStream};
use bauta_eval::{EVALUATION_BATCH, whole_source};
use bauta_recipe::{Data, ExSsNet as Settings, TaskOrigin};
use bauta_supermask::check_labels;
use tch::Tensor;

use super::stream::{Feed, Samples, Task};
use crate::run::{Run, Splits};

/// The tasks, the shape of every image, and how batches are built.
pub(super) fn open(
    data: &Data,
    settings: &Settings,
    run: &Run<'_>,
) -> Result<(Vec<Task>, [usize; 3], Feed)> {
    let size = data.image_size;
    let loader = LoaderConfig::new(run.train.batch_size, size.height(), size.width());
    let (seed, threads, on_error) = (run.seed, run.threads, data.on_error);
    let loader = LoaderConfig { seed, threads, on_error, share: run.share(), ..loader };
    let tasks =
        tasks(data, settings, seed, run.stop)?.holding_out(settings.tasks.validation, seed)?;
    let (classes, device) = (tasks.classes(), run.device);
    let channels = tasks.tasks[0].train.channels();
    let read = |source: Arc<dyn Source>| -> Result<[Tensor; 2]> {
        let config = LoaderConfig { batch_size: EVALUATION_BATCH, ..loader.clone() };
        let [pixels, labels] = whole_source(source, config)?;
        check_labels(&labels, classes)?;
        Ok([pixels.to_device(device), labels.to_device(device)])
    };
    let mut opened = Vec::new();
    for task in tasks.tasks {
        let (statistics, samples) = (task.train.statistics(), task.train.sample_type());
        ensure!(
            samples == SampleType::Uint8,
            "task {} holds {samples}, but tasks need bytes (uint8)",
            task.name
        );
        let validation = task.validation.context("a part of every task is held out")?;
        let test: Arc<dyn Source> = match settings.eval.limit {
            Some(limit) => Arc::new(Subset::spread(task.test, limit)),
            None => task.test,
        };
        let (found, name, batch) = (task.train.len(), &task.name, run.train.batch_size);
        ensure!(
            found >= batch,
            "task {name} has {found} images, fewer than train.batch_size {batch}"
        );
        let normalization = ImageNormalization::new(&statistics.mean, &statistics.std, device)?;
        opened.push(Task {
            classes: task.train.classes().len(),
            validation: read(validation)?,
            test: read(test).with_context(|| format!("task {name}"))?,
            name: task.name,
            samples: Samples::Images { source: task.train, normalization },
        });
    }
    let shape = [channels, size.height(), size.width()];
    let feed = Feed::Images { loader, augment: data.augment.clone() };
    Ok((opened, shape, feed))
}

/// Builds the tasks that a recipe names.
fn tasks(data: &Data, settings: &Settings, seed: u64, stop: &AtomicBool) -> Result<TaskStream> {
    let table = &settings.tasks;
    if table.origin == TaskOrigin::Folders {
        let root = data.root.as_deref().context("data.root is missing")?;
        let mut stream = TaskStream::of_folders(root, &data.options())?;
        if let Some(limit) = data.limit {
            for task in &mut stream.tasks {
                task.train = Arc::new(Subset::spread(Arc::clone(&task.train), limit));
            }
        }
        return Ok(stream);
    }
    let both = |splits: Splits| [splits.train, splits.test];
    let own = crate::images::open(data, stop)?;
    ensure!(own.held_out(), "{} has no test images; hold some out with data.holdout", data.name);
    let own = both(own);
    Ok(match table.origin {
        TaskOrigin::Permuted => TaskStream::permuted(&own, table.count, seed)?,
        TaskOrigin::Rotated => TaskStream::rotated(&own, table.count)?,
        TaskOrigin::Split => TaskStream::divided(&own, table.classes)?,
        TaskOrigin::DataSets => {
            let mut sets = vec![(data.name.to_string(), own)];
            for &name in &table.then {
                let splits = Splits::of(name, None, &data.options(), [data.limit, None], stop)?;
                sets.push((name.to_string(), both(splits)));
            }
            TaskStream::of_sets(sets)?
        }
        TaskOrigin::Folders | TaskOrigin::Texts => unreachable!("they are opened elsewhere"),
    })
}
