//! The vision transformer (Dosovitskiy et al.), as used for MAE's encoder.
//!
//! In pre-training it sees only the visible tokens: no mask token enters it (MAE §3, "MAE
//! encoder"). For evaluation it sees the whole image, in image order, without any shuffling.

mod config;

use bauta_masking::Grid;
use tch::Tensor;

pub use self::config::VitConfig;
use crate::{
    Block, Encode, EncoderShape, ImageEncoder, Init, LayerNorm, ModelError, Moments, PatchEmbed,
    Scope, Seen,
    block::{last_attention, outputs_of_blocks},
    checkpointed::through_blocks,
    encode::no_mask_token,
    positions::sin_cos_2d,
};

/// The encoder: patch embedding, class token, positions, blocks, and usually a final norm.
#[derive(Debug)]
pub struct VisionTransformer {
    config: VitConfig,
    grid: Grid,
    cls_token: Tensor,
    pos_embed: Tensor,
    patch_embed: PatchEmbed,
    blocks: Vec<Block>,
    norm: Option<LayerNorm>,
}

impl VisionTransformer {
    /// Adds the encoder's parameters, under timm's names, to `scope`.
    ///
    /// # Errors
    /// [`ModelError::Geometry`] and [`ModelError::Config`] for sizes that do not fit.
    pub fn new(mut scope: Scope<'_>, config: &VitConfig) -> Result<Self, ModelError> {
        let mut encoder = Self::without_norm(scope.again(), config)?;
        encoder.norm = Some(LayerNorm::new(scope.sub("norm"), config.dim, config.layer_norm_eps));
        Ok(encoder)
    }

    /// The same without the final norm; its outputs are those of the last block.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn without_norm(mut scope: Scope<'_>, config: &VitConfig) -> Result<Self, ModelError> {
        let grid = config.grid()?;
        let block = config.block();
        block.validate("encoder")?;
        let dim = config.dim as i64;
        let table = sin_cos_2d(grid, config.dim);
        let rows = 1 + grid.tokens() as i64;
        Ok(Self {
            cls_token: scope.add("cls_token", &[1, 1, dim], Init::Normal(0.02)),
            pos_embed: scope.add_frozen("pos_embed", &[1, rows, dim], Init::Values(table)),
            patch_embed: PatchEmbed::new(scope.sub("patch_embed"), config)?,
            blocks: (0..config.depth)
                .map(|i| Block::new(scope.sub(format_args!("blocks.{i}")), &block))
                .collect(),
            norm: None,
            config: config.clone(),
            grid,
        })
    }

    /// The sizes.
    pub fn config(&self) -> &VitConfig {
        &self.config
    }

    /// The token grid of an image.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// Encodes normalised images [B, C, H, W]: the class token, then all patches in image
    /// order, [B, 1 + L, D], or the visible ones in plan order, [B, 1 + V, D].
    ///
    /// # Errors
    /// [`ModelError::Shape`] when images or plan are of another size, [`ModelError::Config`] when
    /// mask tokens are requested, since it has none.
    pub fn encode(&self, images: &Tensor, how: Encode<'_>) -> Result<Tensor, ModelError> {
        let patches = match how.seen {
            Seen::Whole => self.embed(images)?,
            Seen::Visible(indices) => {
                let patches = self.patch_embed.forward_visible(images, indices)?;
                patches + rows_of(&self.patch_positions(), indices.visible())
            }
            Seen::MaskTokens(_) => return Err(no_mask_token("a vision transformer")),
        };
        let x = through_blocks(&self.blocks, self.with_class_token(&patches), how.drop_path);
        Ok(how.finish(x, self.norm.as_ref()))
    }

    /// The last block's attention weights for whole normalised images [B, C, H, W]: [B, heads, 1 +
    /// L, 1 + L]; row i holds the weights of token i, the class token first.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the images are of another size,
    /// [`ModelError::Config`] when there is no block.
    pub fn last_attention(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        last_attention(&self.blocks, self.with_class_token(&self.embed(images)?))
    }

    /// Embeds every patch and adds its position: [B, C, H, W] to [B, L, D].
    fn embed(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        Ok(self.patch_embed.forward_all(images)? + self.patch_positions())
    }

    /// Positions of the patches, [L, D].
    fn patch_positions(&self) -> Tensor {
        self.pos_embed.get(0).narrow(0, 1, self.grid.tokens() as i64)
    }

    /// Prepends the class token to tokens [B, N, D], giving [B, 1 + N, D].
    fn with_class_token(&self, tokens: &Tensor) -> Tensor {
        let cls = &self.cls_token + self.pos_embed.narrow(1, 0, 1);
        let cls = cls.expand([tokens.size()[0], -1, -1], false);
        Tensor::cat(&[&cls, tokens], 1)
    }
}

impl ImageEncoder for VisionTransformer {
    fn grid(&self) -> Grid {
        self.grid()
    }

    fn shape(&self) -> EncoderShape {
        self.config().shape()
    }

