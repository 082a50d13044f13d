//! Streams of classification tasks, for continual learning.
//!
//! A task has images to train on, some of which can be held out to choose among the states of
//! training, and images to test on. Labels are each task's own, from 0. Tasks are derived from one
//! labelled data set (its pixels permuted, its pictures rotated, its classes divided), from
//! several, or from one folder per task.

pub(crate) mod folders;
#[cfg(test)]
mod tests;
mod view;

use std::path::Path;
use std::sync::Arc;

use bauta_datasets::{DataError, DatasetName, OpenOptions};
use bauta_streams::{Purpose, StreamKey};

use self::folders::task_folders;
use self::view::{Change, TaskView};
use crate::source::{Source, Subset};
use crate::splits::open_splits;

/// One task.
#[derive(Clone)]
pub struct Task {
    /// Its name: an angle, its classes, or a folder.
    pub name: String,
    /// The training part.
    pub train: Arc<dyn Source>,
    /// Validation images held out of training; none if nothing is held out.
    pub validation: Option<Arc<dyn Source>>,
    /// The test part.
    pub test: Arc<dyn Source>,
}

/// Training and test images of one data set.
pub type Both = [Arc<dyn Source>; 2];

/// Tasks in the order in which they are learnt.
#[derive(Clone)]
pub struct TaskStream {
    /// The tasks, at least one.
    pub tasks: Vec<Task>,
}

impl TaskStream {
    /// The same images with another fixed permutation of their pixels in each task; the first task
    /// has them as they are.
    ///
    /// # Errors
    /// When there is no task, the data have no labels, or the first image cannot be read.
    pub fn permuted(both: &Both, count: usize, seed: u64) -> Result<Self, DataError> {
        let first = both[0].image(0)?;
        let [height, width] = [first.height(), first.width()];
        let change = |task: usize| {
            let mut order: Vec<usize> = (0..height * width).collect();
            if task > 0 {
                let purpose = Purpose::named("permuted pixels");
                let key = StreamKey { seed, purpose, epoch: 0, sample: task as u64 };
                key.stream().shuffle(&mut order);
            }
            let name = if task == 0 { "unpermuted".into() } else { format!("order {task}") };
            (name, Change::Permuted { order: order.into(), height, width })
        };
        Self::changed(both, count, change)
    }

    /// The same images rotated further in each task, from 0° up to but not including 180°.
    ///
    /// # Errors
    /// When there is no task or the data have no labels.
    pub fn rotated(both: &Both, count: usize) -> Result<Self, DataError> {
        Self::changed(both, count, |task| {
            let degrees = 180.0 * task as f64 / count as f64;
            (format!("{degrees:.0}°"), Change::Rotated(degrees.to_radians()))
        })
    }

    /// This many classes per task, in the order of their labels; an incomplete last task is left
    /// out.
    ///
    /// # Errors
    /// When the data have fewer classes than one task.
    pub fn divided(both: &Both, classes_per_task: usize) -> Result<Self, DataError> {
        let classes = both[0].classes();
        if classes_per_task == 0 || classes.len() < classes_per_task {
            let rule = format!("must be in 1..={}, the classes of the data", classes.len());
            return Err(DataError::setting("classes_per_task", classes_per_task, rule));
        }
        let of_task = |(task, names): (usize, &[String])| {
            let first = task * classes_per_task;
            let chosen: Vec<u32> = (first..first + classes_per_task).map(|c| c as u32).collect();
            let part = |source: &Arc<dyn Source>| -> Arc<dyn Source> {
                Arc::new(TaskView::of_classes(Arc::clone(source), &chosen))
            };
            let [train, test] = both.each_ref().map(part);
            Task { name: names.join(", "), train, validation: None, test }
        };
        let tasks = classes.chunks_exact(classes_per_task).enumerate().map(of_task);
        Self::of(tasks.collect())
    }

