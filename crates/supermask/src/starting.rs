//! Initialisation of weights and scores, drawn by `Parameters` from keyed streams.

use bauta_backbones::{Init, WeightShape};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString};

/// How weights are initialised. Fan-in and fan-out are those of one output and one input.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display, EnumString,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum WeightStart {
    /// √2 / √fan-in with a random sign.
    #[default]
    SignedConstant,
    /// √2 / √fan-in, always positive.
    UnsignedConstant,
    /// Normal with standard deviation √2 / √fan-in.
    KaimingNormal,
    /// Uniform in ± √6 / √fan-in.
    KaimingUniform,
    /// Normal with variance 2 / (fan-in + fan-out).
    XavierNormal,
}

impl WeightStart {
    /// The initialisation of a layer.
    pub fn of(self, layer: &WeightShape) -> Init {
        let fan_in = layer.fan_in() as f64;
        let fan_out = (layer.count() / layer.shape[1] as usize) as f64;
        let constant = (2.0 / fan_in).sqrt();
        match self {
            Self::SignedConstant => Init::Signed(constant as f32),
            Self::UnsignedConstant => Init::Constant(constant as f32),
            Self::KaimingNormal => Init::Normal(constant),
            Self::KaimingUniform => Init::Uniform((6.0 / fan_in).sqrt()),
            Self::XavierNormal => Init::Normal((2.0 / (fan_in + fan_out)).sqrt()),
        }
    }
}

/// The initialisation of a layer's scores: Kaiming uniform with a = √5, which is ± 1 / √fan-in.
pub fn score_start(layer: &WeightShape) -> Init {
    Init::Uniform(1.0 / (layer.fan_in() as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_deviations_are_known_ones() {
        let layer = WeightShape { name: "linear.0".to_owned(), shape: vec![300, 784] };
        assert_eq!(score_start(&layer), Init::Uniform(1.0 / 28.0));
        let Init::Signed(size) = WeightStart::SignedConstant.of(&layer) else {
            panic!("signed constant")
        };
        assert!((f64::from(size) - 0.050_507_6).abs() < 1e-7, "{size}");
        let filter = WeightShape { name: "conv1".to_owned(), shape: vec![20, 3, 3, 3] };
        assert_eq!(WeightStart::XavierNormal.of(&filter), Init::Normal((2.0 / 207.0_f64).sqrt()));
        assert_eq!(WeightStart::KaimingUniform.of(&filter), Init::Uniform((6.0 / 27.0_f64).sqrt()));
    }
}
