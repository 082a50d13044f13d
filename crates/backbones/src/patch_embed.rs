//! Patch embedding: a convolution whose kernel and stride are the patch.
//!
//! It is computed as one matrix product over patches cut from the image, so that masked patches can
//! be left out *before* the product.

use bauta_libtorch::linear;
use tch::Tensor;

use crate::{Init, ModelError, Scope, TokenIndices, VitConfig};

/// The images that patches are cut from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImageShape {
    /// Channels, C.
    pub(crate) channels: usize,
    /// Height in pixels.
    pub(crate) height: usize,
    /// Width in pixels.
    pub(crate) width: usize,
    /// Side of a square patch in pixels, p.
    pub(crate) patch: usize,
}

impl ImageShape {
    /// The images of a vision transformer.
    ///
    /// # Errors
    /// [`ModelError::Config`] when they have no channels.
    pub(crate) fn new(config: &VitConfig) -> Result<Self, ModelError> {
        let VitConfig {
            channels, image_height: height, image_width: width, patch_size: patch, ..
        } = *config;
        if channels == 0 {
            return Err(ModelError::Config("images need at least one channel".into()));
        }
        Ok(Self { channels, height, width, patch })
    }

    /// Bound of a convolution's default initialisation, uniform in ±1/√(C·p²).
    pub(crate) fn bound(self) -> f64 {
        1.0 / ((self.channels * self.patch * self.patch) as f64).sqrt()
    }
}

/// Embeds patches of an image as tokens.
#[derive(Debug)]
pub struct PatchEmbed {
    /// Convolution weight [D, C, p, p].
    weight: Tensor,
    /// Bias [D].
    bias: Option<Tensor>,
    channels: i64,
    height: i64,
    width: i64,
    patch: i64,
}

impl PatchEmbed {
    /// Adds `proj.weight` (Xavier uniform on the flattened matrix) and `proj.bias`.
    ///
    /// The bias keeps a convolution's default initialisation, uniform in ±1/√(C·p²), as in the
    /// reference.
    ///
    /// # Errors
    /// [`ModelError::Config`] when images have no channels.
    pub fn new(mut scope: Scope<'_>, config: &VitConfig) -> Result<Self, ModelError> {
        let images = ImageShape::new(config)?;
        let bias = Some(Init::Uniform(images.bound()));
        Ok(Self::starting(scope.sub("proj"), images, config.dim, Init::XavierUniform, bias))
    }

    /// Adds `weight` and, if it has an initialisation, `bias` to the convolution's own scope.
    pub(crate) fn starting(
        mut scope: Scope<'_>,
        images: ImageShape,
        dim: usize,
        weight: Init,
        bias: Option<Init>,
    ) -> Self {
        let ImageShape { channels, height, width, patch } = images;
        let [channels, height, width, patch] =
            [channels, height, width, patch].map(|side| side as i64);
        let dim = dim as i64;
        Self {
            weight: scope.add("weight", &[dim, channels, patch, patch], weight),
            bias: bias.map(|init| scope.add("bias", &[dim], init)),
            channels,
            height,
            width,
            patch,
        }
    }

    /// Embeds every patch: [B, C, H, W] to [B, L, D], row by row.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the images are of another size.
    pub fn forward_all(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        Ok(self.project(&self.patches(images)?))
    }

    /// Embeds only the visible patches: [B, C, H, W] to [B, V, D].
    ///
    /// # Errors
    /// [`ModelError::Shape`] when images or plan are of another size.
    pub fn forward_visible(
        &self,
        images: &Tensor,
        indices: &TokenIndices,
    ) -> Result<Tensor, ModelError> {
        let patches = self.patches(images)?;
        let (batch, tokens, _) = patches.size3().expect("patches are [B, L, P]");
        if (batch, tokens) != (indices.batch(), indices.tokens()) {
            return Err(ModelError::Shape {
                what: "the mask plan [B, L]",
                found: vec![indices.batch(), indices.tokens()],
                expected: format!("[{batch}, {tokens}]"),
            });
        }
        Ok(self.project(&indices.gather_visible(&patches)))
    }

    /// Cuts [B, C, H, W] into [B, L, C·p²], each patch in the weight's order
    /// (channel, row, column).
    fn patches(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        let size = images.size();
        let Self { channels, height, width, patch, .. } = *self;
        if size.len() != 4 || size[1..] != [channels, height, width] {
            return Err(ModelError::Shape {
                what: "the image batch",
                found: size,
                expected: format!("[B, {channels}, {height}, {width}]"),
            });
        }
        let (rows, columns) = (height / patch, width / patch);
        Ok(images
            .reshape([-1, channels, rows, patch, columns, patch])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape([-1, rows * columns, channels * patch * patch]))
    }

    fn project(&self, patches: &Tensor) -> Tensor {
        linear(patches, &self.weight.flatten(1, -1), self.bias.as_ref())
            .expect("patches were cut to the weight's size")
    }
}

#[cfg(test)]
mod tests {
    use bauta_masking::MaskPlan;
    use tch::{Device, Kind};

    use super::*;
    use crate::{Parameters, tests::normal};

    fn patch_embed() -> (PatchEmbed, VitConfig) {
        // Rectangular with four channels, so that no dimension can be mistaken for another.
        let config =
            VitConfig { image_height: 12, image_width: 20, channels: 4, ..VitConfig::nano(0, 4) };
        let mut parameters = Parameters::new(0, Device::Cpu);
        (PatchEmbed::new(parameters.root(), &config).unwrap(), config)
    }

    #[test]
    fn equals_a_convolution() {
        let (embed, _) = patch_embed();
        let images = normal("images", &[2, 4, 12, 20]);
        let found = embed.forward_all(&images).unwrap();
        let wanted = images
            .conv2d(&embed.weight, embed.bias.as_ref(), [4, 4], [0, 0], [1, 1], 1)
            .flatten(2, -1)
            .transpose(1, 2);
        assert_eq!(found.size(), [2, 15, 128]);
        assert!((found - wanted).abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn visible_patches_are_those_of_the_whole_image() {
        let (embed, config) = patch_embed();
        let images = normal("images", &[2, 4, 12, 20]);
        let noise: Vec<f32> = (0..30).map(|i| (i * 7 % 30) as f32).collect();
        let plan = MaskPlan::from_noise(&noise, 2, 0.6).unwrap();
        let indices = TokenIndices::new(&plan, Device::Cpu);
        let found = embed.forward_visible(&images, &indices).unwrap();
        let wanted = indices.gather_visible(&embed.forward_all(&images).unwrap());
        assert_eq!(found.size(), [2, 6, config.dim as i64]);
        assert!((found - wanted).abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn other_sizes_are_refused() {
        let (embed, _) = patch_embed();
        let images = Tensor::zeros([2, 4, 20, 12], (Kind::Float, Device::Cpu));
        let message = embed.forward_all(&images).unwrap_err().to_string();
        assert_eq!(message, "the image batch is [2, 4, 20, 12], the model expects [B, 4, 12, 20]");
    }
}
