//! Conversion of host samples to a model's input, and back to images for display.

use tch::{Device, Kind, Tensor};

use crate::{Framing, ModelError, Preprocessing, SampleKind, Samples};

/// Range of displayed values, in standard deviations on either side of the mean.
const SHOWN: f64 = 3.0;

/// Per-channel normalisation of images, computed on the device.
#[derive(Debug)]
pub struct ImageNormalization {
    samples: Samples,
    mean: Vec<f32>,
    deviation: Vec<f32>,
    /// 1 / (255 · deviation) for bytes, 1 / deviation for other samples, [1, C, 1, 1].
    scale: Tensor,
    /// −mean / deviation for bytes, −mean for other samples, [1, C, 1, 1].
    shift: Tensor,
    device: Device,
}

impl ImageNormalization {
    /// Takes the channels' means and standard deviations, for bytes scaled to [0, 1].
    ///
    /// # Errors
    /// [`ModelError::Config`] unless there is at least one channel, and each has a finite mean and
    /// a finite standard deviation above 0.
    pub fn new(mean: &[f32], deviation: &[f32], device: Device) -> Result<Self, ModelError> {
        Self::of(Samples::BYTES, mean, deviation, device)
    }

    /// The same for pixels of any sample type; if they are not bytes, means and standard deviations
    /// are in their own units.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of(
        samples: Samples,
        mean: &[f32],
        deviation: &[f32],
        device: Device,
    ) -> Result<Self, ModelError> {
        let usable = |&deviation: &f32| deviation > 0.0 && deviation.is_finite();
        let sound = mean.iter().all(|mean| mean.is_finite()) && deviation.iter().all(usable);
        if mean.is_empty() || mean.len() != deviation.len() || !sound {
            return Err(ModelError::Config(format!(
                "{} channel means need as many standard deviations above 0, at least one of \
                 each, all finite; the means are {mean:?}, the standard deviations {deviation:?}",
                mean.len()
            )));
        }
        let channels =
            |values: Vec<f32>| Tensor::from_slice(&values).view([1, -1, 1, 1]).to_device(device);
        let unit = samples.kind.unit();
        Ok(Self {
            samples,
            mean: mean.to_vec(),
            deviation: deviation.to_vec(),
            scale: channels(deviation.iter().map(|d| 1.0 / (unit * d)).collect()),
            shift: channels(match samples.kind {
                SampleKind::Uint8 => mean.iter().zip(deviation).map(|(m, d)| -m / d).collect(),
                SampleKind::Uint16 | SampleKind::Float32 => mean.iter().map(|m| -m).collect(),
            }),
            device,
        })
    }

    /// Describes the normalisation for a model folder, with images resized and cropped by
    /// `framing`. The normalisation read back from it gives bit-identical results.
    pub fn preprocessing(&self, framing: Option<Framing>) -> Preprocessing {
        Preprocessing::of(self.samples, &self.mean, &self.deviation, framing)
    }

    /// Number of channels, C.
    pub fn channels(&self) -> usize {
        self.scale.numel()
    }

    /// Type and range of the pixels that it takes.
    pub fn samples(&self) -> Samples {
        self.samples
    }

    /// Converts pixels on any device, of images [B, C, H, W] or clips [B, C, T, H, W], to
    /// normalised f32 on this normalisation's device.
    pub fn normalize(&self, pixels: &Tensor) -> Tensor {
        let (scale, shift) = self.for_sides(pixels.dim());
        let pixels = pixels.to_device(self.device).to_kind(Kind::Float);
        match self.samples.kind {
            SampleKind::Uint8 => pixels * scale + shift,
            // The mean is subtracted first: for values far from 0, rounding would otherwise erase
            // their differences.
            SampleKind::Uint16 | SampleKind::Float32 => (pixels + shift) * scale,
        }
    }

    /// Converts normalised images or clips to images of one or three channels in [0, 1] for display
    /// (values outside are clamped).
    ///
    /// Bytes get their original values. Other samples have no natural display range: three standard
    /// deviations below the mean are black, three above it white. Of more than three channels, the
    /// first three are red, green and blue; of two, the first is grey.
    pub fn to_pixels(&self, images: &Tensor) -> Tensor {
        let drawn = match self.samples.kind {
            SampleKind::Uint8 => {
                let (scale, shift) = self.for_sides(images.dim());
                (images - shift) / (scale * 255.0)
            }
            SampleKind::Uint16 | SampleKind::Float32 => images / (2.0 * SHOWN) + 0.5,
        };
        drawable(&drawn).clamp(0.0, 1.0)
    }

    /// Converts pixels [B, C, H, W] for display: u8 of one or three channels, bytes unchanged,
    /// other samples as in [`Self::to_pixels`].
    pub fn drawn(&self, pixels: &Tensor) -> Tensor {
        match self.samples.kind {
            SampleKind::Uint8 => drawable(pixels),
            SampleKind::Uint16 | SampleKind::Float32 => {
                let shown = self.to_pixels(&self.normalize(pixels));
                (shown * 255.0).round().to_kind(Kind::Uint8)
            }
        }
    }

    /// Scale and shift for tensors with `sides` dimensions.
    fn for_sides(&self, sides: usize) -> (Tensor, Tensor) {
        let shape = [&[1, -1][..], &vec![1; sides - 2]].concat();
        (self.scale.view(shape.as_slice()), self.shift.view(shape.as_slice()))
    }
}

