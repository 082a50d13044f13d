//! What every encoder of whole images can do, whichever network it is.

use std::fmt::Debug;

use bauta_masking::Grid;
use tch::Tensor;

use crate::{
    BeitEncoder, ClipFeatures, ClipVisual, DropPath, ModelError, VisionTransformer, VitConfig,
};

/// A network that turns whole images into tokens: any model folder's encoder.
pub trait ImageEncoder: Debug + Send {
    /// The token grid of an image.
    fn grid(&self) -> Grid;

    /// What every vision transformer has.
    fn sizes(&self) -> &VitConfig;

    /// Width of a token, D.
    fn dim(&self) -> usize {
        self.sizes().dim
    }

    /// Number of blocks.
    fn depth(&self) -> usize {
        self.sizes().depth
    }

    /// Image channels, C.
    fn channels(&self) -> usize {
        self.sizes().channels
    }

    /// Height and width of the images in pixels.
    fn image_size(&self) -> [usize; 2] {
        [self.sizes().image_height, self.sizes().image_width]
    }

    /// Encodes normalised images [B, C, H, W]: [B, 1 + L, D], the class token first, after
    /// the final norm where there is one.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the images are of another size.
    fn tokens(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        self.tokens_dropping(images, None)
    }

    /// The same in training, with samples that skip branches of blocks.
    ///
    /// # Errors
    /// As [`Self::tokens`].
    fn tokens_dropping(
        &self,
        images: &Tensor,
        drop: Option<&DropPath>,
    ) -> Result<Tensor, ModelError>;

    /// The same tokens as the last block puts them out, before the final norm.
    ///
    /// # Errors
    /// As [`Self::tokens`].
    fn raw_tokens(&self, images: &Tensor) -> Result<Tensor, ModelError>;

    /// What chosen blocks put out, before the final norm: [B, 1 + L, D] for each of `blocks`,
    /// which are counted from 0 and ascend.
    ///
    /// # Errors
    /// As [`Self::tokens`], and [`ModelError::Config`] when `blocks` do not ascend or name
    /// one that is not there.
    fn tokens_of_blocks(
        &self,
        images: &Tensor,
        blocks: &[usize],
    ) -> Result<Vec<Tensor>, ModelError>;

    /// Where the last block looks: [B, heads, 1 + L, 1 + L], row i the attention of token i.
    ///
    /// # Errors
    /// As [`Self::tokens`], and [`ModelError::Config`] when there is no block.
    fn last_attention(&self, images: &Tensor) -> Result<Tensor, ModelError>;
}

/// The trait of an encoder that has methods of a [`VisionTransformer`]'s names; given are
/// where its sizes stand and its methods for `tokens_dropping` and `raw_tokens`.
macro_rules! image_encoder {
    ($encoder:ty, config$(.$vit:ident)?, $tokens:expr, $raw:expr) => {
        impl ImageEncoder for $encoder {
            fn grid(&self) -> Grid {
                self.grid()
            }

            fn sizes(&self) -> &VitConfig {
                &self.config()$(.$vit)?
            }

            fn tokens_dropping(
                &self,
                images: &Tensor,
                drop: Option<&DropPath>,
            ) -> Result<Tensor, ModelError> {
                $tokens(self, images, drop)
            }

            fn raw_tokens(&self, images: &Tensor) -> Result<Tensor, ModelError> {
                $raw(self, images)
            }

            fn tokens_of_blocks(
                &self,
                images: &Tensor,
                blocks: &[usize],
            ) -> Result<Vec<Tensor>, ModelError> {
                self.forward_blocks(images, blocks)
            }

            fn last_attention(&self, images: &Tensor) -> Result<Tensor, ModelError> {
                self.last_attention(images)
            }
        }
    };
}

image_encoder!(
    VisionTransformer,
    config,
    VisionTransformer::forward_dropping,
    VisionTransformer::forward_raw
);
image_encoder!(BeitEncoder, config.vit, BeitEncoder::forward_dropping, BeitEncoder::forward_raw);
image_encoder!(
    ClipVisual,
    config.vit,
    |clip: &Self, images, drop| clip.forward_dropping(images, ClipFeatures::Normalized, drop),
    |clip: &Self, images| clip.forward(images, ClipFeatures::Residual)
);
