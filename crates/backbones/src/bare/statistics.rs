//! The running moments of a network's batch normalisations.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

/// Running mean and variance `[C]` of each batch normalisation, by its name.
///
/// A training pass updates them in place; [`Self::copy`] makes an independent copy.
#[derive(Debug, Default)]
pub struct RunningStatistics(BTreeMap<String, (Tensor, Tensor)>);

impl RunningStatistics {
    /// Mean 0 and variance 1 for these names and channels.
    pub fn fresh(norms: &[(String, i64)], device: Device) -> Self {
        let start = |channels: i64| {
            let options = (Kind::Float, device);
            (Tensor::zeros([channels], options), Tensor::ones([channels], options))
        };
        Self(norms.iter().map(|(name, channels)| (name.clone(), start(*channels))).collect())
    }

    pub(super) fn of(&self, name: &str) -> (&Tensor, &Tensor) {
        let (mean, variance) =
            self.0.get(name).unwrap_or_else(|| panic!("there are no statistics of {name}"));
        (mean, variance)
    }

    /// All tensors as `NAME.running_mean` and `NAME.running_var`, as in published files.
    pub fn tensors(&self) -> Vec<(String, &Tensor)> {
        let both = self.0.iter().flat_map(|(name, (mean, variance))| {
            [(format!("{name}.running_mean"), mean), (format!("{name}.running_var"), variance)]
        });
        both.collect()
    }

    /// A copy in its own memory.
    pub fn copy(&self) -> Self {
        let copied = self.0.iter().map(|(name, (mean, variance))| {
            (name.clone(), (mean.detach().copy(), variance.detach().copy()))
        });
        Self(copied.collect())
    }
}
