//! CLIP's visual tower (Radford et al., arXiv 2103.00020), MaskDistill's main teacher.
//!
//! A vision transformer with learned positions, a norm before the blocks, no bias in the patch
//! embedding, and a linear layer into the embedding space of images and texts. Its parameters have
//! timm's names.

use bauta_masking::Grid;
use tch::Tensor;

use crate::{
    Activation, Block, Encode, EncoderShape, ImageEncoder, Init, LayerNorm, Linear, ModelError,
    Moments, PatchEmbed, Scope, Seen, VitConfig,
    block::{last_attention, outputs_of_blocks},
    checkpointed::through_blocks,
    encode::{needs_every_token, no_mask_token},
    patch_embed::ImageShape,
};

/// Sizes of a visual tower.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipVisionConfig {
    /// Sizes common to all vision transformers. OpenAI's weights need [`Activation::QuickGelu`] and
    /// an epsilon of 1e-5 in layer norms; `qkv_bias` is required.
    pub vit: VitConfig,
    /// Width of the embedding space of images and texts; none leaves the projection out.
    pub projection: Option<usize>,
}

impl ClipVisionConfig {
    /// A tower of these sizes with OpenAI's activation and norms, without a projection.
    pub fn new(vit: VitConfig) -> Self {
        let (activation, layer_norm_eps) = (Activation::QuickGelu, 1e-5);
        Self { vit: VitConfig { activation, layer_norm_eps, ..vit }, projection: None }
    }

    /// B: 768 wide, 12 blocks, 12 heads, projected to 512.
    pub fn base(image: usize, patch: usize) -> Self {
        Self { projection: Some(512), ..Self::new(VitConfig::base(image, patch)) }
    }

    /// L: 1024 wide, 24 blocks, 16 heads, projected to 768.
    pub fn large(image: usize, patch: usize) -> Self {
        Self { projection: Some(768), ..Self::new(VitConfig::large(image, patch)) }
    }
}

/// The tower: patch embedding, class token, positions, norm, blocks, norm, projection.
#[derive(Debug)]
pub struct ClipVisual {
    config: ClipVisionConfig,
    grid: Grid,
    cls_token: Tensor,
    pos_embed: Tensor,
    patch_embed: PatchEmbed,
    norm_pre: LayerNorm,
    blocks: Vec<Block>,
    norm: LayerNorm,
    projection: Option<Linear>,
}

impl ClipVisual {
    /// Adds the tower's parameters, under timm's names, to `scope`; the projection is
    /// `head.weight` [projection, D].
    ///
    /// Class token, positions and projection are initialised from a normal distribution with
    /// standard deviation 1/√D, and the patch embedding like a convolution, as in the reference;
    /// the blocks are initialised as in MAE.
    ///
    /// # Errors
    /// [`ModelError::Geometry`] and [`ModelError::Config`] for sizes that do not fit.
    pub fn new(mut scope: Scope<'_>, config: &ClipVisionConfig) -> Result<Self, ModelError> {
        let ClipVisionConfig { vit, projection } = config;
        let grid = vit.grid()?;
        let images = ImageShape::new(vit)?;
        let block = vit.block();
        block.validate_heads("encoder")?;
        if !vit.qkv_bias {
            return Err(ModelError::Config(
                "a CLIP tower's qkv products have a bias; qkv_bias must be true".into(),
            ));
        }
        let (dim, rows) = (vit.dim as i64, 1 + grid.tokens() as i64);
        let start = || Init::Normal((vit.dim as f64).powf(-0.5));
        let mut embed = scope.sub("patch_embed");
        let weight = Init::Uniform(images.bound());
        let patch_embed = PatchEmbed::starting(embed.sub("proj"), images, vit.dim, weight, None);
        let norm = |scope: Scope<'_>| LayerNorm::new(scope, vit.dim, vit.layer_norm_eps);
        Ok(Self {
            cls_token: scope.add("cls_token", &[1, 1, dim], start()),
            pos_embed: scope.add("pos_embed", &[1, rows, dim], start()),
            patch_embed,
            norm_pre: norm(scope.sub("norm_pre")),
            blocks: (0..vit.depth)
                .map(|i| Block::new(scope.sub(format_args!("blocks.{i}")), &block))
                .collect(),
            norm: norm(scope.sub("norm")),
            projection: projection
                .map(|width| Linear::starting(scope.sub("head"), vit.dim, width, start(), false)),
            config: config.clone(),
            grid,
        })
    }

    /// The sizes.
    pub fn config(&self) -> &ClipVisionConfig {
        &self.config
    }

