//! Sizes of the autoencoder, and their checks.

use bauta_backbones::{Activation, BlockConfig, ModelError, StepCost};
use bauta_masking::Grid;
use serde::{Deserialize, Serialize};

/// Sizes of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextSizes {
    /// Number of word pieces in the vocabulary.
    pub vocabulary: usize,
    /// Positions of a text, T.
    pub tokens: usize,
}

/// Sizes of encoder, decoder and inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairConfig {
    /// Patches of an image.
    pub grid: Grid,
    /// Values per patch: its side squared times the channels.
    pub patch_values: usize,
    /// The texts; `None` in an image-only model.
    pub text: Option<TextSizes>,
    /// Width of an encoder's token, D.
    pub dim: usize,
    /// Blocks of the encoder.
    pub depth: usize,
    /// Attention heads of the encoder.
    pub heads: usize,
    /// Width of a decoder's token, d.
    pub decoder_dim: usize,
    /// Blocks of the decoder.
    pub decoder_depth: usize,
    /// Attention heads of the decoder.
    pub decoder_heads: usize,
    /// Hidden width of the MLPs as a multiple of their width.
    pub mlp_ratio: usize,
    /// Whether tokens have type vectors for their modality.
    pub type_vectors: bool,
}

impl PairConfig {
    /// An image-only model of base depth: twelve blocks of `dim` / 64 heads, each 64 wide, and a
    /// decoder of eight blocks of width 512.
    pub fn new(grid: Grid, patch_values: usize, dim: usize) -> Self {
        Self {
            grid,
            patch_values,
            text: None,
            dim,
            depth: 12,
            heads: (dim / 64).max(1),
            decoder_dim: 512,
            decoder_depth: 8,
            decoder_heads: 16,
            mlp_ratio: 4,
            type_vectors: true,
        }
    }

    /// The same with texts of `tokens` positions and a vocabulary of this size.
    #[must_use]
    pub fn with_text(self, vocabulary: usize, tokens: usize) -> Self {
        Self { text: Some(TextSizes { vocabulary, tokens }), ..self }
    }

    /// The same with a decoder of these sizes.
    #[must_use]
    pub fn with_decoder(self, dim: usize, depth: usize, heads: usize) -> Self {
        Self { decoder_dim: dim, decoder_depth: depth, decoder_heads: heads, ..self }
    }

    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let refuse = |message: String| Err(ModelError::Config(message));
        for (name, dim, heads) in
            [("dim", self.dim, self.heads), ("decoder_dim", self.decoder_dim, self.decoder_heads)]
        {
            if dim == 0 || !dim.is_multiple_of(4) {
                return refuse(format!(
                    "{name} {dim} is not a positive multiple of 4, which sine-cosine positions need"
                ));
            }
            if heads == 0 || !dim.is_multiple_of(heads) {
                return refuse(format!("the number of heads {heads} does not divide {name} {dim}"));
            }
        }
        if self.mlp_ratio == 0 || self.patch_values == 0 {
            return refuse("mlp_ratio and patch_values must be at least 1".to_owned());
        }
        if let Some(TextSizes { vocabulary, tokens }) = self.text
            && (vocabulary == 0 || tokens == 0)
        {
            return refuse(format!(
                "texts have {tokens} positions, the vocabulary {vocabulary} words; both must be at \
                 least 1"
            ));
        }
        Ok(())
    }

    /// Sizes of the encoder's blocks: tanh GELU and eps 1e-6, as in the reference.
    pub fn encoder_block(&self) -> BlockConfig {
        self.block(self.dim, self.heads)
    }

    /// Sizes of the decoder's blocks.
    pub fn decoder_block(&self) -> BlockConfig {
        self.block(self.decoder_dim, self.decoder_heads)
    }

    fn block(&self, dim: usize, heads: usize) -> BlockConfig {
        BlockConfig {
            dim,
            heads,
            mlp_dim: self.mlp_ratio * dim,
            qkv_bias: true,
            layer_norm_eps: 1e-6,
            activation: Activation::GeluTanh,
        }
    }

    /// Cost of one pair's step that encodes `patches` patches and `words` words, and predicts the
    /// rest of the patches and `predicted` words.
    pub fn step_cost(&self, patches: usize, words: usize, predicted: usize) -> StepCost {
        let places = self.text.map_or(0, |text| text.tokens);
        let vocabulary = self.text.map_or(0, |text| text.vocabulary);
        let (seen, all) = (1 + patches + words, 1 + self.grid.tokens() + places);
        StepCost::linear(patches, self.patch_values, self.dim)
            + self.encoder_block().step_cost(self.depth, seen)
            + StepCost::linear(seen, self.dim, self.decoder_dim)
            + self.decoder_block().step_cost(self.decoder_depth, all)
            + StepCost::linear(self.grid.tokens() - patches, self.decoder_dim, self.patch_values)
            + StepCost::linear(predicted, self.decoder_dim, vocabulary)
    }
}
