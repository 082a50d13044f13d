//! The share of correct answers, counted on the device and read once.

use tch::{Device, Kind, Tensor};

/// Counts batches of logits against their labels.
///
/// ```
/// use bauta_eval::Accuracy;
/// use tch::{Device, Tensor};
///
/// let mut accuracy = Accuracy::new(1, Device::Cpu);
/// let logits = Tensor::from_slice(&[0.9_f32, 0.1, 0.2, 0.8, 0.7, 0.3]).view([3, 2]);
/// accuracy.add(&logits, &Tensor::from_slice(&[0_i64, 1, 1]));
/// assert_eq!(accuracy.value(), 2.0 / 3.0);
/// ```
#[derive(Debug)]
pub struct Accuracy {
    k: i64,
    right: Tensor,
    samples: i64,
}

impl Accuracy {
    /// Counts an answer as correct when the label is among the `k` largest logits.
    pub fn new(k: usize, device: Device) -> Self {
        let right = Tensor::zeros([] as [i64; 0], (Kind::Int64, device));
        Self { k: k as i64, right, samples: 0 }
    }

    /// Adds logits [B, classes] with labels \[B\] (i64) on any device.
    ///
    /// # Panics
    /// When the shapes do not agree or there are fewer than k classes.
    pub fn add(&mut self, logits: &Tensor, labels: &Tensor) {
        let labels = labels.to_device(logits.device()).unsqueeze(1);
        let (_, guesses) = logits.detach().topk(self.k, 1, true, true);
        self.right += guesses.eq_tensor(&labels).sum(Kind::Int64);
        self.samples += labels.size()[0];
    }

    /// The share so far; waits for the device. NaN if nothing was added.
    pub fn value(&self) -> f64 {
        self.right.int64_value(&[]) as f64 / self.samples as f64
    }
}
