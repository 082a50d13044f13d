//! RandAugment (Cubuk et al., arXiv 1909.13719) as timm's `rand-mM-mstd0.5-inc1`.
//!
//! Two of fifteen operations are drawn, with replacement; each is applied with probability ½, at a
//! magnitude that is normal about M with standard deviation ½, clipped to 0..10. "Increasing" means
//! that every operation has a stronger effect at a greater magnitude.

use bauta_streams::RandomStream;
use strum::VariantArray;

use super::operations::Planes;
use super::warp::rotation;

/// Operations drawn for an image.
const DRAWN: usize = 2;
/// Standard deviation of the magnitude.
const DEVIATION: f64 = 0.5;
/// The greatest magnitude.
const GREATEST: f64 = 10.0;

/// The operations. A draw is an index into them, so their order must not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
enum Operation {
    AutoContrast,
    Equalize,
    Invert,
    Rotate,
    Posterize,
    Solarize,
    SolarizeAdd,
    Color,
    Contrast,
    Brightness,
    Sharpness,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
}

impl Operation {
    /// Applies the operation at a `level` in 0..=1, forwards or backwards.
    fn apply(
        self,
        image: &mut Planes<'_>,
        level: f64,
        negative: bool,
        fill: &[u8],
        scratch: &mut Vec<u8>,
    ) {
        let sign = if negative { -1.0 } else { 1.0 };
        let factor = (1.0 + sign * 0.9 * level).max(0.1) as f32;
        let (height, width) = (image.height, image.width);
        let (shear, shift) = (sign * 0.3 * level, sign * 0.45 * level);
        let mut warp = |affine| image.warp(affine, fill, scratch);
        match self {
            Self::Rotate => warp(rotation(sign * 30.0 * level, height, width)),
            Self::ShearX => warp([1.0, shear, 0.0, 0.0, 1.0, 0.0]),
            Self::ShearY => warp([1.0, 0.0, 0.0, shear, 1.0, 0.0]),
            Self::TranslateX => warp([1.0, 0.0, shift * width as f64, 0.0, 1.0, 0.0]),
            Self::TranslateY => warp([1.0, 0.0, 0.0, 0.0, 1.0, shift * height as f64]),
            Self::AutoContrast => image.auto_contrast(),
            Self::Equalize => image.equalize(),
            Self::Invert => image.invert(),
            Self::Posterize => image.posterize(4 - (level * 4.0) as u32),
            Self::Solarize => image.solarize(256 - ((level * 256.0) as u32).min(256)),
            Self::SolarizeAdd => image.solarize_add((level * 110.0) as u8),
            Self::Color => image.color(factor),
            Self::Contrast => image.contrast(factor),
            Self::Brightness => image.brightness(factor),
            Self::Sharpness => image.sharpness(factor, scratch),
        }
    }
}

/// Augments an image; pixels moved in from outside become `fill`, one value per channel.
pub(super) fn rand_augment(
    image: &mut Planes<'_>,
    magnitude: f64,
    fill: &[u8],
    stream: &mut RandomStream,
    scratch: &mut Vec<u8>,
) {
    for _ in 0..DRAWN {
        let operation =
            Operation::VARIANTS[stream.below(Operation::VARIANTS.len() as u64) as usize];
        let applied = stream.uniform() < 0.5;
        let drawn = magnitude + DEVIATION * stream.normal();
        let negative = stream.uniform() < 0.5;
        if applied {
            let level = drawn.clamp(0.0, GREATEST) / GREATEST;
            operation.apply(image, level, negative, fill, scratch);
        }
    }
}

#[cfg(test)]
mod tests;
