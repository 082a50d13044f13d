//! A residual network as an image encoder: the positions of its last feature map are tokens.

use bauta_masking::Grid;
use tch::Tensor;

use crate::encode::{needs_every_token, no_mask_token};
use crate::{
    Encode, EncoderShape, ImageEncoder, ModelError, Moments, ResNet, ResNetConfig, Scope, Seen,
    VitConfig,
};

/// Its name in error messages.
const NAME: &str = "a residual network";

/// A residual network on images of one size.
///
/// Its tokens are the positions of the last feature map, row by row, preceded by their mean, which
/// represents the whole image: the input of `fc` in torchvision's network.
#[derive(Debug)]
pub struct ResNetEncoder {
    network: ResNet,
    image: [usize; 2],
    grid: Grid,
}

impl ResNetEncoder {
    /// Adds the network's parameters, for images of [height, width].
    ///
    /// # Errors
    /// As [`ResNet::new`], and [`ModelError::Geometry`] for images without pixels.
    pub fn new(
        scope: Scope<'_>,
        config: ResNetConfig,
        image: [usize; 2],
    ) -> Result<Self, ModelError> {
        let [height, width] = image.map(|side| side.div_ceil(config.stride()));
        let grid = Grid::image(height, width)?;
        Ok(Self { network: ResNet::new(scope, config)?, image, grid })
    }
}

impl ImageEncoder for ResNetEncoder {
    fn grid(&self) -> Grid {
        self.grid
    }

    fn shape(&self) -> EncoderShape {
        let config = self.network.config();
        EncoderShape {
            dim: config.features(),
            depth: ResNetConfig::STAGES,
            channels: config.channels,
            image: self.image,
        }
    }

    fn transformer(&self) -> Option<&VitConfig> {
        None
    }

    fn block_shape(&self, block: usize) -> (usize, Grid) {
        let [width, stride] = self.network.config().stages()[block];
        let [height, across] = self.image.map(|side| side.div_ceil(stride));
        (width, Grid::image(height, across).expect("images have pixels"))
    }

    fn encode(&self, images: &Tensor, how: Encode<'_>) -> Result<Tensor, ModelError> {
        match how.seen {
            Seen::Whole => {}
            Seen::Visible(_) => return Err(needs_every_token(NAME)),
            Seen::MaskTokens(_) => return Err(no_mask_token(NAME)),
        }
        if how.drop_path.is_some() {
            let reason = "a residual network does not support drop_path";
            return Err(ModelError::Config(reason.to_owned()));
        }
        self.check(images)?;
        Ok(behind_their_mean(&self.network.feature_map(images, how.moments)?))
    }

    fn tokens_of_blocks(
        &self,
        images: &Tensor,
        blocks: &[usize],
        moments: Moments,
    ) -> Result<Vec<Tensor>, ModelError> {
        let stages = ResNetConfig::STAGES;
        if !blocks.is_sorted_by(|a, b| a < b) || blocks.last().is_some_and(|&last| last >= stages) {
            let reason = format!("the stages {blocks:?} must ascend and be below {stages}");
            return Err(ModelError::Config(reason));
        }
        self.check(images)?;
        let maps = self.network.stage_maps(images, moments)?;
        Ok(blocks.iter().map(|&block| behind_their_mean(&maps[block])).collect())
    }

    fn last_attention(&self, _: &Tensor) -> Result<Tensor, ModelError> {
        Err(ModelError::Config("a residual network has no attention".to_owned()))
    }
}

impl ResNetEncoder {
    /// Refuses images of another size.
    fn check(&self, images: &Tensor) -> Result<(), ModelError> {
        let (size, shape) = (images.size(), self.shape());
        let [height, width] = shape.image.map(|side| side as i64);
        if size.len() != 4 || size[2..] != [height, width] {
            let expected = format!("[B, {}, {height}, {width}]", shape.channels);
            return Err(ModelError::Shape { what: "the input", found: size, expected });
        }
        Ok(())
    }
}

