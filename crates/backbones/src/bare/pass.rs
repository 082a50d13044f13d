//! One pass through a network whose weights and statistics are arguments.

use tch::Tensor;

use super::{RunningStatistics, Weights};
use crate::residual::{Layers, convolve};

/// The purpose of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batches are normalised by their own moments, which update the running ones.
    Training,
    /// Batches are normalised by the running moments, which do not change.
    Evaluation,
}

/// The layers of one pass, by name.
pub(super) struct Pass<'a> {
    pub(super) weights: &'a Weights,
    pub(super) statistics: &'a RunningStatistics,
    pub(super) mode: Mode,
}

/// PyTorch's defaults.
const MOMENTUM: f64 = 0.1;
const EPS: f64 = 1e-5;

impl Pass<'_> {
    pub(super) fn weight(&self, name: &str) -> &Tensor {
        self.weights.get(name).unwrap_or_else(|| panic!("there is no weight {name}"))
    }

    /// [B, in] to [B, out].
    pub(super) fn linear(&self, name: &str, x: &Tensor) -> Tensor {
        x.linear(self.weight(name), None::<Tensor>)
    }
}

impl Layers for Pass<'_> {
    fn conv(&self, name: &str, x: &Tensor, stride: i64) -> Tensor {
        convolve(x, self.weight(name), stride)
    }

    /// Without scale and shift.
    fn norm(&self, name: &str, x: &Tensor) -> Tensor {
        let (mean, variance) = self.statistics.of(name);
        let training = self.mode == Mode::Training;
        let none = None::<&Tensor>;
        x.batch_norm(none, none, Some(mean), Some(variance), training, MOMENTUM, EPS, false)
    }
}
