//! A head on the codes of labelled parts, and the objective that trains it.

use std::borrow::Cow;

use anyhow::{Result, ensure};
use bauta_backbones::Parameters;
use bauta_brep::model::{FaceClassifier, FaceEncoder, GraphBatch, PartClassifier, cross_entropy};
use bauta_brep::{BrepError, Part, PartStore};
use bauta_train::{Loss, Objective, ObjectiveError};
use tch::{Device, Tensor};

use super::Task;

/// Most parts that are encoded at once.
const CHUNK: usize = 64;

/// Parts as tensors.
pub(super) struct Labelled {
    pub graph: GraphBatch,
    /// Class of each face, or of each part.
    pub labels: Tensor,
}

/// A head, and an encoder if that is trained too, on labelled parts.
pub(super) struct Fit<'a> {
    pub parameters: Parameters,
    pub encoder: FaceEncoder,
    pub head: Head,
    /// Whether the encoder is trained.
    pub scratch: bool,
    pub data: &'a [Labelled],
    /// Codes [F, D] of the parts by a frozen encoder.
    pub codes: &'a [Tensor],
    pub step: usize,
}

pub(super) enum Head {
    Faces(FaceClassifier),
    Parts(PartClassifier),
}

impl Head {
    pub fn forward(&self, codes: &Tensor, graph: &GraphBatch) -> Tensor {
        match self {
            Self::Faces(head) => head.forward(codes, graph),
            Self::Parts(head) => head.forward(codes, graph),
        }
    }
}

impl Objective for Fit<'_> {
    type Input = ();

    /// Uses all labelled parts in each step, or one chunk after the other if there are several.
    fn loss(&mut self, (): &()) -> Result<Loss, ObjectiveError> {
        let place = self.step % self.data.len();
        self.step += 1;
        let Labelled { graph, labels } = &self.data[place];
        let learnt = self.scratch.then(|| self.encoder.forward(graph));
        let logits = self.head.forward(learnt.as_ref().unwrap_or(&self.codes[place]), graph);
        Ok(cross_entropy(&logits, labels).into())
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn config(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    fn tensors(&self, (): &()) -> Vec<(&'static str, Tensor)> {
        Vec::new()
    }
}

/// The parts with these indices, in chunks.
pub(super) fn labelled(
    store: &PartStore,
    numbers: impl IntoIterator<Item = usize>,
    task: Task,
    device: Device,
) -> Result<Vec<Labelled>> {
    let numbers: Vec<usize> = numbers.into_iter().collect();
    let chunk = |numbers: &[usize]| -> Result<Labelled> {
        let parts = numbers.iter().map(|&number| store.get(number));
        let parts = parts.collect::<Result<Vec<Cow<'_, Part>>, BrepError>>()?;
        if task == Task::Segmentation {
            let bare = parts.iter().position(|part| part.labels.is_empty());
            ensure!(
                bare.is_none(),
                "a part has no labels, but classes.txt names classes; label all parts or none"
            );
        }
        let graph = GraphBatch::of(&parts.iter().map(|part| &**part).collect::<Vec<_>>());
        let graph = graph.to_device(device);
        let families: Vec<i64> = numbers.iter().map(|&it| i64::from(store.family(it))).collect();
        let labels = match task {
            Task::Segmentation => graph.labels.shallow_clone(),
            Task::Classification => Tensor::from_slice(&families).to_device(device),
        };
        Ok(Labelled { graph, labels })
    };
    // Chunks of nearly equal sizes, so that all parts weigh alike in training.
    let chunks = numbers.len().div_ceil(CHUNK).max(1);
    numbers.chunks(numbers.len().div_ceil(chunks).max(1)).map(chunk).collect()
}
