//! The vision transformer (Dosovitskiy et al.), as MAE's encoder uses it.
//!
//! In pre-training it sees the visible tokens and nothing else: no mask token
//! enters it (MAE §3, "MAE encoder"). For evaluation it sees the whole image,
//! in image order; nothing is ever shuffled there.

use bauta_masking::Grid;
use tch::Tensor;

use crate::{
    Activation, Block, BlockConfig, DropPath, Init, LayerNorm, ModelError, PatchEmbed, Scope,
    TokenIndices,
    block::{last_attention, outputs_of_blocks},
    positions::sin_cos_2d,
};

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
    /// Whether the qkv product has a bias.
    pub qkv_bias: bool,
    /// Added to the variance in layer norms; 1e-6 in the reference.
    pub layer_norm_eps: f64,
    /// Nonlinearity of the blocks' MLPs.
    pub activation: Activation,
}

impl VitConfig {
    /// ViT of any width, depth and heads on square RGB images, MLP ratio 4.
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

/// The encoder: patch embedding, class token, positions, blocks, and mostly a final norm.
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

    /// The same without the final norm: its outputs are those of the last block.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn without_norm(mut scope: Scope<'_>, config: &VitConfig) -> Result<Self, ModelError> {
        let grid = config.grid()?;
        let block = config.block();
        block.validate("model")?;
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

    /// Encodes the visible tokens of normalised images [B, C, H, W].
    ///
    /// Gives [B, 1 + V, D] after the final norm: the class token, then the
    /// visible tokens in plan order.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when images or plan are of another size.
    pub fn forward_visible(
        &self,
        images: &Tensor,
        indices: &TokenIndices,
    ) -> Result<Tensor, ModelError> {
        self.forward_visible_dropping(images, indices, None)
    }

    /// The same, with samples that skip branches of blocks.
    ///
    /// # Errors
    /// As [`Self::forward_visible`].
    pub fn forward_visible_dropping(
        &self,
        images: &Tensor,
        indices: &TokenIndices,
        drop: Option<&DropPath>,
    ) -> Result<Tensor, ModelError> {
        let patches = self.patch_embed.forward_visible(images, indices)?;
        let positions = rows_of(&self.patch_positions(), indices.visible());
        Ok(self.encode(&(patches + positions), drop))
    }

    /// Encodes all tokens of normalised images [B, C, H, W], in image order.
    ///
    /// Gives [B, 1 + L, D] after the final norm: the class token, then the patches.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the images are of another size.
    pub fn forward_all(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        self.forward_dropping(images, None)
    }

    /// The same, with samples that skip branches of blocks.
    ///
    /// # Errors
    /// As [`Self::forward_all`].
    pub fn forward_dropping(
        &self,
        images: &Tensor,
        drop: Option<&DropPath>,
    ) -> Result<Tensor, ModelError> {
        Ok(self.encode(&self.embed(images)?, drop))
    }

    /// All tokens as the last block puts them out, before the final norm: [B, 1 + L, D].
    ///
    /// # Errors
    /// As [`Self::forward_all`].
    pub fn forward_raw(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        Ok(self.through_blocks(&self.embed(images)?, None))
    }

    /// Where the last block looks on whole normalised images [B, C, H, W]:
    /// [B, heads, 1 + L, 1 + L], row i the attention of token i, the class token first.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the images are of another size,
    /// [`ModelError::Config`] when there is no block.
    pub fn last_attention(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        last_attention(&self.blocks, self.with_class_token(&self.embed(images)?))
    }

    /// Encodes all tokens and gives those that chosen blocks put out, before the final
    /// norm: [B, 1 + L, D] for each of `blocks`, which are counted from 0 and ascend.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the images are of another size,
    /// [`ModelError::Config`] when `blocks` do not ascend or name one that is not there.
    pub fn forward_blocks(
        &self,
        images: &Tensor,
        blocks: &[usize],
    ) -> Result<Vec<Tensor>, ModelError> {
        let x = self.with_class_token(&self.embed(images)?);
        outputs_of_blocks(x, self.blocks.len(), blocks, |place, x| self.blocks[place].forward(x))
    }

    /// Embeds every patch and adds its position: [B, C, H, W] to [B, L, D].
    fn embed(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        Ok(self.patch_embed.forward_all(images)? + self.patch_positions())
    }

    /// Positions of the patches, [L, D].
    fn patch_positions(&self) -> Tensor {
        self.pos_embed.get(0).narrow(0, 1, self.grid.tokens() as i64)
    }

    /// Puts the class token before tokens [B, N, D], giving [B, 1 + N, D].
    fn with_class_token(&self, tokens: &Tensor) -> Tensor {
        let cls = &self.cls_token + self.pos_embed.narrow(1, 0, 1);
        let cls = cls.expand([tokens.size()[0], -1, -1], false);
        Tensor::cat(&[&cls, tokens], 1)
    }

    fn encode(&self, tokens: &Tensor, drop: Option<&DropPath>) -> Tensor {
        let x = self.through_blocks(tokens, drop);
        match &self.norm {
            Some(norm) => norm.forward(&x),
            None => x,
        }
    }

    fn through_blocks(&self, tokens: &Tensor, drop: Option<&DropPath>) -> Tensor {
        let x = self.with_class_token(tokens);
        self.blocks.iter().enumerate().fold(x, |x, (place, block)| {
            let factors = drop.and_then(|drop| drop.of_block(place));
            block.forward_dropping(&x, factors.as_ref())
        })
    }
}

/// The class token of an encoder's output: [B, 1 + L, D] to [B, D].
pub fn class_token(tokens: &Tensor) -> Tensor {
    tokens.select(1, 0)
}

/// The mean of the patch tokens of an encoder's output: [B, 1 + L, D] to [B, D].
pub fn mean_of_patches(tokens: &Tensor) -> Tensor {
    let patches = tokens.size()[1] - 1;
    tokens.narrow(1, 1, patches).mean_dim([1_i64].as_slice(), false, None)
}

/// Gathers rows of a table [L, D] by indices [B, N], giving [B, N, D].
pub(crate) fn rows_of(table: &Tensor, indices: &Tensor) -> Tensor {
    let (batch, count) = indices.size2().expect("indices are [B, N]");
    table.index_select(0, &indices.flatten(0, -1)).view([batch, count, -1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MaeDecoder, MaeDecoderConfig, Parameters};

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
        let images = Tensor::randn([2, 3, 8, 8], (tch::Kind::Float, tch::Device::Cpu));
        let found = encoder.forward_blocks(&images, &[0, 2]).unwrap();
        assert_eq!((found.len(), found[0].size()), (2, vec![2, 5, 128]));
        assert_eq!(
            encoder.norm.as_ref().unwrap().forward(&found[1]),
            encoder.forward_all(&images).unwrap()
        );
        let on = encoder.blocks[2].forward(&encoder.blocks[1].forward(&found[0]));
        assert_eq!(on, found[1]);
        for blocks in [&[3][..], &[1, 0], &[1, 1]] {
            let refused = encoder.forward_blocks(&images, blocks).unwrap_err().to_string();
            assert!(refused.contains("no ascending choice of 3"), "{refused}");
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
        assert_eq!(message, "model.heads 3 does not divide model.dim 128");
        assert!(refuse(VitConfig { dim: 30, heads: 2, ..nano }).contains("multiple of 4"));
    }
}
