//! How much of a network its tasks use, and how much is still free.

use tch::{Device, Kind, Tensor};

use crate::{Learner, PackedMask, exclusive};

/// Weights of one layer that a task keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerUse {
    /// The layer's name.
    pub layer: String,
    /// Weights in the layer, n.
    pub weights: usize,
    /// Weights that the mask keeps.
    pub kept: usize,
    /// Of these, weights that no earlier mask keeps, which ExSSNeT can train.
    pub free: usize,
}

/// Weights of the network that a task keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskUse {
    /// Each layer, from input to output.
    pub layers: Vec<LayerUse>,
}

impl TaskUse {
    /// Of the weights that the mask keeps, the fraction that no earlier mask keeps; for
    /// independent masks of density p about (1 − p)^t.
    pub fn free_share(&self) -> f64 {
        let sum = |of: fn(&LayerUse) -> usize| self.layers.iter().map(of).sum::<usize>() as f64;
        sum(|layer| layer.free) / sum(|layer| layer.kept)
    }

    /// Of the weights that the mask keeps, the fraction that an earlier mask keeps as well.
    pub fn overlap(&self) -> f64 {
        1.0 - self.free_share()
    }
}

impl Learner {
    /// The weights that each finished task keeps, in order; empty for the plain network.
    pub fn capacity(&self) -> Vec<TaskUse> {
        let layers = self.layers();
        let mut taken: Vec<Option<Tensor>> = layers.iter().map(|_| None).collect();
        let count = |mask: &Tensor| mask.sum(Kind::Int64).int64_value(&[]) as usize;
        let finished = self.tasks.iter().filter(|task| !task.masks.is_empty());
        let of_task = |task: &crate::learner::Task| {
            let uses = layers.iter().zip(&mut taken).map(|(layer, taken)| {
                let mask = task.masks[&layer.name].unpack(Device::Cpu);
                let (kept, free) = (count(&mask), count(&exclusive(&mask, taken.as_ref())));
                *taken = Some(taken.as_ref().map_or(mask.shallow_clone(), |t| t.maximum(&mask)));
                LayerUse { layer: layer.name.clone(), weights: layer.count(), kept, free }
            });
            TaskUse { layers: uses.collect() }
        };
        finished.map(of_task).collect()
    }

    /// Bytes of the masks of all finished tasks: about n / 8 per task.
    pub fn mask_bytes(&self) -> usize {
        self.tasks.iter().flat_map(|task| task.masks.values()).map(PackedMask::bytes).sum()
    }
}
