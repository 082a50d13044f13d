//! Settings for changes of colour and sharpness, as for the views of contrastive learning.

use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// How the colours and the sharpness of a view are augmented: a recipe's `data.augment.colours`.
///
/// The defaults are MoCo v2's (arXiv 2003.04297).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Colours {
    /// Greatest changes of brightness, contrast, saturation and hue, in a random order: factors in
    /// [1 − b, 1 + b], and a hue shift of at most h, which is at most 0.5.
    pub jitter: [f64; 4],
    /// Probability of these changes.
    pub jitter_probability: f64,
    /// Probability of converting to grey.
    pub grey: f64,
    /// Probability of a Gaussian blur, whose kernel is a tenth of the image's shorter side.
    pub blur: f64,
    /// Least and greatest standard deviation of the blur in pixels.
    pub sigma: [f64; 2],
    /// Probability of inverting bright pixels (solarising).
    pub solarize: f64,
}

impl Default for Colours {
    fn default() -> Self {
        Self {
            jitter: [0.4, 0.4, 0.4, 0.1],
            jitter_probability: 0.8,
            grey: 0.2,
            blur: 0.5,
            sigma: [0.1, 2.0],
            solarize: 0.0,
        }
    }
}

impl Colours {
    /// Checks the ranges, and that images with this number of channels have colours.
    pub(super) fn check(&self, channels: usize) -> Result<(), DataError> {
        let refuse = |key, value: String, rule: &str| {
            Err(DataError::Setting { key, value, rule: rule.to_owned() })
        };
        for (key, probability) in [
            ("colours.jitter_probability", self.jitter_probability),
            ("colours.grey", self.grey),
            ("colours.blur", self.blur),
            ("colours.solarize", self.solarize),
        ] {
            if !(0.0..=1.0).contains(&probability) {
                return refuse(key, probability.to_string(), "must be in [0, 1]");
            }
        }
        let [.., hue] = self.jitter;
        let sound = self.jitter.iter().all(|change| (0.0..=1.0).contains(change)) && hue <= 0.5;
        if !sound {
            let rule = "must be brightness, contrast and saturation in [0, 1], and hue in [0, 0.5]";
            return refuse("colours.jitter", format!("{:?}", self.jitter), rule);
        }
        let [least, most] = self.sigma;
        if !(0.0 < least && least <= most && most.is_finite()) {
            let rule = "must be [least, greatest] standard deviation in pixels, above 0";
            return refuse("colours.sigma", format!("{:?}", self.sigma), rule);
        }
        if ![1, 3].contains(&channels) {
            let rule = format!("needs 1 or 3 channels, but these images have {channels}");
            return refuse("colours", "given".to_owned(), &rule);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_named() {
        let refuse = |colours: Colours, channels| colours.check(channels).unwrap_err().to_string();
        let usual = Colours::default;
        for (colours, channels, words) in [
            (Colours { jitter: [0.4, 0.4, 0.4, 0.6], ..usual() }, 3, "colours.jitter = [0.4"),
            (Colours { grey: 1.2, ..usual() }, 3, "colours.grey = 1.2"),
            (Colours { sigma: [2.0, 1.0], ..usual() }, 3, "colours.sigma = [2.0, 1.0]"),
            (usual(), 4, "needs 1 or 3 channels, but these images have 4"),
        ] {
            let refused = refuse(colours, channels);
            assert!(refused.contains(words), "{refused}");
        }
    }
}
