//! A task's best state on its validation images, kept on the device.

use tch::{Device, Kind, Tensor};

/// Copies of the tensors being learnt, and their accuracy.
#[derive(Debug)]
pub(crate) struct Best {
    /// A scalar; −1 before the first validation.
    accuracy: Tensor,
    kept: Vec<(String, Tensor)>,
}

impl Best {
    pub(crate) fn new(device: Device) -> Self {
        Self { accuracy: Tensor::full([], -1.0, (Kind::Double, device)), kept: Vec::new() }
    }

    /// Discards the best state so far.
    pub(crate) fn begin(&mut self, live: &[(String, Tensor)]) {
        self.accuracy = self.accuracy.full_like(-1.0);
        self.go_on(live);
    }

    /// Takes the current state as the best so far, with its accuracy so far.
    pub(crate) fn go_on(&mut self, live: &[(String, Tensor)]) {
        self.kept = live.iter().map(|(name, tensor)| (name.clone(), tensor.copy())).collect();
    }

    /// Keeps the current state if its accuracy is above that of the best.
    pub(crate) fn offer(&mut self, accuracy: &Tensor, live: &[(String, Tensor)]) {
        let accuracy = accuracy.to_kind(Kind::Double);
        let better = accuracy.gt_tensor(&self.accuracy);
        for ((_, kept), (_, tensor)) in self.kept.iter_mut().zip(live) {
            *kept = tensor.where_self(&better, kept);
        }
        self.accuracy = self.accuracy.maximum(&accuracy);
    }

    /// Replaces the current state by the best, if there was a validation.
    pub(crate) fn restore(&self, live: &[(String, Tensor)]) {
        if self.accuracy.double_value(&[]) < 0.0 {
            return;
        }
        tch::no_grad(|| {
            for ((_, kept), (_, tensor)) in self.kept.iter().zip(live) {
                tensor.shallow_clone().copy_(kept);
            }
        });
    }

    pub(crate) fn state(&self) -> Vec<(String, Tensor)> {
        let named =
            |(name, kept): &(String, Tensor)| (format!("best.{name}"), kept.shallow_clone());
        let accuracy = ("best accuracy".to_owned(), self.accuracy.shallow_clone());
        [accuracy].into_iter().chain(self.kept.iter().map(named)).collect()
    }
}
