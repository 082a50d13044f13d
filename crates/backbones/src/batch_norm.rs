//! Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167) with scale, shift and running moments,
//! as in PyTorch.

use tch::Tensor;

use crate::{Init, Scope};

/// PyTorch's defaults.
const MOMENTUM: f64 = 0.1;
pub(crate) const EPS: f64 = 1e-5;

/// Which mean and variance normalise a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moments {
    /// The running ones, which do not change.
    Running,
    /// The batch's own, which update the running ones.
    ///
    /// With `splits` above 1, a batch is cut into that many parts, each normalised on its own, as
    /// if it were on a separate device ("split batch norm"). Contrastive learning then cannot tell
    /// views apart by the batch that they were normalised with. The running moments are updated
    /// with the mean over the parts. A batch whose size is not a multiple of `splits` is not split.
    Batch {
        /// Parts of a batch, at least 1.
        splits: usize,
    },
}

/// Scale, shift and running moments of C channels.
///
/// The moments are parameters that training does not change: they are saved, loaded and resumed
/// with the weights, under PyTorch's names, but are not part of weight averages.
#[derive(Debug)]
pub struct BatchNorm {
    /// None without scale and shift.
    scale: Option<[Tensor; 2]>,
    mean: Tensor,
    variance: Tensor,
}

impl BatchNorm {
    /// Adds `weight` (one), `bias` (zero), `running_mean` (zero) and `running_var` (one), each
    /// `[channels]`.
    pub fn new(mut scope: Scope<'_>, channels: usize) -> Self {
        let sides = [channels as i64];
        let weight = scope.add("weight", &sides, Init::Constant(1.0));
        let bias = scope.add("bias", &sides, Init::Constant(0.0));
        Self { scale: Some([weight, bias]), ..Self::plain(scope, channels) }
    }

    /// Adds only the running moments.
    pub fn plain(mut scope: Scope<'_>, channels: usize) -> Self {
        let sides = [channels as i64];
        let mean = scope.add_frozen("running_mean", &sides, Init::Constant(0.0));
        let variance = scope.add_frozen("running_var", &sides, Init::Constant(1.0));
        Self { scale: None, mean, variance }
    }

    /// Normalises [B, C] or [B, C, H, W].
    ///
    /// # Panics
    /// When the input has another number of channels, or a part of a batch has a single value per
    /// channel, whose variance is undefined.
    pub fn forward(&self, x: &Tensor, moments: Moments) -> Tensor {
        match moments {
            Moments::Batch { splits } if splits > 1 && x.size()[0] % splits as i64 == 0 => {
                self.split(x, splits as i64)
            }
            Moments::Batch { .. } => self.normalize(x, true),
            Moments::Running => self.normalize(x, false),
        }
    }

    fn normalize(&self, x: &Tensor, training: bool) -> Tensor {
        let [weight, bias] = self.scale.as_ref().map_or([None; 2], |[w, b]| [Some(w), Some(b)]);
        let (mean, variance) = (Some(&self.mean), Some(&self.variance));
        x.batch_norm(weight, bias, mean, variance, training, MOMENTUM, EPS, false)
    }

    /// Normalises each part separately: normalising them together, with parts as extra channels,
    /// would need a contiguous layout, in which convolutions are slower.
    fn split(&self, x: &Tensor, splits: i64) -> Tensor {
        let [weight, bias] = self.scale.as_ref().map_or([None; 2], |[w, b]| [Some(w), Some(b)]);
        let [means, variances] = [&self.mean, &self.variance].map(|own| own.repeat([splits, 1]));
        let normalize = |(part, x): (i64, &Tensor)| {
            let (mean, variance) = (means.get(part), variances.get(part));
            let (mean, variance) = (Some(&mean), Some(&variance));
            x.batch_norm(weight, bias, mean, variance, true, MOMENTUM, EPS, false)
        };
        let parts = x.chunk(splits, 0);
        let normalized: Vec<Tensor> = (0..).zip(&parts).map(normalize).collect();
        tch::no_grad(|| {
            for (own, parts) in [(&self.mean, &means), (&self.variance, &variances)] {
                own.shallow_clone().copy_(&parts.mean_dim(&[0_i64][..], false, None));
            }
        });
        Tensor::cat(&normalized, 0)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::{Parameters, tests::normal};

    fn fresh() -> (Parameters, BatchNorm) {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let norm = BatchNorm::new(parameters.root(), 3);
        (parameters, norm)
    }

    fn close(one: &Tensor, other: &Tensor) {
        let off = (one - other).abs().max().double_value(&[]);
        assert!(one.size() == other.size() && off < 1e-5, "off by {off}");
    }

    #[test]
    fn parts_are_normalised_as_if_each_were_a_batch() {
        let x = normal("x", &[8, 3, 2, 2]);
        let (parameters, whole) = fresh();
        let found = whole.forward(&x, Moments::Batch { splits: 4 });
        let (mut means, mut variances) = (Vec::new(), Vec::new());
        for part in 0..4 {
            let (parameters, alone) = fresh();
            let members = Tensor::from_slice(&[2 * part, 2 * part + 1]);
            let wanted = alone.forward(&x.index_select(0, &members), Moments::Batch { splits: 1 });
            close(&found.index_select(0, &members), &wanted);
            means.push(parameters.get("running_mean").unwrap().tensor.shallow_clone());
            variances.push(parameters.get("running_var").unwrap().tensor.shallow_clone());
        }
        let mean = |parts: &[Tensor]| Tensor::stack(parts, 0).mean_dim(&[0_i64][..], false, None);
        close(&parameters.get("running_mean").unwrap().tensor, &mean(&means));
        close(&parameters.get("running_var").unwrap().tensor, &mean(&variances));
    }

    #[test]
    fn an_evaluation_changes_no_moments_and_a_split_one_has_gradients() {
        let x = normal("x", &[8, 3]);
        let (parameters, norm) = fresh();
        let found = norm.forward(&x, Moments::Running);
        close(&found, &(&x / (1.0 + EPS).sqrt()));
        assert_eq!(
            parameters.get("running_mean").unwrap().tensor.abs().max().double_value(&[]),
            0.0
        );
        // Once more after a pass, as a step with two views does.
        let first = norm.forward(&x, Moments::Batch { splits: 2 });
        let second = norm.forward(&(&x * 2), Moments::Batch { splits: 2 });
        (first * second).sum(Kind::Float).backward();
        let weight = &parameters.get("weight").unwrap().tensor;
        assert!(weight.grad().abs().min().double_value(&[]) > 0.0);
        assert_eq!(parameters.trainable().count(), 2);
        // A batch that cannot be split is one part.
        assert_eq!(norm.forward(&x.narrow(0, 0, 5), Moments::Batch { splits: 2 }).size(), [5, 3]);
    }
}
