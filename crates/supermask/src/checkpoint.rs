//! A learner's finished tasks in one file: the weights once, and for each task one bit per weight
//! and the running statistics.
//!
//! Tensors are named as in the released code's checkpoints: `LAYER.weight`, and for task t
//! `task.t.LAYER.mask` (u8, eight entries per byte, the first in the lowest bit),
//! `task.t.NORM.running_mean` and `…running_var`. Scores are left out, since inference uses only
//! masks.

use std::collections::HashMap;
use std::path::Path;

use bauta_backbones::checkpoint::{Mismatch, read_tensors, write_tensors_with};
use bauta_backbones::{BareNetwork, WeightShape};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::{Learner, LearnerConfig, PackedMask, SupermaskError};

/// Extension of the file that describes the network, next to the packed one.
const CONFIG: &str = "json";

#[derive(Serialize, Deserialize)]
struct Described {
    /// Version of the layout, to recognise later ones.
    format: u32,
    tasks: usize,
    learner: LearnerConfig,
}

const FORMAT: u32 = 1;

impl Learner {
    /// Writes the weights and the finished tasks to `path` (safetensors), and a description of the
    /// network to the same path with the extension `.json`.
    ///
    /// # Errors
    /// [`SupermaskError::Model`] when a file cannot be written.
    pub fn export(&self, path: &Path) -> Result<(), SupermaskError> {
        let weights = self.weights.iter();
        let weights = weights.map(|(name, w)| (format!("{name}.weight"), w.shallow_clone()));
        let tensors: Vec<(String, Tensor)> = weights.chain(self.finished_state()).collect();
        let tensors = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        let described = Described {
            format: FORMAT,
            tasks: self.finished(),
            learner: LearnerConfig { keep_scores: false, ..self.config.clone() },
        };
        let text = serde_json::to_string(&described).expect("plain values have a JSON form");
        let words = HashMap::from([("supermask".to_owned(), text.clone())]);
        write_tensors_with(path, tensors, words)?;
        bauta_files::write_whole(&path.with_extension(CONFIG), text.as_bytes()).map_err(|source| {
            bauta_backbones::ModelError::Io { path: path.with_extension(CONFIG), source }.into()
        })
    }

    /// Reads a file written by [`Self::export`], and its description.
    ///
    /// # Errors
    /// [`SupermaskError::Packed`] when the files have another layout or do not match their
    /// description, [`SupermaskError::Setting`] when that has fewer heads than tasks,
    /// [`SupermaskError::Model`] when they cannot be read.
    pub fn import(path: &Path, device: Device) -> Result<Self, SupermaskError> {
        let beside = path.with_extension(CONFIG);
        let refuse = |reason: String| SupermaskError::Packed { path: path.into(), reason };
        let text = std::fs::read_to_string(&beside)
            .map_err(|source| bauta_backbones::ModelError::Io { path: beside.clone(), source })?;
        let described: Described = serde_json::from_str(&text).map_err(|error| {
            let reason = format!("does not describe packed subnetworks: {error}");
            SupermaskError::Packed { path: beside.clone(), reason }
        })?;
        if described.format != FORMAT {
            let found = described.format;
            return Err(refuse(format!("has layout {found}; this version reads {FORMAT}")));
        }
        described.learner.check_tasks(described.tasks)?;
        let mut tensors = read_tensors(path)?;
        let has_all = |t: &usize| tensors.keys().any(|k| k.starts_with(&format!("task.{t}.")));
        if described.learner.density.is_some() && !(0..described.tasks).all(|task| has_all(&task)) {
            return Err(refuse(format!(
                "lacks one of the {} tasks that it names",
                described.tasks
            )));
        }
        let unlike = |mismatch: Mismatch| {
            refuse(format!("does not match the network that it describes: {mismatch}"))
        };
        // A description can name any size: nothing is allocated before the file has it too.
        let LearnerConfig { network, classes, heads, .. } = &described.learner;
        let outputs = classes.saturating_mul(heads.unwrap_or(1));
        let network = BareNetwork::new(network.clone(), outputs)?;
        let mut mismatch = Mismatch::default();
        for WeightShape { name, shape } in network.layers() {
            let name = format!("{name}.weight");
            match tensors.get(&name) {
                None => mismatch.missing.push(name),
                Some(found) if found.size() != *shape => {
                    mismatch.misshaped.push((name, found.size(), shape.clone()));
                }
                Some(_) => {}
            }
        }
        if !mismatch.is_empty() {
            return Err(unlike(mismatch));
        }
        let mut learner = Self::new(described.learner, 0, device)?;
        (0..described.tasks).for_each(|_| learner.expect_finished());
        let weights = learner.weights.iter();
        let weights = weights.map(|(name, w)| (format!("{name}.weight"), w.shallow_clone()));
        let slots: Vec<_> = weights.chain(learner.finished_state()).collect();
        fill(&slots, &mut tensors, &mut mismatch);
        mismatch.unexpected = tensors.into_keys().collect();
        mismatch.unexpected.sort();
        if !mismatch.is_empty() {
            return Err(unlike(mismatch));
        }
        for (number, task) in learner.tasks.iter().enumerate() {
            for (name, mask) in &task.masks {
                let sound = PackedMask::of_bits(mask.shape().to_vec(), mask.bits().copy());
                let wanted = learner
                    .config
                    .density
                    .map(|d| d.kept(mask.shape().iter().product::<i64>() as usize));
                let kept = sound.map(|mask| {
                    mask.unpack(Device::Cpu).sum(Kind::Int64).int64_value(&[]) as usize
                });
                if kept != wanted {
                    return Err(refuse(format!(
                        "task.{number}.{name}.mask does not keep the number of weights of its \
                         density"
                    )));
                }
            }
        }
        learner.loaded();
        Ok(learner)
    }

