//! How a teacher's features are normalised before they are predicted (the slot N of MaskDistill's
//! unified view, arXiv 2210.10615 §2; dBOT §3).

use tch::{Kind, Tensor};

/// Added to variances, inside the root; lower bound of lengths.
const EPS: f64 = 1e-6;

/// Normalises each token's features separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalization {
    /// Leaves them as they are.
    None,
    /// Standardises them to mean 0 and *unbiased* variance 1, as dBOT does and as MAE does pixels.
    Standardize,
    /// Standardises them to mean 0 and *biased* variance 1: layer norm without affine parameters.
    LayerNorm,
    /// Scales them to Euclidean length 1.
    L2,
}

impl Normalization {
    /// Normalises the last dimension of features `[..., D]`, in single precision.
    ///
    /// [`Self::Standardize`] and [`Self::LayerNorm`] turn a token whose features are all equal
    /// into zeros; under [`Self::L2`] a token of zeros stays zero.
    pub fn apply(self, features: &Tensor) -> Tensor {
        let features = features.to_kind(Kind::Float);
        match self {
            Self::None => features,
            Self::Standardize => standardize(&features, true),
            Self::LayerNorm => standardize(&features, false),
            Self::L2 => {
                let length = features.norm_scalaropt_dim(2.0, [-1_i64].as_slice(), true);
                features / length.clamp_min(EPS)
            }
        }
    }
}

fn standardize(features: &Tensor, unbiased: bool) -> Tensor {
    let (variance, mean) = features.var_mean_dim([-1_i64].as_slice(), unbiased, true);
    (features - mean) / (variance + EPS).sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tch::Device;

    use super::*;
    use crate::tests::normal;

    fn largest(tensor: &Tensor) -> f64 {
        tensor.abs().max().double_value(&[])
    }

    fn arbitrary_features() -> impl Strategy<Value = Tensor> {
        (1..4_i64, 1..5_i64, 8..24_i64).prop_flat_map(|(batch, tokens, width)| {
            let count = (batch * tokens * width) as usize;
            prop::collection::vec(-4.0..4.0_f32, count)
                .prop_map(move |values| Tensor::from_slice(&values).view([batch, tokens, width]))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn each_token_has_mean_zero_and_variance_one(features in arbitrary_features()) {
            for (normalization, unbiased) in
                [(Normalization::Standardize, true), (Normalization::LayerNorm, false)]
            {
                let found = normalization.apply(&features);
                let (variance, mean) = found.var_mean_dim([-1_i64].as_slice(), unbiased, true);
                prop_assert!(largest(&mean) < 1e-5);
                // A variance v becomes v / (v + eps).
                prop_assert!(largest(&(variance - 1.0)) < 1e-3);
            }
        }

        #[test]
        fn scale_and_shift_of_a_teacher_do_not_matter(
            features in arbitrary_features(),
            gain in 0.5..3.0_f64,
            shift in -2.0..2.0_f64,
        ) {
            for normalization in [Normalization::Standardize, Normalization::LayerNorm] {
                let plain = normalization.apply(&features);
                let changed = normalization.apply(&(&features * gain + shift));
                prop_assert!(largest(&(plain - changed)) < 1e-3);
            }
            let plain = Normalization::L2.apply(&features);
            let changed = Normalization::L2.apply(&(&features * gain));
            prop_assert!(largest(&(plain - changed)) < 1e-5);
        }
    }

    #[test]
    fn layer_norm_is_libtorchs() {
        let features = normal("features", &[2, 3, 48]);
        let wanted = features.layer_norm([48], None::<Tensor>, None::<Tensor>, EPS, false);
        assert!(largest(&(Normalization::LayerNorm.apply(&features) - wanted)) < 1e-5);
    }

    #[test]
    fn features_without_differences_become_zero() {
        let flat = Tensor::full([1, 2, 8], 3.0, (Kind::Float, Device::Cpu));
        for normalization in [Normalization::Standardize, Normalization::LayerNorm] {
            assert_eq!(largest(&normalization.apply(&flat)), 0.0);
        }
        assert_eq!(largest(&Normalization::L2.apply(&flat.zeros_like())), 0.0);
    }
}
