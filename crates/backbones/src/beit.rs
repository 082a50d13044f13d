//! BEiT v2's vision transformer, MaskDistill's student (arXiv 2210.10615 §3).
//!
//! Unlike MAE's encoder, it processes every token in pre-training: masked patches are replaced by
//! one learned mask token. Positions enter as a learned bias on the attention scores by relative
//! position, one table for all blocks; tokens have no position embedding unless it is requested.

mod block;
mod config;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use bauta_masking::Grid;
use tch::Tensor;

use self::block::BeitBlock;
pub use self::config::BeitConfig;
use crate::{
    DropPath, Encode, EncoderShape, ImageEncoder, Init, LayerNorm, ModelError, Moments, PatchEmbed,
    RelativePositionBias, Scope, Seen, VitConfig,
    block::{no_attention, outputs_of_blocks},
    checkpointed::{checkpointed, is_checkpointed},
    encode::{needs_every_token, no_mask_token},
    patch_embed::ImageShape,
};

/// Standard deviation of new weights before truncation at one standard deviation; 0.0108 after.
const STD: f64 = 0.02;

/// The optional parts of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeitParts {
    /// A table of biases for each block, as in fine-tuning, instead of one for all.
    pub biases_of_blocks: bool,
    /// The token that stands for masked patches.
    pub mask_token: bool,
    /// The norm after the last block.
    pub norm: bool,
}

impl BeitParts {
    /// Parts of an encoder in pre-training: one table, mask token and norm.
    pub const PRE_TRAINING: Self = Self { biases_of_blocks: false, mask_token: true, norm: true };
}

/// The encoder: patch embedding, class and mask token, relative positions, blocks and usually a
/// final norm.
#[derive(Debug)]
pub struct BeitEncoder {
    config: BeitConfig,
    grid: Grid,
    cls_token: Tensor,
    mask_token: Option<Tensor>,
    /// [1, 1 + L, D].
    pos_embed: Option<Tensor>,
    patch_embed: PatchEmbed,
    rel_pos_bias: Biases,
    blocks: Vec<BeitBlock>,
    norm: Option<LayerNorm>,
}

/// The tables of relative position biases.
#[derive(Debug)]
enum Biases {
    /// One table for all blocks, as in pre-training.
    Shared(RelativePositionBias),
    /// One table for each block, as in fine-tuning.
    OfBlocks(Vec<RelativePositionBias>),
}

impl Biases {
    /// The biases of every block, [1, heads, 1 + L, 1 + L]; a shared table is evaluated once.
    fn forward(&self, depth: usize) -> Vec<Tensor> {
        match self {
            Self::Shared(table) => {
                let bias = table.forward();
                (0..depth).map(|_| bias.shallow_clone()).collect()
            }
            Self::OfBlocks(tables) => tables.iter().map(RelativePositionBias::forward).collect(),
        }
    }
}

impl BeitEncoder {
    /// Initialisation of the encoder's weights and of a head on it.
    pub const INIT: Init = Init::TruncatedNormal(STD);

    /// Adds the parameters of a pre-training encoder to `scope`, under BEiT v2's names.
    ///
    /// # Errors
    /// [`ModelError::Geometry`] and [`ModelError::Config`] for sizes that do not fit.
    pub fn new(scope: Scope<'_>, config: &BeitConfig) -> Result<Self, ModelError> {
        Self::with_parts(scope, config, BeitParts::PRE_TRAINING)
    }

