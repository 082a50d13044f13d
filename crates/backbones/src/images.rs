//! From host bytes to a model's input, and back to pictures.

use tch::{Device, Kind, Tensor};

use crate::ModelError;

/// Per-channel standardisation of images, done on the device.
#[derive(Debug)]
pub struct ImageNormalization {
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
    /// [`ModelError::Config`] unless there is one positive deviation per mean.
    pub fn new(mean: &[f32], deviation: &[f32], device: Device) -> Result<Self, ModelError> {
        if mean.len() != deviation.len() || deviation.iter().any(|&d| d <= 0.0) {
            return Err(ModelError::Config(format!(
                "{} channel means need as many deviations above 0; the means are {mean:?}, the \
                 deviations {deviation:?}",
                mean.len()
            )));
        }
        let channels =
            |values: Vec<f32>| Tensor::from_slice(&values).view([1, -1, 1, 1]).to_device(device);
        Ok(Self {
            scale: channels(deviation.iter().map(|d| 1.0 / (255.0 * d)).collect()),
            shift: channels(mean.iter().zip(deviation).map(|(m, d)| -m / d).collect()),
            device,
        })
    }

    /// Number of channels, C.
    pub fn channels(&self) -> usize {
        self.scale.numel()
    }

    /// Turns u8 pixels [B, C, H, W] of any device into normalised f32 on this one.
    pub fn normalize(&self, pixels: &Tensor) -> Tensor {
        let pixels = pixels.to_device(self.device).to_kind(Kind::Float);
        pixels * &self.scale + &self.shift
    }

    /// Turns normalised images back into pixels in [0, 1] (values outside are clamped).
    pub fn to_pixels(&self, images: &Tensor) -> Tensor {
        ((images - &self.shift) / (&self.scale * 255.0)).clamp(0.0, 1.0)
    }
}
