//! The encoder of clips (MAE-ST §3): spacetime patches, positions, and the blocks of a ViT.

use bauta_masking::Grid;
use tch::Tensor;

use super::patch_embed::SpacetimePatchEmbed;
use super::positions::Positions;
use super::{VideoConfig, VideoPositions};
use crate::block::qkv_apart;
use crate::checkpointed::through_blocks;
use crate::encode::no_mask_token;
use crate::vit::rows_of;
use crate::{Block, DropPath, Encode, Init, LayerNorm, ModelError, Scope, Seen};

/// A vision transformer of clips.
#[derive(Debug)]
pub struct VideoTransformer {
    config: VideoConfig,
    grid: Grid,
    cls_token: Option<Tensor>,
    positions: Positions,
    patch_embed: SpacetimePatchEmbed,
    blocks: Vec<Block>,
    norm: Option<LayerNorm>,
}

impl VideoTransformer {
    /// Adds the encoder's parameters, under the names of MAE-ST's files, to `scope`; queries, keys
    /// and values are one matrix, initialised as three separate ones.
    ///
    /// # Errors
    /// [`ModelError::Geometry`] and [`ModelError::Config`] for sizes that do not fit.
    pub fn new(mut scope: Scope<'_>, config: &VideoConfig) -> Result<Self, ModelError> {
        let grid = config.grid()?;
        let block = config.vit.block();
        block.validate_heads("encoder")?;
        let dim = config.vit.dim;
        if config.positions == VideoPositions::SineCosine && !dim.is_multiple_of(2) {
            return Err(ModelError::Config(format!(
                "the encoder's width (dim) {dim} is odd; sine-cosine positions need an even one"
            )));
        }
        let class = config.class_token;
        let cls_token =
            class.then(|| scope.add("cls_token", &[1, 1, dim as i64], Init::Normal(0.02)));
        let positions = Positions::new(&mut scope, "", config.positions, grid, dim, class);
        Ok(Self {
            cls_token,
            positions,
            patch_embed: SpacetimePatchEmbed::new(scope.sub("patch_embed"), config)?,
            blocks: (0..config.vit.depth)
                .map(|i| {
                    let scope = scope.sub(format_args!("blocks.{i}"));
                    Block::starting(scope, &block, qkv_apart(dim))
                })
                .collect(),
            norm: config
                .final_norm
                .then(|| LayerNorm::new(scope.sub("norm"), dim, config.vit.layer_norm_eps)),
            config: config.clone(),
            grid,
        })
    }

    /// The sizes.
    pub fn config(&self) -> &VideoConfig {
        &self.config
    }

    /// The token grid of a clip.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// Encodes normalised clips [B, C, T, H, W]: all patches in the grid's order, or the visible
    /// ones in plan order, [B, N, D]; if the encoder has a class token, it comes first, [B, 1 + N,
    /// D].
    ///
    /// # Errors
    /// [`ModelError::Shape`] when clips or plan are of another size, [`ModelError::Config`] when
    /// mask tokens are requested, since it has none.
    pub fn encode(&self, clips: &Tensor, how: Encode<'_>) -> Result<Tensor, ModelError> {
        let positions = self.positions.patches();
        // Positions are added after masking, gathered for the visible tokens.
        let patches = match how.seen {
            Seen::Whole => self.patch_embed.forward_all(clips)? + positions,
            Seen::Visible(indices) => {
                let patches = self.patch_embed.forward_visible(clips, indices)?;
                patches + rows_of(&positions, indices.visible())
            }
            Seen::MaskTokens(_) => return Err(no_mask_token("a video transformer")),
        };
        let tokens = match (&self.cls_token, self.positions.class()) {
            (Some(cls), Some(position)) => {
                let cls = (cls + position).expand([patches.size()[0], -1, -1], false);
                Tensor::cat(&[&cls, &patches], 1)
            }
            _ => patches,
        };
        let x = through_blocks(&self.blocks, tokens, how.drop_path);
        Ok(how.finish(x, self.norm.as_ref()))
    }

    /// The feature vector of a whole clip: the mean of the last block's patch tokens, followed by
    /// the final norm, if there is one, as in the reference's fine-tuning: [B, C, T, H, W] to [B,
    /// D].
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the clips are of another size.
    pub fn features(
        &self,
        clips: &Tensor,
        drop_path: Option<&DropPath>,
    ) -> Result<Tensor, ModelError> {
        let tokens = self.encode(clips, Encode::whole().without_norm().dropping(drop_path))?;
        let mean = self.patches_of(&tokens).mean_dim([1_i64].as_slice(), false, None);
        Ok(match &self.norm {
            Some(norm) => norm.forward(&mean),
            None => mean,
        })
    }

    /// The positions added to the tokens of a whole clip: [1, N, D], or [1, 1 + N, D] with a class
    /// token.
    pub(crate) fn positions(&self) -> Tensor {
        let patches = self.positions.patches().unsqueeze(0);
        match self.positions.class() {
            Some(class) => Tensor::cat(&[class, patches], 1),
            None => patches,
        }
    }

    /// The patch tokens in the output of [`Self::encode`]: [B, N, D], without a copy.
    pub fn patches_of(&self, tokens: &Tensor) -> Tensor {
        let leading = self.config.leading() as i64;
        tokens.narrow(1, leading, tokens.size()[1] - leading)
    }
}