    fn transformer(&self) -> Option<&VitConfig> {
        Some(self.config())
    }

    fn encode(&self, images: &Tensor, how: Encode<'_>) -> Result<Tensor, ModelError> {
        self.encode(images, how)
    }

    fn tokens_of_blocks(
        &self,
        images: &Tensor,
        blocks: &[usize],
        _: Moments,
    ) -> Result<Vec<Tensor>, ModelError> {
        let x = self.with_class_token(&self.embed(images)?);
        outputs_of_blocks(x, self.blocks.len(), blocks, |place, x| self.blocks[place].forward(x))
    }

    fn last_attention(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        self.last_attention(images)
    }
}

/// Gathers rows of a table [L, D] by indices [B, N], giving [B, N, D].
pub(crate) fn rows_of(table: &Tensor, indices: &Tensor) -> Tensor {
    let (batch, count) = indices.size2().expect("indices are [B, N]");
    table.index_select(0, &indices.flatten(0, -1)).view([batch, count, -1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MaeDecoder, MaeDecoderConfig, Parameters, tests::normal};

    /// Parameters of encoder and decoder, and number of tensors.
    fn count(config: &VitConfig) -> (usize, usize, usize) {
        let mut parameters = Parameters::sketch();
        let encoder = VisionTransformer::new(parameters.root(), config).unwrap();
        let of_encoder = parameters.count();
        let decoder = MaeDecoderConfig::new(config.dim, 512, 8, 16, config.patch_values());
        MaeDecoder::new(parameters.root(), &decoder, encoder.grid()).unwrap();
        (of_encoder, parameters.count() - of_encoder, parameters.iter().len())
    }

    #[test]
    fn sizes_are_those_of_the_reference() {
        assert_eq!(count(&VitConfig::base(224, 16)), (85_798_656, 26_109_184, 254));
        assert_eq!(count(&VitConfig::large(224, 16)), (303_301_632, 26_240_256, 398));
        assert_eq!(count(&VitConfig::huge(224, 14)), (630_764_800, 26_309_708, 494));
    }

    #[test]
    fn names_are_those_of_timm() {
        let mut parameters = Parameters::sketch();
        VisionTransformer::new(parameters.root(), &VitConfig::base(224, 16)).unwrap();
        let shape = |name: &str| parameters.get(name).unwrap().tensor.size();
        assert_eq!(parameters.iter().len(), 150);
        assert_eq!(shape("cls_token"), [1, 1, 768]);
        assert_eq!(shape("pos_embed"), [1, 197, 768]);
        assert_eq!(shape("patch_embed.proj.weight"), [768, 3, 16, 16]);
        assert_eq!(shape("blocks.11.attn.qkv.weight"), [2304, 768]);
        assert_eq!(shape("blocks.0.attn.proj.bias"), [768]);
        assert_eq!(shape("blocks.0.mlp.fc1.weight"), [3072, 768]);
        assert_eq!(shape("norm.bias"), [768]);
        let frozen: Vec<&str> =
            parameters.iter().filter(|p| !p.trainable).map(|p| p.name.as_str()).collect();
        assert_eq!(frozen, ["pos_embed"]);
    }

    #[test]
    fn tokens_of_blocks_are_those_on_the_way_to_the_end() {
        let mut parameters = Parameters::new(0, tch::Device::Cpu);
        let config = VitConfig { depth: 3, ..VitConfig::nano(8, 4) };
        let encoder = VisionTransformer::new(parameters.root(), &config).unwrap();
        let images = normal("images", &[2, 3, 8, 8]);
        let found = encoder.tokens_of_blocks(&images, &[0, 2], Moments::Running).unwrap();
        assert_eq!((found.len(), found[0].size()), (2, vec![2, 5, 128]));
        assert_eq!(
            encoder.norm.as_ref().unwrap().forward(&found[1]),
            encoder.encode(&images, Encode::whole()).unwrap()
        );
        let on = encoder.blocks[2].forward(&encoder.blocks[1].forward(&found[0]));
        assert_eq!(on, found[1]);
        for blocks in [&[3][..], &[1, 0], &[1, 1]] {
            let refused = encoder
                .tokens_of_blocks(&images, blocks, Moments::Running)
                .unwrap_err()
                .to_string();
            assert!(refused.contains("must ascend and lie in 0..3"), "{refused}");
        }
    }

    #[test]
    fn impossible_sizes_are_refused_with_their_values() {
        let refuse = |config: VitConfig| {
            let mut parameters = Parameters::sketch();
            VisionTransformer::new(parameters.root(), &config).unwrap_err().to_string()
        };
        let nano = VitConfig::nano(32, 4);
        assert!(refuse(VitConfig { patch_size: 5, ..nano.clone() }).contains("patch size 5"));
        let message = refuse(VitConfig { heads: 3, ..nano.clone() });
        assert_eq!(message, "the encoder's number of heads 3 does not divide its width (dim) 128");
        assert!(refuse(VitConfig { dim: 30, heads: 2, ..nano }).contains("multiple of 4"));
    }
}
