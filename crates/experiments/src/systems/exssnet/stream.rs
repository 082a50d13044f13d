//! The tasks of a run: their training samples as batches, the others as tensors.

use std::ops::Range;
use std::sync::Arc;

use anyhow::Result;
use bauta_backbones::ImageNormalization;
use bauta_data::{Augment, Batch, Inputs, Loader, LoaderConfig, Source, Subset};
use bauta_eval::{EVALUATION_BATCH, chosen_features, host_tensor, whole_source};
use bauta_libtorch::on_one_thread;
use bauta_recipe::ExSsNet as Settings;
use bauta_supermask::{Learner, SupermaskError};
use tch::{Device, Kind, Tensor};

use super::images;
use super::texts::{self, Batches};
use crate::run::Run;

/// Samples of one task with their labels among its own classes, on the device.
#[derive(Debug)]
pub struct TaskBatch {
    /// The task, from 0.
    pub task: usize,
    /// u8 pixels [B, C, H, W]; for documents, their indices in the task, i64 `[B]`.
    pub inputs: Tensor,
    /// Labels i64 [B].
    pub labels: Tensor,
}

/// The training samples of a task.
pub(super) enum Samples {
    Images {
        source: Arc<dyn Source>,
        normalization: ImageNormalization,
    },
    Texts {
        /// f16 [N, T, D], and labels i64 [N].
        features: [Tensor; 2],
        labels: Arc<[i64]>,
    },
}

/// One task.
pub(super) struct Task {
    pub(super) name: String,
    pub(super) classes: usize,
    pub(super) samples: Samples,
    /// u8 pixels [N, C, H, W] or features f16 [N, T, D], and labels i64 [N].
    pub(super) validation: [Tensor; 2],
    pub(super) test: [Tensor; 2],
}

/// How batches of training samples are built.
pub(super) enum Feed {
    Images { loader: LoaderConfig, augment: Augment },
    Texts(Batches),
}

/// Training batches of a range of steps.
pub(super) type BatchesOfSteps = Box<dyn FnMut(Range<u64>) -> Inputs<TaskBatch>>;

/// All tasks.
pub(super) struct Stream {
    pub(super) tasks: Vec<Task>,
    /// Largest number of classes of a task, c.
    pub(super) classes: usize,
    /// Channels, height and width of every image; for texts 1, tokens and a token's width.
    pub(super) shape: [usize; 3],
    feed: Feed,
    batch: usize,
    device: Device,
}

impl Stream {
    /// Opens the data, builds the tasks from them, and reads the validation and test samples.
    ///
    /// # Errors
    /// When the data are missing or these tasks cannot be built from them.
    pub(super) fn open(settings: &Settings, run: &mut Run<'_>) -> Result<Self> {
        let (tasks, shape, feed) = match (&settings.texts, &settings.data) {
            (Some(table), _) => {
                let (tasks, width, words) = texts::open(table, settings, run)?;
                run.trained_on = words;
                (tasks, [1, table.tokens, width], Feed::Texts(Batches::new(run)?))
            }
            (None, Some(data)) => images::open(data, settings, run)?,
            (None, None) => unreachable!("a recipe has one of the two"),
        };
        let classes = tasks.iter().map(|task| task.classes).max().unwrap_or(0);
        Ok(Self { tasks, classes, shape, feed, batch: run.train.batch_size, device: run.device })
    }

    /// Batches in an epoch of some tasks.
    pub(super) fn batches_per_epoch(&self, turn: &Range<usize>) -> u64 {
        self.tasks[turn.clone()].iter().map(|task| (task.len() / self.batch) as u64).sum()
    }