    /// The token grid of an image.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// Encodes whole normalised images [B, C, H, W]: the class token, then the patches in
    /// image order, [B, 1 + L, D].
    ///
    /// These tokens before the final norm are Hugging Face's `last_hidden_state`; CLIP itself
    /// applies that norm to the class token alone.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the images are of another size, [`ModelError::Config`] when only
    /// visible patches or mask tokens are requested.
    pub fn encode(&self, images: &Tensor, how: Encode<'_>) -> Result<Tensor, ModelError> {
        match how.seen {
            Seen::Whole => {
                let x = through_blocks(&self.blocks, self.embed(images)?, how.drop_path);
                Ok(how.finish(x, Some(&self.norm)))
            }
            Seen::Visible(_) => Err(needs_every_token("a CLIP tower")),
            Seen::MaskTokens(_) => Err(no_mask_token("a CLIP tower")),
        }
    }

    /// Projects tokens after the final norm, [..., D], into the embedding space of images and
    /// texts: [..., projection].
    ///
    /// # Errors
    /// [`ModelError::Config`] when the tower has no projection.
    pub fn project(&self, tokens: &Tensor) -> Result<Tensor, ModelError> {
        let projection = self.projection.as_ref().ok_or_else(|| {
            ModelError::Config("this CLIP tower has no projection; use its tokens instead".into())
        })?;
        Ok(projection.forward(tokens))
    }

    /// The last block's attention weights for whole normalised images [B, C, H, W]: [B, heads, 1 +
    /// L, 1 + L]; row i holds the weights of token i, the class token first.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the images are of another size,
    /// [`ModelError::Config`] when there is no block.
    pub fn last_attention(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        last_attention(&self.blocks, self.embed(images)?)
    }

    /// The input of the first block, [B, 1 + L, D].
    fn embed(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        let patches = self.patch_embed.forward_all(images)?;
        let cls = self.cls_token.expand([patches.size()[0], -1, -1], false);
        Ok(self.norm_pre.forward(&(Tensor::cat(&[cls, patches], 1) + &self.pos_embed)))
    }
}

impl ImageEncoder for ClipVisual {
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
        let x = self.embed(images)?;
        outputs_of_blocks(x, self.blocks.len(), blocks, |place, x| self.blocks[place].forward(x))
    }

    fn last_attention(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        self.last_attention(images)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::{Parameters, tests::normal};

    fn sketch(config: &ClipVisionConfig) -> usize {
        let mut parameters = Parameters::sketch();
        ClipVisual::new(parameters.root(), config).unwrap();
        parameters.count()
    }

    #[test]
    fn sizes_are_those_of_the_published_towers() {
        assert_eq!(sketch(&ClipVisionConfig::base(224, 16)), 86_192_640);
        assert_eq!(sketch(&ClipVisionConfig::large(224, 14)), 303_966_208);
    }

    #[test]
    fn a_tower_without_bias_is_refused() {
        let vit = VitConfig { qkv_bias: false, ..VitConfig::nano(32, 4) };
        let config = ClipVisionConfig::new(vit);
        let refused = ClipVisual::new(Parameters::sketch().root(), &config).unwrap_err();
        assert!(refused.to_string().contains("have a bias"), "{refused}");
    }

    #[test]
    fn features_build_on_each_other() {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let vit = VitConfig { image_width: 12, ..VitConfig::new(8, 4, 16, 2, 2) };
        let config = ClipVisionConfig { projection: Some(6), ..ClipVisionConfig::new(vit) };
        let clip = ClipVisual::new(parameters.root(), &config).unwrap();
        let images = normal("images", &[2, 3, 8, 12]);
        let residual = clip.encode(&images, Encode::whole().without_norm()).unwrap();
        assert_eq!(residual.size(), [2, 7, 16]);
        assert_eq!(clip.tokens_of_blocks(&images, &[1], Moments::Running).unwrap()[0], residual);
        let normed = clip.encode(&images, Encode::whole()).unwrap();
        let plain = residual.layer_norm([16], None::<Tensor>, None::<Tensor>, 1e-5, false);
        assert!((&normed - plain).abs().max().double_value(&[]) < 1e-5);
        let projected = clip.project(&normed).unwrap();
        assert_eq!(projected.size(), [2, 7, 6]);
        let weight = &parameters.get("head.weight").unwrap().tensor;
        let wanted = normed.matmul(&weight.transpose(0, 1));
        assert!((projected - wanted).abs().max().double_value(&[]) < 1e-5);
        let rows =
            clip.last_attention(&images).unwrap().sum_dim_intlist([-1].as_slice(), false, None);
        assert!((rows - 1.0).abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn a_tower_without_projection_says_so() {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let config = ClipVisionConfig::new(VitConfig::new(8, 4, 16, 1, 2));
        let clip = ClipVisual::new(parameters.root(), &config).unwrap();
        let tokens = Tensor::zeros([1, 5, 16], (Kind::Float, Device::Cpu));
        let refused = clip.project(&tokens).unwrap_err().to_string();
        assert!(refused.contains("no projection"), "{refused}");
    }
}