    /// Number of tasks with a mask, or in the plain network of all that have begun.
    fn finished(&self) -> usize {
        let masked = self.config.density.is_some();
        self.tasks.iter().filter(|task| !masked || !task.masks.is_empty()).count()
    }

    /// Masks and statistics of the finished tasks.
    fn finished_state(&self) -> Vec<(String, Tensor)> {
        let mut state = Vec::new();
        for (number, task) in self.tasks.iter().enumerate().take(self.finished()) {
            let masks = task
                .masks
                .iter()
                .map(|(name, mask)| (format!("{name}.mask"), mask.bits().shallow_clone()));
            let own =
                task.statistics.tensors().into_iter().map(|(name, t)| (name, t.shallow_clone()));
            state.extend(masks.chain(own).map(|(name, t)| (format!("task.{number}.{name}"), t)));
        }
        state
    }

    /// Restores a saved [`Self::state`] of the same tasks; parameters must be loaded first.
    ///
    /// # Errors
    /// The names and shapes that do not agree; nothing is changed in that case.
    pub fn load_state(&mut self, saved: &HashMap<String, Tensor>) -> Result<(), Mismatch> {
        let (mut saved, mut mismatch) = (
            saved.iter().map(|(n, t)| (n.clone(), t.shallow_clone())).collect(),
            Mismatch::default(),
        );
        let slots = self.state();
        check(&slots, &saved, &mut mismatch);
        let known = |name: &String| slots.iter().any(|(slot, _)| slot == name);
        mismatch.unexpected = saved.keys().filter(|name| !known(name)).cloned().collect();
        mismatch.unexpected.sort();
        if !mismatch.is_empty() {
            return Err(mismatch);
        }
        fill(&slots, &mut saved, &mut mismatch);
        self.loaded();
        Ok(())
    }
}

/// Records what is missing or of another shape.
pub(crate) fn check(
    slots: &[(String, Tensor)],
    found: &HashMap<String, Tensor>,
    mismatch: &mut Mismatch,
) {
    for (name, slot) in slots {
        match found.get(name) {
            None => mismatch.missing.push(name.clone()),
            Some(tensor) if tensor.size() != slot.size() => {
                mismatch.misshaped.push((name.clone(), tensor.size(), slot.size()));
            }
            Some(tensor) if tensor.kind() != slot.kind() => {
                mismatch.mistyped.push((name.clone(), tensor.kind()));
            }
            Some(_) => {}
        }
    }
}

/// Moves matching tensors into the slots.
pub(crate) fn fill(
    slots: &[(String, Tensor)],
    found: &mut HashMap<String, Tensor>,
    mismatch: &mut Mismatch,
) {
    check(slots, found, mismatch);
    tch::no_grad(|| {
        for (name, slot) in slots {
            if let Some(tensor) = found.remove(name).filter(|tensor| tensor.size() == slot.size()) {
                slot.shallow_clone().copy_(&tensor);
            }
        }
    });
}
