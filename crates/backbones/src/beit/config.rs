//! Sizes of a BEiT v2-style encoder (MaskDistill §3).

use bauta_masking::Grid;

use crate::{Activation, BlockConfig, ModelError};

/// Sizes of an encoder with mask tokens and relative positions.
#[derive(Clone, Debug, PartialEq)]
pub struct BeitConfig {
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
    /// What the factors on a block's two branches start at; without, there are none.
    pub layer_scale: Option<f64>,
    /// Added to the variance in layer norms; 1e-6 in the reference.
    pub layer_norm_eps: f64,
    /// Nonlinearity of the blocks' MLPs.
    pub activation: Activation,
}

impl BeitConfig {
    /// An encoder of any width, depth and heads on square RGB images, MLP ratio 4,
    /// branches scaled by 0.1 at first.
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
            layer_scale: Some(0.1),
            layer_norm_eps: 1e-6,
            activation: Activation::Gelu,
        }
    }

    /// 128 wide, 4 blocks, 4 heads: trains on two CPU cores in minutes.
    pub fn nano(image: usize, patch: usize) -> Self {
        Self::new(image, patch, 128, 4, 4)
    }

    /// 192 wide, 12 blocks, 3 heads.
    pub fn tiny(image: usize, patch: usize) -> Self {
        Self::new(image, patch, 192, 12, 3)
    }

    /// 384 wide, 12 blocks, 6 heads.
    pub fn small(image: usize, patch: usize) -> Self {
        Self::new(image, patch, 384, 12, 6)
    }

    /// B: 768 wide, 12 blocks, 12 heads.
    pub fn base(image: usize, patch: usize) -> Self {
        Self::new(image, patch, 768, 12, 12)
    }

    /// L: 1024 wide, 24 blocks, 16 heads, branches scaled by 1e-5 at first.
    pub fn large(image: usize, patch: usize) -> Self {
        Self { layer_scale: Some(1e-5), ..Self::new(image, patch, 1024, 24, 16) }
    }

    /// H: 1280 wide, 32 blocks, 16 heads, branches scaled by 1e-5 at first.
    pub fn huge(image: usize, patch: usize) -> Self {
        Self { layer_scale: Some(1e-5), ..Self::new(image, patch, 1280, 32, 16) }
    }

    /// The token grid of an image.
    ///
    /// # Errors
    /// [`ModelError::Geometry`] when the image is no multiple of the patch.
    pub fn grid(&self) -> Result<Grid, ModelError> {
        Ok(Grid::of_image(self.image_height, self.image_width, self.patch_size)?)
    }

    /// Number of values in a patch, P = C · p².
    pub fn patch_values(&self) -> usize {
        self.channels * self.patch_size * self.patch_size
    }

    /// The blocks' sizes; of the qkv product's bias, keys have none.
    pub(crate) fn block(&self) -> BlockConfig {
        BlockConfig {
            dim: self.dim,
            heads: self.heads,
            mlp_dim: self.mlp_dim,
            qkv_bias: true,
            layer_norm_eps: self.layer_norm_eps,
            activation: self.activation,
        }
    }
}
