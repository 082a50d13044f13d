//! Sizes of a vision transformer, and the usual ones by name.

use bauta_masking::Grid;

use crate::{Activation, BlockConfig, EncoderShape, ModelError};

/// Sizes of a vision transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct VitConfig {
    /// Image height in pixels.
    pub image_height: usize,
    /// Image width in pixels.
    pub image_width: usize,
    /// Image channels, C.
    pub channels: usize,
    /// Side of a square patch in pixels, p.
    pub patch_size: usize,
    /// Width of a token, D.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Hidden width of the blocks' MLPs.
    pub mlp_dim: usize,
    /// Whether the projection to queries, keys and values has a bias.
    pub qkv_bias: bool,
    /// Added to the variance in layer norms; 1e-6 in the reference.
    pub layer_norm_eps: f64,
    /// Nonlinearity of the blocks' MLPs.
    pub activation: Activation,
}

impl VitConfig {
    /// A ViT of any width, depth and heads on square RGB images, MLP ratio 4.
    pub fn new(image: usize, patch: usize, dim: usize, depth: usize, heads: usize) -> Self {
        Self {
            image_height: image,
            image_width: image,
            channels: 3,
            patch_size: patch,
            dim,
            depth,
            heads,
            mlp_dim: 4 * dim,
            qkv_bias: true,
            layer_norm_eps: 1e-6,
            activation: Activation::Gelu,
        }
    }

    /// 128 wide, 4 blocks, 4 heads: trains on two CPU cores in minutes.
    pub fn nano(image: usize, patch: usize) -> Self {
        Self::new(image, patch, 128, 4, 4)
    }

    /// ViT-Ti: 192 wide, 12 blocks, 3 heads.
    pub fn tiny(image: usize, patch: usize) -> Self {
        Self::new(image, patch, 192, 12, 3)
    }

    /// ViT-S: 384 wide, 12 blocks, 6 heads.
    pub fn small(image: usize, patch: usize) -> Self {
        Self::new(image, patch, 384, 12, 6)
    }

    /// ViT-B: 768 wide, 12 blocks, 12 heads.
    pub fn base(image: usize, patch: usize) -> Self {
        Self::new(image, patch, 768, 12, 12)
    }

    /// ViT-L: 1024 wide, 24 blocks, 16 heads.
    pub fn large(image: usize, patch: usize) -> Self {
        Self::new(image, patch, 1024, 24, 16)
    }

    /// ViT-H: 1280 wide, 32 blocks, 16 heads.
    pub fn huge(image: usize, patch: usize) -> Self {
        Self::new(image, patch, 1280, 32, 16)
    }

    /// The sizes common to all image encoders.
    pub fn shape(&self) -> EncoderShape {
        let image = [self.image_height, self.image_width];
        EncoderShape { dim: self.dim, depth: self.depth, channels: self.channels, image }
    }

    /// The token grid of an image.
    ///
    /// # Errors
    /// [`ModelError::Geometry`] when the image is not a multiple of the patch.
    pub fn grid(&self) -> Result<Grid, ModelError> {
        Ok(Grid::of_image(self.image_height, self.image_width, self.patch_size)?)
    }

    /// Number of values in a patch, P = C · p².
    pub fn patch_values(&self) -> usize {
        self.channels * self.patch_size * self.patch_size
    }

    /// The blocks' sizes.
    pub(crate) fn block(&self) -> BlockConfig {
        BlockConfig {
            dim: self.dim,
            heads: self.heads,
            mlp_dim: self.mlp_dim,
            qkv_bias: self.qkv_bias,
            layer_norm_eps: self.layer_norm_eps,
            activation: self.activation,
        }
    }
}