/// The positions of a map [B, D, H, W] as tokens [B, 1 + HW, D], preceded by their mean.
fn behind_their_mean(map: &Tensor) -> Tensor {
    let mean = map.mean_dim(&[2_i64, 3][..], false, None).unsqueeze(1);
    Tensor::cat(&[mean, map.flatten(2, 3).transpose(1, 2)], 1)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::{
        Moments, Parameters, Pooling, ResNetDepth, Stem, class_token, patch_tokens, tests::normal,
    };

    fn built(stem: Stem, image: [usize; 2]) -> (Parameters, ResNetEncoder) {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let config = ResNetConfig { depth: ResNetDepth::Eighteen, stem, width: 2, channels: 3 };
        let encoder = ResNetEncoder::new(parameters.root(), config, image).unwrap();
        (parameters, encoder)
    }

    #[test]
    fn tokens_are_places_behind_their_mean() {
        for (stem, image, grid) in
            [(Stem::Small, [16, 20], [2, 3]), (Stem::Large, [64, 33], [2, 2])]
        {
            let (parameters, encoder) = built(stem, image);
            let images = normal("images", &[2, 3, image[0] as i64, image[1] as i64]);
            let tokens = encoder.encode(&images, Encode::whole()).unwrap();
            assert_eq!([encoder.grid().height(), encoder.grid().width()], grid);
            assert_eq!(tokens.size(), [2, 1 + encoder.grid().tokens() as i64, 16]);
            let features = encoder.network.forward(&images, Moments::Running).unwrap();
            assert_eq!(class_token(&tokens), features);
            let off = (Pooling::Mean.pool(&tokens) - &features).abs().max().double_value(&[]);
            assert!(off < 1e-6, "{off}");
            let map = encoder.network.feature_map(&images, Moments::Running).unwrap();
            assert_eq!(patch_tokens(&tokens).select(1, 1), map.select(2, 0).select(2, 1));

            let moments = || parameters.get("bn1.running_mean").unwrap().tensor.copy();
            let before = moments();
            let batch = Encode::whole().with_moments(Moments::Batch { splits: 1 });
            assert_ne!(encoder.encode(&images, batch).unwrap(), tokens);
            assert_ne!(moments(), before);
        }
    }

    #[test]
    fn tokens_of_stages_are_those_on_the_way_to_the_end() {
        for (stem, image, strides) in
            [(Stem::Small, [16, 20], [1, 2, 4, 8]), (Stem::Large, [64, 33], [4, 8, 16, 32])]
        {
            let (_parameters, encoder) = built(stem, image);
            let images = normal("images", &[2, 3, image[0] as i64, image[1] as i64]);
            let stages =
                encoder.tokens_of_blocks(&images, &[0, 1, 2, 3], Moments::Running).unwrap();
            for (stage, (tokens, stride)) in stages.iter().zip(strides).enumerate() {
                let (width, grid) = encoder.block_shape(stage);
                assert_eq!(width, 2 << stage);
                let sides = image.map(|side: usize| side.div_ceil(stride));
                assert_eq!([grid.height(), grid.width()], sides);
                assert_eq!(tokens.size(), [2, 1 + grid.tokens() as i64, width as i64]);
            }
            assert_eq!(stages[3], encoder.encode(&images, Encode::whole()).unwrap());
        }
    }

    #[test]
    fn what_it_cannot_do_is_refused_in_words() {
        let (_parameters, encoder) = built(Stem::Small, [8, 8]);
        let images = normal("images", &[1, 3, 8, 8]);
        let other = normal("images", &[1, 3, 8, 16]);
        let refused = encoder.encode(&other, Encode::whole()).unwrap_err().to_string();
        assert_eq!(refused, "the input is [1, 3, 8, 16], the model expects [B, 3, 8, 8]");
        let moments = Moments::Running;
        for blocks in [&[1_usize, 0][..], &[0, 4]] {
            let refused = encoder.tokens_of_blocks(&images, blocks, moments).unwrap_err();
            assert!(refused.to_string().contains("must ascend and be below 4"), "{refused}");
        }
        assert!(encoder.last_attention(&images).is_err());
        // The last feature map of an image of 8 pixels has one position.
        let batch = Encode::whole().with_moments(Moments::Batch { splits: 1 });
        let refused = encoder.encode(&images, batch).unwrap_err().to_string();
        assert!(refused.contains("has no variance"), "{refused}");
    }
}
