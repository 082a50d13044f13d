//! The tasks of a run: their training images as batches, the others as tensors.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use bauta_backbones::ImageNormalization;
use bauta_data::{
    Augment, Batch, Inputs, Limited, Loader, LoaderConfig, SampleType, Source, TaskStream,
};
use bauta_eval::{EVALUATION_BATCH, host_tensor, whole_source};
use bauta_libtorch::on_one_thread;
use bauta_recipe::{ExSsNet as Settings, TaskOrigin};
use bauta_supermask::{Learner, SupermaskError, check_labels};
use tch::{Device, Tensor};

use crate::run::{Run, Splits};

/// Images of one task with their labels among its own classes, on the device.
#[derive(Debug)]
pub struct TaskBatch {
    /// The task, from 0.
    pub task: usize,
    /// u8 pixels [B, C, H, W].
    pub pixels: Tensor,
    /// Labels i64 [B].
    pub labels: Tensor,
}

/// One task.
pub(super) struct TaskImages {
    pub(super) name: String,
    pub(super) train: Arc<dyn Source>,
    /// u8 pixels [N, C, H, W] and labels i64 [N].
    validation: [Tensor; 2],
    test: [Tensor; 2],
    normalization: ImageNormalization,
}

/// All tasks.
pub(super) struct Stream {
    pub(super) tasks: Vec<TaskImages>,
    /// Classes of the task that has most, c.
    pub(super) classes: usize,
    /// Channels, height and width of every image.
    pub(super) shape: [usize; 3],
    loader: LoaderConfig,
    augment: Augment,
    device: Device,
}

impl Stream {
    /// Opens the data, makes the tasks of them, and reads what is measured on.
    ///
    /// # Errors
    /// When the data are not there or cannot be made these tasks.
    pub(super) fn open(settings: &Settings, run: &Run<'_>) -> Result<Self> {
        let size = settings.data.image_size;
        let loader = LoaderConfig::new(run.train.batch_size, size.height(), size.width());
        let (seed, threads, on_error) = (run.seed, run.threads, settings.data.on_error);
        let loader = LoaderConfig { seed, threads, on_error, ..loader };
        let tasks =
            tasks(settings, seed, run.stop)?.holding_out(settings.tasks.validation, seed)?;
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
                "task {} holds {samples}, and tasks are made of bytes (uint8)",
                task.name
            );
            let validation = task.validation.context("a part of every task is held out")?;
            let test: Arc<dyn Source> = match settings.eval.limit {
                Some(limit) => Arc::new(Limited::new(task.test, limit)),
                None => task.test,
            };
            let (found, name) = (task.train.len(), &task.name);
            let batch = run.train.batch_size;
            ensure!(
                found >= batch,
                "task {name} has {found} images, fewer than train.batch_size {batch}"
            );
            opened.push(TaskImages {
                validation: read(validation)?,
                test: read(test).with_context(|| format!("task {name}"))?,
                normalization: ImageNormalization::new(&statistics.mean, &statistics.std, device)?,
                name: task.name,
                train: task.train,
            });
        }
        let shape = [channels, size.height(), size.width()];
        let augment = settings.data.augment.clone();
        Ok(Self { tasks: opened, classes, shape, loader, augment, device })
    }

    /// Batches in an epoch of some tasks.
    pub(super) fn batches_per_epoch(&self, turn: &Range<usize>) -> u64 {
        let of = |task: &TaskImages| (task.train.len() / self.loader.batch_size) as u64;
        self.tasks[turn.clone()].iter().map(of).sum()
    }

    /// Training batches of some tasks, in turn where there are several.
    ///
    /// # Errors
    /// When the loaders' threads cannot be started.
    pub(super) fn inputs(
        &self,
        turn: &Range<usize>,
    ) -> Result<impl FnMut(Range<u64>) -> Inputs<TaskBatch> + use<>> {
        let (device, first) = (self.device, turn.start);
        let loaders = self.tasks[turn.clone()].iter().map(|task| {
            Loader::new(Arc::clone(&task.train), self.augment.clone(), self.loader.clone())
        });
        let loaders = loaders.collect::<Result<Vec<_>, _>>()?;
        let prepare = move |(number, batch): (usize, Batch)| TaskBatch {
            task: first + number,
            pixels: host_tensor(&batch.pixels).to_device(device),
            labels: Tensor::from_slice(&batch.labels.unwrap_or_default()).to_device(device),
        };
        Ok(move |steps| {
            let prepare = on_one_thread(prepare);
            Loader::interleaved(&loaders, steps, move |number, batch| prepare((number, batch)))
        })
    }

    /// u8 pixels of a task as its network takes them.
    pub(super) fn normalize(&self, task: usize, pixels: &Tensor) -> Tensor {
        self.tasks[task].normalization.normalize(pixels)
    }

    /// Mean accuracy of some tasks on the images that are held out of training, a scalar on
    /// the device.
    pub(super) fn validate(
        &self,
        learner: &Learner,
        turn: &Range<usize>,
    ) -> Result<Tensor, SupermaskError> {
        let of_task = |task: usize| self.accuracy(learner, task, &self.tasks[task].validation);
        let sum = turn.clone().map(of_task).reduce(|sum, next| Ok(sum? + next?));
        Ok(sum.expect("a turn has a task")? / turn.len() as f64)
    }

    /// Accuracy on a task's test images.
    pub(super) fn test(&self, learner: &Learner, task: usize) -> Result<f64> {
        let accuracy = self.accuracy(learner, task, &self.tasks[task].test)?;
        Ok(accuracy.double_value(&[]))
    }

    /// The first training images of a task as its network takes them, and their labels.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn looked_at(&self, task: usize, samples: usize) -> Result<[Tensor; 2]> {
        let config = LoaderConfig { batch_size: EVALUATION_BATCH, ..self.loader.clone() };
        let source = Arc::new(Limited::new(Arc::clone(&self.tasks[task].train), samples));
        let [pixels, labels] = whole_source(source, config)?;
        Ok([self.normalize(task, &pixels), labels.to_device(self.device)])
    }

    fn accuracy(
        &self,
        learner: &Learner,
        task: usize,
        [pixels, labels]: &[Tensor; 2],
    ) -> Result<Tensor, SupermaskError> {
        let view = learner.view(task)?;
        view.accuracy(pixels, labels, |pixels| self.normalize(task, pixels))
    }
}

/// Makes the tasks that a recipe names.
fn tasks(settings: &Settings, seed: u64, stop: &AtomicBool) -> Result<TaskStream> {
    let (data, table) = (&settings.data, &settings.tasks);
    if table.origin == TaskOrigin::Folders {
        let root = data.root.as_deref().context("data.root is missing")?;
        return Ok(TaskStream::of_folders(root, &data.options())?);
    }
    let both = |splits: Splits| [splits.train, splits.test];
    let own = Splits::open(data, stop)?;
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
        TaskOrigin::Folders => unreachable!("they were opened above"),
    })
}
