//! Changes of colour and sharpness that views of one image differ by: torchvision's
//! `ColorJitter`, `RandomGrayscale`, `GaussianBlur` and `RandomSolarize`, in MoCo v2's order.

use bauta_streams::RandomStream;
use serde::{Deserialize, Serialize};

use super::blur::gaussian_blur;
use super::operations::Planes;
use crate::error::DataError;

/// Samples of at least this are inverted by solarising.
const SOLARIZED: u32 = 128;

/// How the colours and the sharpness of a view are varied: a recipe's `data.augment.colours`.
///
/// The defaults are MoCo v2's (arXiv 2003.04297).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Colours {
    /// Greatest changes of brightness, contrast, saturation and hue, in a random order:
    /// factors in [1 − b, 1 + b], and a turn of at most h, which is at most 0.5.
    pub jitter: [f64; 4],
    /// Probability of these changes.
    pub jitter_probability: f64,
    /// Probability of taking the colours away.
    pub grey: f64,
    /// Probability of a Gaussian blur, whose kernel is a tenth of the image's shorter side.
    pub blur: f64,
    /// Least and greatest deviation of the blur in pixels.
    pub sigma: [f64; 2],
    /// Probability of inverting what is bright.
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
    /// Checks the ranges, and that images of so many channels have colours.
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
                return refuse(key, probability.to_string(), "wants a probability");
            }
        }
        let [.., hue] = self.jitter;
        let sound = self.jitter.iter().all(|change| (0.0..=1.0).contains(change)) && hue <= 0.5;
        if !sound {
            let rule = "wants three changes in [0, 1], and one of hue in [0, 0.5]";
            return refuse("colours.jitter", format!("{:?}", self.jitter), rule);
        }
        let [least, most] = self.sigma;
        if !(0.0 < least && least <= most && most.is_finite()) {
            let rule = "wants [least, greatest] deviation in pixels, above 0";
            return refuse("colours.sigma", format!("{:?}", self.sigma), rule);
        }
        if ![1, 3].contains(&channels) {
            let rule = format!("needs 1 or 3 channels, and these images have {channels}");
            return refuse("colours", "given".to_owned(), &rule);
        }
        Ok(())
    }

    /// Changes an image as the stream draws it.
    pub(super) fn apply(
        &self,
        image: &mut Planes<'_>,
        stream: &mut RandomStream,
        scratch: &mut Vec<u8>,
    ) {
        let happens = |probability: f64, stream: &mut RandomStream| {
            probability > 0.0 && stream.uniform_in(0.0, 1.0) < probability
        };
        if happens(self.jitter_probability, stream) {
            self.jitter(image, stream);
        }
        if happens(self.grey, stream) {
            image.grey_out();
        }
        if happens(self.blur, stream) {
            let sigma = stream.uniform_in(self.sigma[0], self.sigma[1]);
            let side = ((image.height.min(image.width) / 10) | 1).max(3);
            gaussian_blur(image, side, sigma, scratch);
        }
        if happens(self.solarize, stream) {
            image.solarize(SOLARIZED);
        }
    }

    fn jitter(&self, image: &mut Planes<'_>, stream: &mut RandomStream) {
        let mut order = [0, 1, 2, 3];
        stream.shuffle(&mut order);
        let [brightness, contrast, saturation, hue] = self.jitter;
        for change in order {
            let mut factor = |change: f64| stream.uniform_in(1.0 - change, 1.0 + change) as f32;
            match change {
                0 if brightness > 0.0 => image.brightness(factor(brightness)),
                1 if contrast > 0.0 => image.contrast(factor(contrast)),
                2 if saturation > 0.0 => image.color(factor(saturation)),
                3 if hue > 0.0 => image.turn_hue(stream.uniform_in(-hue, hue)),
                _ => {}
            }
        }
    }
}

impl Planes<'_> {
    /// Every channel the pixel's luma (`ImageOps.grayscale`).
    pub(super) fn grey_out(&mut self) {
        // Blending nothing of the image with its grey one.
        self.color(0.0);
    }

    /// Turns each pixel's hue by a part of the circle in [-0.5, 0.5], in Pillow's eight-bit HSV
    /// as torchvision does; a grey image stays as it is.
    pub(super) fn turn_hue(&mut self, turn: f64) {
        if self.channels != 3 {
            return;
        }
        let turn = (turn * 255.0) as i32 as u8;
        let (red, rest) = self.pixels.split_at_mut(self.height * self.width);
        let (green, blue) = rest.split_at_mut(self.height * self.width);
        for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
            let [hue, saturation, value] = to_hsv([*red, *green, *blue]);
            [*red, *green, *blue] = from_hsv([hue.wrapping_add(turn), saturation, value]);
        }
    }
}

/// Hue, saturation and value in eight bits, in Pillow's mixture of single and double precision.
fn to_hsv([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    if most == least {
        return [0, 0, most];
    }
    let range = f32::from(most - least);
    let saturation = range / f32::from(most);
    let [from_red, from_green, from_blue] =
        [red, green, blue].map(|sample| f64::from(f32::from(most - sample) / range));
    let hue = if red == most {
        (from_blue as f32 - from_green as f32).into()
    } else if green == most {
        2.0 + from_red - from_blue
    } else {
        4.0 + from_green - from_red
    };
    let hue = ((f64::from(hue as f32) / 6.0 + 1.0) % 1.0) as f32;
    [(f64::from(hue) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, most]
}

/// The way back.
fn from_hsv([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let sixths = f64::from(hue) * 6.0 / 255.0;
    let sector = sixths.floor();
    let within = (sixths - sector) as f32;
    let saturation = (f64::from(saturation) / 255.0) as f32;
    let times = |part: f64| (f64::from(value) * part).round() as u8;
    let low = times(1.0 - f64::from(saturation));
    let falling = times(1.0 - f64::from(saturation * within));
    let rising = times(1.0 - f64::from(saturation) * (1.0 - f64::from(within)));
    match sector as u8 % 6 {
        0 => [value, rising, low],
        1 => [falling, value, low],
        2 => [low, value, rising],
        3 => [low, falling, value],
        4 => [rising, low, value],
        _ => [value, low, falling],
    }
}

#[cfg(test)]
mod tests;
