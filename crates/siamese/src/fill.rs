//! Fills on the device, and the images they mix.

use bauta_masking::Fill;
use tch::{Device, Tensor};

/// A [`Fill`] as tensors.
#[derive(Debug)]
pub struct FillTensors {
    /// Masked pixels, bool [1, 1, H, W].
    pub masked: Tensor,
    /// The partner of each image, i64 `[B]`.
    pub partners: Tensor,
    /// Which mixed image each image fills, i64 `[B]`.
    pub partner_of: Tensor,
    /// λ, the fraction of an image that is its own.
    pub own: f64,
}

impl FillTensors {
    /// Copies a fill to a device.
    pub fn new(fill: &Fill, device: Device) -> Self {
        let [height, width] = fill.image();
        let masked = Tensor::from_slice(fill.pixels()).view([1, 1, height as i64, width as i64]);
        let indices = |indices: &[i64]| Tensor::from_slice(indices).to_device(device);
        Self {
            masked: masked.to_device(device),
            partners: indices(fill.partners()),
            partner_of: indices(fill.partner_of()),
            own: fill.own(),
        }
    }

    /// Replaces the masked pixels of images [B, C, H, W] with their partners'.
    pub fn mix(&self, images: &Tensor) -> Tensor {
        self.fill(images, &self.partner(images))
    }

    /// The partner of each image [B, C, H, W].
    pub fn partner(&self, images: &Tensor) -> Tensor {
        images.index_select(0, &self.partners)
    }

    /// Replaces the masked pixels of images [B, C, H, W] with those of `others` [B, C, H, W], such
    /// as noise.
    pub fn fill(&self, images: &Tensor, others: &Tensor) -> Tensor {
        others.where_self(&self.masked, images)
    }

    /// Sets the masked pixels of images [B, C, H, W] to `value`; 0 is the mean of normalised
    /// images.
    pub fn erase(&self, images: &Tensor, value: f64) -> Tensor {
        images.masked_fill(&self.masked, value)
    }
}