    /// Adds the parameters of an encoder with the given parts. Tables of single blocks are named
    /// `blocks.i.attn.relative_position_bias_table`; [`Self::expand_shared_bias`] fills them.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_parts(
        mut scope: Scope<'_>,
        config: &BeitConfig,
        parts: BeitParts,
    ) -> Result<Self, ModelError> {
        let BeitConfig { vit, .. } = config;
        let grid = vit.grid()?;
        let images = ImageShape::new(vit)?;
        vit.block().validate_heads("encoder")?;
        if !vit.qkv_bias {
            return Err(ModelError::Config(
                "a BEiT's queries and values have a bias; qkv_bias must be true".into(),
            ));
        }
        let table = |scope: Scope<'_>| RelativePositionBias::new(scope, grid, vit.heads);
        let rel_pos_bias = if parts.biases_of_blocks {
            let tables =
                (0..vit.depth).map(|i| table(scope.sub(format_args!("blocks.{i}")).sub("attn")));
            Biases::OfBlocks(tables.collect())
        } else {
            Biases::Shared(table(scope.sub("rel_pos_bias")))
        };
        let token = [1, 1, vit.dim as i64];
        let positions = [1, 1 + grid.tokens() as i64, vit.dim as i64];
        let no_bias = Some(Init::Constant(0.0));
        let mut embed = scope.sub("patch_embed");
        let patch_embed =
            PatchEmbed::starting(embed.sub("proj"), images, vit.dim, Self::INIT, no_bias);
        Ok(Self {
            cls_token: scope.add("cls_token", &token, Self::INIT),
            mask_token: parts.mask_token.then(|| scope.add("mask_token", &token, Self::INIT)),
            pos_embed: config
                .absolute_positions
                .then(|| scope.add("pos_embed", &positions, Self::INIT)),
            patch_embed,
            rel_pos_bias,
            blocks: (0..vit.depth)
                .map(|i| BeitBlock::new(scope.sub(format_args!("blocks.{i}")), config, i))
                .collect(),
            norm: parts
                .norm
                .then(|| LayerNorm::new(scope.sub("norm"), vit.dim, vit.layer_norm_eps)),
            config: config.clone(),
            grid,
        })
    }

    /// Copies the shared table of pre-trained weights into each of `depth` blocks, so that they fit
    /// an encoder with [`BeitParts::biases_of_blocks`]; weights without a shared table are
    /// unchanged.
    pub fn expand_shared_bias(weights: &mut HashMap<String, Tensor>, depth: usize) {
        let Some(table) = weights.remove("rel_pos_bias.relative_position_bias_table") else {
            return;
        };
        weights.extend(
            (0..depth)
                .map(|i| (format!("blocks.{i}.attn.relative_position_bias_table"), table.copy())),
        );
    }

    /// The sizes.
    pub fn config(&self) -> &BeitConfig {
        &self.config
    }

    /// The token grid of an image.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// Encodes normalised images [B, C, H, W]: the class token, then all patches in image
    /// order, [B, 1 + L, D].
    ///
    /// # Errors
    /// [`ModelError::Shape`] when images or plan are of another size, [`ModelError::Config`] when
    /// mask tokens are requested of an encoder without one, or masked patches are to be left out.
    pub fn encode(&self, images: &Tensor, how: Encode<'_>) -> Result<Tensor, ModelError> {
        let tokens = match how.seen {
            Seen::Whole => self.patch_embed.forward_all(images)?,
            Seen::Visible(_) => return Err(needs_every_token("a BEiT")),
            Seen::MaskTokens(indices) => {
                let token = self.mask_token.as_ref().ok_or_else(|| no_mask_token("this BEiT"))?;
                let visible = self.patch_embed.forward_visible(images, indices)?;
                let shape = [indices.batch(), indices.masked_count(), -1];
                let masked = token.expand(shape, false);
                indices.restore_order(&Tensor::cat(&[visible, masked], 1))
            }
        };
        Ok(how.finish(self.through_blocks(&tokens, how.drop_path), self.norm.as_ref()))
    }

    /// Applies the final norm to the last block's tokens; without one they are unchanged.
    pub fn normalize(&self, x: &Tensor) -> Tensor {
        match &self.norm {
            Some(norm) => norm.forward(x),
            None => x.shallow_clone(),
        }
    }

    /// The last block's attention weights for whole normalised images [B, C, H, W]: [B, heads, 1 +
    /// L, 1 + L]; row i holds the weights of token i, the class token first.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the images are of another size.
    pub fn last_attention(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        let Some((last, before)) = self.blocks.split_last() else {
            return Err(no_attention());
        };
        let biases = self.rel_pos_bias.forward(self.blocks.len());
        let x = self.with_class_token(&self.patch_embed.forward_all(images)?);
        let x =
            before.iter().zip(&biases).fold(x, |x, (block, bias)| block.forward(&x, bias, None));
        Ok(last.attention_map(&x, &biases[before.len()]))
    }

    /// Prepends the class token to the patch tokens [B, L, D] and adds positions, if there are any,
    /// giving [B, 1 + L, D].
    fn with_class_token(&self, tokens: &Tensor) -> Tensor {
        let cls = self.cls_token.expand([tokens.size()[0], -1, -1], false);
        let x = Tensor::cat(&[&cls, tokens], 1);
        match &self.pos_embed {
            Some(positions) => x + positions,
            None => x,
        }
    }

    fn through_blocks(&self, tokens: &Tensor, drop: Option<&DropPath>) -> Tensor {
        let biases = self.rel_pos_bias.forward(self.blocks.len());
        let x = self.with_class_token(tokens);
        self.blocks.iter().enumerate().fold(x, |x, (place, block)| {
            let (bias, factors) = (&biases[place], drop.and_then(|drop| drop.of_block(place)));
            if is_checkpointed(place, self.blocks.len()) {
                let forward = move |block: &BeitBlock, inputs: &[Tensor]| {
                    block.forward(&inputs[0], &inputs[1], factors.as_ref())
                };
                checkpointed(block, &[&x, bias], forward)
            } else {
                block.forward(&x, bias, factors.as_ref())
            }
        })
    }
}

impl ImageEncoder for BeitEncoder {
    fn grid(&self) -> Grid {
        self.grid()
    }

    fn shape(&self) -> EncoderShape {
        self.config.vit.shape()
    }

    fn transformer(&self) -> Option<&VitConfig> {
        Some(&self.config.vit)
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
        let biases = self.rel_pos_bias.forward(self.blocks.len());
        let x = self.with_class_token(&self.patch_embed.forward_all(images)?);
        outputs_of_blocks(x, self.blocks.len(), blocks, |place, x| {
            self.blocks[place].forward(x, &biases[place], None)
        })
    }

    fn last_attention(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        self.last_attention(images)
    }
}