    /// Training batches of some tasks, in turn if there are several.
    ///
    /// # Errors
    /// When the loaders' threads cannot be started.
    pub(super) fn inputs(&self, turn: &Range<usize>) -> Result<BatchesOfSteps> {
        let (device, first) = (self.device, turn.start);
        let tasks = &self.tasks[turn.clone()];
        let (loader, augment) = match &self.feed {
            Feed::Images { loader, augment } => (loader, augment),
            Feed::Texts(batches) => {
                let labels = tasks.iter().filter_map(|task| match &task.samples {
                    Samples::Texts { labels, .. } => Some(Arc::clone(labels)),
                    Samples::Images { .. } => None,
                });
                return Ok(Box::new(batches.of(first, labels.collect())));
            }
        };
        let sources = tasks.iter().filter_map(|task| match &task.samples {
            Samples::Images { source, .. } => Some(Arc::clone(source)),
            Samples::Texts { .. } => None,
        });
        let loaders = sources.map(|source| Loader::new(source, augment.clone(), loader.clone()));
        let loaders = loaders.collect::<Result<Vec<_>, _>>()?;
        let prepare = move |(number, batch): (usize, Batch)| TaskBatch {
            task: first + number,
            inputs: host_tensor(&batch.pixels).to_device(device),
            labels: Tensor::from_slice(&batch.labels.unwrap_or_default()).to_device(device),
        };
        Ok(Box::new(move |steps| {
            let prepare = on_one_thread(prepare);
            Loader::interleaved(&loaders, steps, move |number, batch| prepare((number, batch)))
        }))
    }

    /// A training batch's inputs as the network takes them.
    pub(super) fn entering(&self, batch: &TaskBatch) -> Tensor {
        match &self.tasks[batch.task].samples {
            Samples::Images { normalization, .. } => normalization.normalize(&batch.inputs),
            Samples::Texts { features: [features, _], .. } => {
                chosen_features(features, &batch.inputs)
            }
        }
    }

    /// Mean accuracy of some tasks on the samples that are held out of training, a scalar
    /// on the device.
    pub(super) fn validate(
        &self,
        learner: &Learner,
        turn: &Range<usize>,
    ) -> Result<Tensor, SupermaskError> {
        let of_task = |task: usize| self.accuracy(learner, task, &self.tasks[task].validation);
        let sum = turn.clone().map(of_task).reduce(|sum, next| Ok(sum? + next?));
        Ok(sum.expect("a turn has a task")? / turn.len() as f64)
    }

    /// Accuracy on a task's test samples.
    pub(super) fn test(&self, learner: &Learner, task: usize) -> Result<f64> {
        let accuracy = self.accuracy(learner, task, &self.tasks[task].test)?;
        Ok(accuracy.double_value(&[]))
    }

    /// Some training samples of a task as its network takes them, and their labels: images of each
    /// class in turn, and documents in their order, which mixes the classes.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn looked_at(&self, task: usize, samples: usize) -> Result<[Tensor; 2]> {
        let of = &self.tasks[task];
        let [inputs, labels] = match (&of.samples, &self.feed) {
            (Samples::Images { source, .. }, Feed::Images { loader, .. }) => {
                let config = LoaderConfig { batch_size: EVALUATION_BATCH, ..loader.clone() };
                let source = Arc::new(Subset::in_turn(Arc::clone(source), samples));
                whole_source(source, config)?
            }
            (Samples::Texts { features, .. }, _) => {
                let count = samples.min(of.len()) as i64;
                features.each_ref().map(|tensor| tensor.narrow(0, 0, count))
            }
            _ => unreachable!("images are fed as images"),
        };
        Ok([of.prepared(&inputs), labels.to_device(self.device)])
    }

    fn accuracy(
        &self,
        learner: &Learner,
        task: usize,
        [inputs, labels]: &[Tensor; 2],
    ) -> Result<Tensor, SupermaskError> {
        let view = learner.view(task)?;
        view.accuracy(inputs, labels, |inputs| self.tasks[task].prepared(inputs))
    }
}

impl Task {
    /// Samples to train on.
    fn len(&self) -> usize {
        match &self.samples {
            Samples::Images { source, .. } => source.len(),
            Samples::Texts { labels, .. } => labels.len(),
        }
    }

    /// Pixels or features, as they are stored, as the network takes them.
    fn prepared(&self, stored: &Tensor) -> Tensor {
        match &self.samples {
            Samples::Images { normalization, .. } => normalization.normalize(stored),
            Samples::Texts { .. } => stored.to_kind(Kind::Float),
        }
    }
}