/// The channels to display: all of one or three, else the first three or the first.
fn drawable(images: &Tensor) -> Tensor {
    match images.size()[1] {
        2 => images.narrow(1, 0, 1),
        channels if channels > 3 => images.narrow(1, 0, 3),
        _ => images.shallow_clone(),
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
    fn values_are_normalised_in_their_own_units_and_to_the_same_bits_from_a_folder() {
        let samples = Samples { kind: SampleKind::Float32, range: [-3.5, 1.0e6] };
        let (mean, deviation) = ([1.0e6, -2.0e-7, 0.1, 7.0], [2.0, 3.0e-9, 0.3, 1.0]);
        let own = ImageNormalization::of(samples, &mean, &deviation, Device::Cpu).unwrap();
        let folder = tempfile::tempdir().unwrap();
        own.preprocessing(None).write(folder.path()).unwrap();
        let read = Preprocessing::read(folder.path()).unwrap().unwrap();
        assert_eq!(read.samples().unwrap(), samples);
        let read = read.normalization(4, Device::Cpu).unwrap();
        let pixels = Tensor::from_slice(&[1.0e6_f32 + 4.0, -2.0e-7, 1.0, 6.0]).view([1, 4, 1, 1]);
        let found = own.normalize(&pixels);
        assert_eq!(found, read.normalize(&pixels));
        let found = Vec::<f32>::try_from(found.flatten(0, -1)).unwrap();
        for (found, wanted) in found.iter().zip([2.0, 0.0, 3.0, -1.0]) {
            assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
        }
    }

    #[test]
    fn pictures_have_one_channel_or_three() {
        let samples = Samples { kind: SampleKind::Uint16, range: [0.0, 65_535.0] };
        for (channels, drawn) in [(1, 1), (2, 1), (3, 3), (4, 3), (9, 3)] {
            let (mean, deviation) = (vec![1000.0; channels], vec![100.0; channels]);
            let values = ImageNormalization::of(samples, &mean, &deviation, Device::Cpu).unwrap();
            let levels = Tensor::from_slice(&[500.0_f32, 1000.0, 1300.0, 1150.0]);
            let pixels = levels.view([1, 1, 2, 2]).repeat([1, channels as i64, 1, 1]);
            let found = values.drawn(&pixels);
            assert_eq!((found.size()[1], found.kind()), (drawn, Kind::Uint8));
            let first = Vec::<u8>::try_from(found.get(0).get(0).flatten(0, -1)).unwrap();
            assert_eq!(first, [0, 128, 255, 191]);
            assert_eq!(values.to_pixels(&values.normalize(&pixels)).size()[1], drawn);
            let bytes = Tensor::full([1, channels as i64, 2, 2], 7, (Kind::Uint8, Device::Cpu));
            let half = vec![0.5; channels];
            let plain = ImageNormalization::new(&half, &half, Device::Cpu).unwrap();
            assert_eq!(plain.drawn(&bytes), bytes.narrow(1, 0, drawn));
        }
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
            let said = "as many standard deviations above 0";
            assert!(refused.to_string().contains(said), "{refused}");
        }
    }
}