    /// One data set per task; grey images become RGB if others are.
    ///
    /// # Errors
    /// When there is none, one has fewer than two classes, or one that is not grey has fewer
    /// channels than another.
    pub fn of_sets(sets: Vec<(String, Both)>) -> Result<Self, DataError> {
        let channels = |both: &Both| both[0].channels();
        let most = sets.iter().map(|(_, both)| channels(both)).max().unwrap_or(1);
        let mut tasks = Vec::new();
        for (name, both) in sets {
            let grey = channels(&both) == 1;
            let [train, test] = match (grey, channels(&both)) {
                (_, own) if own == most => both,
                (true, _) => both.map(|source| -> Arc<dyn Source> {
                    Arc::new(TaskView::changed(source, Change::Repeated(most)))
                }),
                (false, own) => {
                    let rule = format!(
                        "task {name} has this number, but another task has {most}; only images \
                         with 1 channel can be converted"
                    );
                    return Err(DataError::setting("channels", own, rule));
                }
            };
            tasks.push(Task { name, train, validation: None, test });
        }
        Self::of(tasks)
    }

    /// One folder per task, in the order of their numbers or names, each a data set in any layout
    /// of [`DatasetName::Folder`].
    ///
    /// # Errors
    /// When there are none, their numbers have a gap, one is not a labelled data set, or has no
    /// test images and `options` hold none out.
    pub fn of_folders(root: &Path, options: &OpenOptions) -> Result<Self, DataError> {
        let folders = task_folders(root, "its classes as folders")?;
        let mut sets = Vec::new();
        for folder in folders {
            let splits = open_splits(DatasetName::Folder, &folder, options)?;
            let test = splits.test.ok_or_else(|| DataError::Absent {
                path: folder.clone(),
                wanted: "test images".to_owned(),
                remedy: "add a folder `test` beside `train`, or hold some out".to_owned(),
            })?;
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            sets.push((name, [splits.train, test]));
        }
        Self::of_sets(sets)
    }

    /// Holds out this fraction of each task's training images, the same ones in every run with the
    /// seed.
    ///
    /// # Errors
    /// When the fraction is outside (0, 1) or leaves a task without images on one side.
    pub fn holding_out(self, fraction: f64, seed: u64) -> Result<Self, DataError> {
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(DataError::setting("validation", fraction, "must be in (0, 1)"));
        }
        let divide = |task: Task| {
            let len = task.train.len();
            let held = (len as f64 * fraction).round() as usize;
            if held == 0 || held == len {
                let rule = format!("task {} has only {len} images to train on", task.name);
                return Err(DataError::setting("validation", fraction, rule));
            }
            let mut indices: Vec<usize> = (0..len).collect();
            let purpose = Purpose::named("validation");
            StreamKey { seed, purpose, epoch: 0, sample: 0 }.stream().shuffle(&mut indices);
            let mut rest = indices.split_off(held);
            indices.sort_unstable();
            rest.sort_unstable();
            let part = |indices| -> Arc<dyn Source> {
                Arc::new(Subset::new(Arc::clone(&task.train), indices))
            };
            let (validation, train) = (Some(part(indices)), part(rest));
            Ok(Task { train, validation, ..task })
        };
        let tasks = self.tasks.into_iter().map(divide).collect::<Result<_, _>>()?;
        Ok(Self { tasks })
    }

    /// Largest number of classes in a task.
    pub fn classes(&self) -> usize {
        self.tasks.iter().map(|task| task.train.classes().len()).max().unwrap_or(0)
    }

    fn changed(
        both: &Both,
        count: usize,
        change: impl Fn(usize) -> (String, Change),
    ) -> Result<Self, DataError> {
        let of_task = |task| {
            let (name, change) = change(task);
            let part = |source: &Arc<dyn Source>| -> Arc<dyn Source> {
                Arc::new(TaskView::changed(Arc::clone(source), change.clone()))
            };
            let [train, test] = both.each_ref().map(part);
            Task { name, train, validation: None, test }
        };
        Self::of((0..count).map(of_task).collect())
    }

    fn of(tasks: Vec<Task>) -> Result<Self, DataError> {
        if tasks.is_empty() {
            return Err(DataError::setting("count", 0, "must be at least 1"));
        }
        for task in &tasks {
            let classes = task.train.classes().len();
            if classes < 2 {
                let rule = format!("task {} has too few; every task needs at least 2", task.name);
                return Err(DataError::setting("classes", classes, rule));
            }
        }
        Ok(Self { tasks })
    }
}
