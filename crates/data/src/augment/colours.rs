//! Changes of colour and sharpness between views of one image: torchvision's `ColorJitter`,
//! `RandomGrayscale`, `GaussianBlur` and `RandomSolarize`, in MoCo v2's order.

use bauta_datasets::Colours;
use bauta_streams::RandomStream;

use super::blur::gaussian_blur;
use super::operations::Planes;

/// Solarising inverts samples of at least this value.
const SOLARIZED: u32 = 128;

/// Applies randomly drawn changes to an image.
pub(super) fn apply(
    colours: &Colours,
    image: &mut Planes<'_>,
    stream: &mut RandomStream,
    scratch: &mut Vec<u8>,
) {
    let happens = |probability: f64, stream: &mut RandomStream| {
        probability > 0.0 && stream.uniform_in(0.0, 1.0) < probability
    };
    if happens(colours.jitter_probability, stream) {
        jitter(colours, image, stream);
    }
    if happens(colours.grey, stream) {
        image.grey_out();
    }
    if happens(colours.blur, stream) {
        let sigma = stream.uniform_in(colours.sigma[0], colours.sigma[1]);
        let side = ((image.height.min(image.width) / 10) | 1).max(3);
        gaussian_blur(image, side, sigma, scratch);
    }
    if happens(colours.solarize, stream) {
        image.solarize(SOLARIZED);
    }
}

fn jitter(colours: &Colours, image: &mut Planes<'_>, stream: &mut RandomStream) {
    let mut order = [0, 1, 2, 3];
    stream.shuffle(&mut order);
    let [brightness, contrast, saturation, hue] = colours.jitter;
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

impl Planes<'_> {
    /// Sets every channel to the pixel's luma (`ImageOps.grayscale`).
    pub(super) fn grey_out(&mut self) {
        // A blend of the grey image with nothing of the original.
        self.color(0.0);
    }

    /// Shifts each pixel's hue by a fraction of the circle in [-0.5, 0.5], in Pillow's eight-bit
    /// HSV as torchvision does; a grey image stays as it is.
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

/// The inverse of [`to_hsv`].
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
