//! Settings for augmenting training images, and their ranges.
//!
//! The defaults are the pre-training of MAE (arXiv 2111.06377, A.1): a random
//! resized crop of 20 to 100 % of the area and a horizontal flip, nothing else.

mod colours;

use serde::{Deserialize, Serialize};

pub use self::colours::Colours;
use crate::error::DataError;
use crate::images::SampleType;

/// How an image is brought to the model's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crop {
    /// A rectangle of random area, ratio and place; drawn again, up to ten
    /// times, while it does not fit (torchvision's `RandomResizedCrop`).
    #[default]
    RandomResized,
    /// The same, drawn once and clipped to the image (MAE's linear probe).
    RandomResizedClamped,
    /// A random shift by at most `shift` pixels, the border reflected. An image
    /// of another size is resized first, without regard to its ratio.
    Shift,
    /// The middle 7/8 of the shorter side (224 of 256), for evaluation; an image
    /// that already has the size is taken whole.
    Center,
    /// The whole image, resized without regard to its ratio.
    None,
}

/// How images are augmented: a recipe's `data.augment`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// The kind of crop.
    pub crop: Crop,
    /// Least and greatest fraction of the image's area in a random resized crop.
    pub scale: [f64; 2],
    /// Least and greatest width over height of a random resized crop.
    pub ratio: [f64; 2],
    /// Greatest shift in pixels, of `crop = "shift"`.
    pub shift: usize,
    /// Whether to mirror each image left to right with probability 0.5.
    pub flip: bool,
    /// Changes of colour and sharpness, as for the views of contrastive learning; none if not
    /// given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colours: Option<Colours>,
    /// Magnitude M of RandAugment, timm's `rand-mM-mstd0.5-inc1`, in 0 to 10; 0 leaves it out.
    pub randaugment: f64,
    /// Probability of erasing a rectangle with separate noise for each pixel.
    pub erasing: f64,
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            crop: Crop::RandomResized,
            scale: [0.2, 1.0],
            ratio: [0.75, 1.333_333_333_333_333_3],
            shift: 4,
            flip: true,
            colours: None,
            randaugment: 0.0,
            erasing: 0.0,
        }
    }
}

impl Augment {
    /// The deterministic centre crop, for evaluation.
    pub fn evaluation() -> Self {
        Self { crop: Crop::Center, flip: false, ..Self::default() }
    }

    /// Refuses colour changes, which need bytes, for images with other samples; crops, resizing and
    /// mirroring work for all.
    ///
    /// # Errors
    /// [`DataError::Setting`], which names the setting.
    pub fn suits(&self, samples: SampleType) -> Result<(), DataError> {
        if samples == SampleType::Uint8 {
            return Ok(());
        }
        if self.colours.is_some() {
            let rule =
                format!("colour changes need bytes, but these images hold {samples}; remove them");
            return Err(DataError::setting("colours", "{ … }", rule));
        }
        for (key, value) in [("randaugment", self.randaugment), ("erasing", self.erasing)] {
            if value > 0.0 {
                let rule = format!("works on bytes, but these images hold {samples}; set it to 0");
                return Err(DataError::setting(key, value, rule));
            }
        }
        Ok(())
    }

    /// Checks the settings for images with `channels` channels that are brought to `height` ×
    /// `width` pixels.
    ///
    /// # Errors
    /// [`DataError::Setting`] when one is out of its range; the message names it.
    pub fn check(&self, channels: usize, height: usize, width: usize) -> Result<(), DataError> {
        let check = |holds: bool, key, value: String, rule: &str| {
            holds.then_some(()).ok_or(DataError::Setting { key, value, rule: rule.to_owned() })
        };
        let ([least, most], [narrow, wide]) = (self.scale, self.ratio);
        check(
            0.0 < least && least <= most && most <= 1.0,
            "scale",
            format!("{:?}", self.scale),
            "must be [least, greatest] fraction of the area, in (0, 1]",
        )?;
        check(
            0.0 < narrow && narrow <= wide && wide.is_finite(),
            "ratio",
            format!("{:?}", self.ratio),
            "must be [least, greatest] width over height, above 0",
        )?;
        for (key, side) in [("height", height), ("width", width)] {
            let holds = (1..=usize::from(u16::MAX)).contains(&side);
            check(holds, key, side.to_string(), "must be 1 to 65535 pixels")?;
        }
        check(
            self.crop != Crop::Shift || self.shift < height.min(width),
            "shift",
            self.shift.to_string(),
            "must be less than the image's sides",
        )?;
        check(
            (0.0..=10.0).contains(&self.randaugment),
            "randaugment",
            self.randaugment.to_string(),
            "must be a magnitude in [0, 10]",
        )?;
        check(
            (0.0..=1.0).contains(&self.erasing),
            "erasing",
            self.erasing.to_string(),
            "must be in [0, 1]",
        )?;
        check(channels > 0, "channels", channels.to_string(), "must be at least 1")?;
        check(
            self.randaugment == 0.0 || [1, 3].contains(&channels),
            "randaugment",
            self.randaugment.to_string(),
            &format!("changes colours, but these images have {channels} channels; set it to 0"),
        )?;
        self.colours.as_ref().map_or(Ok(()), |colours| colours.check(channels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_named() {
        let good = Augment::default;
        for (key, augment) in [
            ("scale", Augment { scale: [0.0, 1.0], ..good() }),
            ("scale", Augment { scale: [0.5, 0.2], ..good() }),
            ("scale", Augment { scale: [f64::NAN, 1.0], ..good() }),
            ("ratio", Augment { ratio: [0.5, f64::INFINITY], ..good() }),
            ("randaugment", Augment { randaugment: 10.5, ..good() }),
            ("erasing", Augment { erasing: f64::NAN, ..good() }),
            ("shift", Augment { crop: Crop::Shift, shift: 32, ..good() }),
        ] {
            let error = augment.check(3, 32, 32).unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
        assert!(good().check(3, 0, 32).is_err());
        assert!(good().check(0, 32, 32).is_err());
        let changes_colours = Augment { randaugment: 9.0, ..good() };
        let error = changes_colours.check(2, 32, 32).unwrap_err().to_string();
        assert!(error.contains("randaugment") && error.contains("2 channels"), "{error}");
    }

    #[test]
    fn recipes_write_it_with_strict_keys() {
        let augment: Augment =
            serde_json::from_str(r#"{"crop": "random-resized-clamped", "scale": [0.08, 1.0]}"#)
                .unwrap();
        assert_eq!(augment.crop, Crop::RandomResizedClamped);
        assert_eq!((augment.scale[0], augment.flip), (0.08, true));
        assert!(serde_json::from_str::<Augment>(r#"{"scales": [0.08, 1.0]}"#).is_err());
    }
}
