//! The interface of all image encoders.

use std::fmt::Debug;

use bauta_masking::Grid;
use tch::Tensor;

use crate::{Encode, ModelError, Moments, VitConfig};

/// Sizes that every image encoder has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderShape {
    /// Width of a token, D.
    pub dim: usize,
    /// Number of blocks; of a residual network, its stages.
    pub depth: usize,
    /// Image channels, C.
    pub channels: usize,
    /// Height and width of the images in pixels.
    pub image: [usize; 2],
}

/// A network that turns whole images into tokens: any model folder's encoder.
pub trait ImageEncoder: Debug + Send {
    /// The token grid of an image.
    fn grid(&self) -> Grid;

    /// Its sizes.
    fn shape(&self) -> EncoderShape;

    /// All sizes of a vision transformer; `None` for another network.
    fn transformer(&self) -> Option<&VitConfig>;

    /// Width of a token, D.
    fn dim(&self) -> usize {
        self.shape().dim
    }

    /// Number of blocks; of a residual network, its stages.
    fn depth(&self) -> usize {
        self.shape().depth
    }

    /// Image channels, C.
    fn channels(&self) -> usize {
        self.shape().channels
    }

    /// Height and width of the images in pixels.
    fn image_size(&self) -> [usize; 2] {
        self.shape().image
    }

    /// Encodes normalised images [B, C, H, W] to tokens [B, 1 + N, D], the class token first; N is
    /// V if only the visible patches are encoded, else L.
    ///
    /// A residual network's class token is the mean of the others, which are the positions of its
    /// last feature map.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when images or plan are of another size, [`ModelError::Config`] when
    /// this network does not support `how`.
    fn encode(&self, images: &Tensor, how: Encode<'_>) -> Result<Tensor, ModelError>;

    /// Width D and token grid of a block's output: the encoder's own in a transformer. The blocks
    /// of a residual network are its stages, each with another width and grid.
    fn block_shape(&self, _block: usize) -> (usize, Grid) {
        (self.dim(), self.grid())
    }

    /// Outputs of the chosen blocks before the final norm: [B, 1 + L, D] for each of `blocks`,
    /// which are counted from 0 and in ascending order; L and D are given by [`Self::block_shape`].
    ///
    /// `moments` selects the moments of batch norms, if there are any.
    ///
    /// # Errors
    /// As [`Self::encode`], and [`ModelError::Config`] when `blocks` are not in ascending order or
    /// name one that does not exist.
    fn tokens_of_blocks(
        &self,
        images: &Tensor,
        blocks: &[usize],
        moments: Moments,
    ) -> Result<Vec<Tensor>, ModelError>;

    /// Attention weights of the last block: [B, heads, 1 + L, 1 + L]; row i holds the weights of
    /// token i.
    ///
    /// # Errors
    /// As [`Self::encode`], and [`ModelError::Config`] when there is no block.
    fn last_attention(&self, images: &Tensor) -> Result<Tensor, ModelError>;
}

#[cfg(test)]
mod tests {
    use bauta_masking::MaskPlan;
    use tch::Device;

    use super::*;
    use crate::{
        BeitConfig, BeitEncoder, ClipVisionConfig, ClipVisual, Parameters, TokenIndices,
        VisionTransformer, tests::normal,
    };

    #[test]
    fn each_encoder_sees_what_it_can_and_refuses_the_rest_in_words() {
        let config = VitConfig { image_width: 12, ..VitConfig::new(8, 4, 16, 2, 2) };
        let plan = MaskPlan::from_noise(&[0.1, 0.5, 0.3, 0.9, 0.2, 0.7], 1, 0.5).unwrap();
        let indices = TokenIndices::new(&plan, Device::Cpu);
        let images = normal("images", &[1, 3, 8, 12]);
        let mut parameters = [(); 3].map(|()| Parameters::new(0, Device::Cpu));
        let [vit, beit, clip] = &mut parameters;
        let beit_config = BeitConfig::new(config.clone());
        let clip_config = ClipVisionConfig::new(config.clone());
        let encoders: [Box<dyn ImageEncoder>; 3] = [
            Box::new(VisionTransformer::new(vit.root(), &config).unwrap()),
            Box::new(BeitEncoder::new(beit.root(), &beit_config).unwrap()),
            Box::new(ClipVisual::new(clip.root(), &clip_config).unwrap()),
        ];
        // Number of tokens with only visible patches and with mask tokens, or the reason of the
        // error.
        let answers = [
            [Ok(1 + 3), Err("no mask token")],
            [Err("cannot be left out"), Ok(1 + 6)],
            [Err("cannot be left out"), Err("no mask token")],
        ];
        for (encoder, wanted) in encoders.into_iter().zip(answers) {
            let whole = encoder.encode(&images, Encode::whole()).unwrap();
            assert_eq!(whole.size(), [1, 1 + 6, 16]);
            let raw = encoder.encode(&images, Encode::whole().without_norm()).unwrap();
            assert_eq!(
                encoder.tokens_of_blocks(&images, &[1], Moments::Running).unwrap(),
                [raw.shallow_clone()]
            );
            assert_ne!(raw, whole);
            let asked = [Encode::visible(&indices), Encode::mask_tokens(&indices)];
            for (how, wanted) in asked.into_iter().zip(wanted) {
                match (encoder.encode(&images, how), wanted) {
                    (Ok(tokens), Ok(rows)) => assert_eq!(tokens.size(), [1, rows, 16]),
                    (Err(refused), Err(words)) => {
                        assert!(refused.to_string().contains(words), "{refused}");
                    }
                    (found, wanted) => panic!("{how:?}: {found:?} instead of {wanted:?}"),
                }
            }
        }
    }
}
