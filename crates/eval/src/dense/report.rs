//! The result of a dense task, with everything it depends on.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::task::{DenseScores, DenseTask};
use crate::json::write_json;
use crate::{EvalError, Metrics};

/// Maximum number of classes that are printed; the file has all.
const PRINTED: usize = 20;

/// A report that is printed and written as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct DenseReport {
    task: &'static str,
    model: PathBuf,
    encoder: &'static str,
    head: &'static str,
    data: &'static str,
    train: Training,
    test: Testing,
    image_size: usize,
    seed: u64,
    eval: Metrics,
    by_class: BTreeMap<String, Option<f64>>,
    /// The keys of `by_class` in the order of the classes.
    #[serde(skip)]
    classes: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Training {
    split: &'static str,
    images: usize,
    steps: u64,
    batch_size: usize,
    final_loss: f64,
    seconds: f64,
    /// Number of times that an image was left out.
    skipped_samples: u64,
}

#[derive(Clone, Debug, Serialize)]
struct Testing {
    split: &'static str,
    images: usize,
    skipped_samples: u64,
}

impl DenseReport {
    /// Reports the result `found` of a task called `name`; `head` and `data` describe these.
    pub fn new(
        name: &'static str,
        task: &DenseTask<'_>,
        found: &DenseScores,
        model: &Path,
        [head, data]: [&'static str; 2],
    ) -> Self {
        let classes = distinct(found.by_class.iter().map(|(name, _)| name.as_str()).collect());
        let values = found.by_class.iter().map(|(_, value)| *value);
        Self {
            task: name,
            model: model.to_path_buf(),
            encoder: match (task.frozen, task.random_init) {
                (true, true) => "frozen at random weights",
                (true, false) => "frozen",
                (false, true) => "trained from random weights",
                (false, false) => "fine-tuned",
            },
            head,
            data,
            train: Training {
                split: "train",
                images: task.train.len(),
                steps: task.config.steps,
                batch_size: task.config.batch_size,
                final_loss: found.final_loss,
                seconds: found.seconds,
                skipped_samples: found.skipped,
            },
            test: Testing {
                split: "test",
                images: task.test.len(),
                skipped_samples: found.test_skipped,
            },
            image_size: task.image_size,
            seed: task.seed,
            eval: found.metrics.clone(),
            by_class: classes.iter().cloned().zip(values).collect(),
            classes,
        }
    }

    /// Writes everything as JSON atomically.
    ///
    /// # Errors
    /// [`EvalError::Write`] when the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), EvalError> {
        write_json(self, path)
    }
}

/// Names of classes; where several have the same name, each with its number, from 0.
fn distinct(names: Vec<&str>) -> Vec<String> {
    let named = |(class, &name): (usize, &&str)| {
        let same = names.iter().filter(|&&other| other == name).count();
        if same == 1 { name.to_owned() } else { format!("{name} (class {class})") }
    };
    names.iter().enumerate().map(named).collect()
}

/// Lines for the terminal.
impl fmt::Display for DenseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, model, head, encoder, data, image_size, seed, train, test, .. } = self;
        writeln!(f, "{task} {}: {head}, encoder {encoder}", model.display())?;
        writeln!(f, "data: {data}, {image_size} × {image_size} pixels, seed {seed}")?;
        let Training { images, steps, batch_size, final_loss, seconds, .. } = train;
        writeln!(
            f,
            "trained on the training split of {images} images: {steps} steps of {batch_size}, \
             {seconds:.0} s, final loss {final_loss:.4}"
        )?;
        if train.skipped_samples > 0 {
            let count = train.skipped_samples;
            writeln!(f, "in training, images that cannot be decoded were left out {count} times")?;
        }
        let left_out = match test.skipped_samples {
            0 => String::new(),
            count => format!(", without {count} that cannot be decoded"),
        };
        writeln!(f, "measured on the test split of {} images{left_out}:", test.images)?;
        for (name, value) in self.eval.iter() {
            writeln!(f, "  {name:<16} {value:.4}")?;
        }
        let told = self.classes.iter().filter_map(|name| {
            let value = self.by_class.get(name).copied().flatten();
            value.map(|value| format!("{name} {value:.3}"))
        });
        writeln!(f, "  by class: {}", told.take(PRINTED).collect::<Vec<_>>().join(", "))
    }
}
