//! From host bytes to a model's input, and back to pictures.

use tch::{Device, Kind, Tensor};

use crate::{Framing, ModelError, Preprocessing};

/// Per-channel standardisation of images, done on the device.
#[derive(Debug)]
pub struct ImageNormalization {
    mean: Vec<f32>,
    deviation: Vec<f32>,
    /// 1 / (255 · deviation), [1, C, 1, 1].
    scale: Tensor,
    /// −mean / deviation, [1, C, 1, 1].
    shift: Tensor,
    device: Device,
}

impl ImageNormalization {
    /// Takes the channels' means and deviations, of pixels in [0, 1].
    ///
    /// # Errors
    /// [`ModelError::Config`] unless there are channels, and for each a finite mean and a finite
    /// deviation above 0.
    pub fn new(mean: &[f32], deviation: &[f32], device: Device) -> Result<Self, ModelError> {
        let usable = |&deviation: &f32| deviation > 0.0 && deviation.is_finite();
        let sound = mean.iter().all(|mean| mean.is_finite()) && deviation.iter().all(usable);
        if mean.is_empty() || mean.len() != deviation.len() || !sound {
            return Err(ModelError::Config(format!(
                "{} channel means need as many deviations above 0, at least one of each, all \
                 finite; the means are {mean:?}, the deviations {deviation:?}",
                mean.len()
            )));
        }
        let channels =
            |values: Vec<f32>| Tensor::from_slice(&values).view([1, -1, 1, 1]).to_device(device);
        Ok(Self {
            mean: mean.to_vec(),
            deviation: deviation.to_vec(),
            scale: channels(deviation.iter().map(|d| 1.0 / (255.0 * d)).collect()),
            shift: channels(mean.iter().zip(deviation).map(|(m, d)| -m / d).collect()),
            device,
        })
    }

    /// The same in a model folder's words, for pictures that are resized and cut by `framing`;
    /// what is read of it normalises to the same bits.
    pub fn preprocessing(&self, framing: Option<Framing>) -> Preprocessing {
        Preprocessing::new(&self.mean, &self.deviation, framing)
    }

    /// Number of channels, C.
    pub fn channels(&self) -> usize {
        self.scale.numel()
    }

    /// Turns u8 pixels of any device, of images [B, C, H, W] or clips [B, C, T, H, W], into
    /// normalised f32 on this one.
    pub fn normalize(&self, pixels: &Tensor) -> Tensor {
        let (scale, shift) = self.for_sides(pixels.dim());
        let pixels = pixels.to_device(self.device).to_kind(Kind::Float);
        pixels * scale + shift
    }

    /// Turns normalised images or clips back into pixels in [0, 1] (values outside are
    /// clamped).
    pub fn to_pixels(&self, images: &Tensor) -> Tensor {
        let (scale, shift) = self.for_sides(images.dim());
        ((images - shift) / (scale * 255.0)).clamp(0.0, 1.0)
    }

    /// Scale and shift for tensors of so many sides.
    fn for_sides(&self, sides: usize) -> (Tensor, Tensor) {
        let shape = [&[1, -1][..], &vec![1; sides - 2]].concat();
        (self.scale.view(shape.as_slice()), self.shift.view(shape.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_folder_says_normalises_to_the_same_bits() {
        let (mean, deviation) = ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]);
        let own = ImageNormalization::new(&mean, &deviation, Device::Cpu).unwrap();
        let folder = tempfile::tempdir().unwrap();
        own.preprocessing(None).write(folder.path()).unwrap();
        let read = Preprocessing::read(folder.path()).unwrap().unwrap();
        let read = read.normalization(3, Device::Cpu).unwrap();
        let pixels = Tensor::arange(3 * 256, (Kind::Uint8, Device::Cpu)).view([1, 3, 16, 16]);
        assert_eq!(own.normalize(&pixels), read.normalize(&pixels));
    }

    #[test]
    fn statistics_that_fit_no_image_are_refused() {
        for (mean, deviation) in [
            (&[][..], &[][..]),
            (&[0.5], &[]),
            (&[0.5], &[0.0]),
            (&[0.5], &[-1.0]),
            (&[0.5], &[f32::NAN]),
            (&[f32::INFINITY], &[1.0]),
        ] {
            let refused = ImageNormalization::new(mean, deviation, Device::Cpu).unwrap_err();
            assert!(refused.to_string().contains("as many deviations above 0"), "{refused}");
        }
    }
}
