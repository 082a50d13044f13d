//! Heads that predict a class for every pixel from the tokens of an encoder.
//!
//! [`SegmentationHead::Linear`] maps each token to class scores and enlarges them to
//! pixels: a probe of the spatial information in frozen features.
//! [`SegmentationHead::UperNet`] builds a feature pyramid of four depths first (Xiao et
//! al. 2018): the stages of a residual network, or blocks of a plain ViT, resized to four
//! scales as in BEiT's and MAE's ADE20K experiments.
//!
//! Deviations from the published head: group norm instead of batch norm, which works
//! with small batches and keeps no statistics; no auxiliary head.

use bauta_backbones::{Encode, ImageEncoder, Linear, ModelError, Scope, patch_tokens};
use bauta_masking::Grid;
use tch::{Kind, Reduction, Tensor};

use super::convolution::{ConvNorm, Convolution, Enlarging, bilinear};

/// The kind of head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentationKind {
    /// One linear layer on the final tokens.
    Linear,
    /// A small UPerNet.
    UperNet {
        /// Channels of the pyramid, a multiple of 8.
        width: usize,
    },
}

/// A head from tokens to scores of classes for every pixel.
#[derive(Debug)]
pub enum SegmentationHead {
    /// One linear layer.
    Linear(Linear),
    /// A feature pyramid.
    UperNet(Box<UperNet>),
}

impl SegmentationHead {
    /// Adds the head's parameters for `encoder`'s tokens and `classes` classes.
    ///
    /// # Errors
    /// [`ModelError::Config`] for a width that is not a multiple of 8, or a pyramid on
    /// fewer than four blocks.
    pub fn new(
        mut scope: Scope<'_>,
        encoder: &dyn ImageEncoder,
        kind: SegmentationKind,
        classes: usize,
    ) -> Result<Self, ModelError> {
        let dim = encoder.dim();
        Ok(match kind {
            SegmentationKind::Linear => {
                Self::Linear(Linear::new(scope.sub("classifier"), dim, classes, true))
            }
            SegmentationKind::UperNet { width } => {
                Self::UperNet(Box::new(UperNet::new(scope, encoder, width, classes)?))
            }
        })
    }

    /// The tokens that the head reads, of normalised images [B, C, H, W] encoded as `how` says.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the images are of another size.
    pub fn tokens(
        &self,
        encoder: &dyn ImageEncoder,
        images: &Tensor,
        how: Encode<'_>,
    ) -> Result<Vec<Tensor>, ModelError> {
        match self {
            Self::Linear(_) => Ok(vec![encoder.encode(images, how)?]),
            Self::UperNet(_) => {
                encoder.tokens_of_blocks(images, &quarters(encoder.depth()), how.moments)
            }
        }
    }

    /// Scores of the classes for every pixel, [B, K, H, W], from the tokens of [`Self::tokens`].
    pub fn forward(&self, encoder: &dyn ImageEncoder, tokens: &[Tensor]) -> Tensor {
        let size = encoder.image_size().map(|side| side as i64);
        let scores = match self {
            Self::Linear(classifier) => {
                on_grid(&classifier.forward(&patch_tokens(&tokens[0])), sides_of(encoder.grid()))
            }
            Self::UperNet(head) => {
                let places = quarters(encoder.depth());
                let maps = tokens.iter().zip(places).map(|(tokens, place)| {
                    on_grid(&patch_tokens(tokens), sides_of(encoder.block_shape(place).1))
                });
                head.forward(&maps.collect::<Vec<_>>())
            }
        };
        bilinear(&scores, size)
    }
}

/// The mean cross-entropy of scores [B, K, H, W] over the pixels whose label [B, H, W]
/// (i64) is not `ignored`; 0 if all are ignored.
pub fn segmentation_loss(scores: &Tensor, labels: &Tensor, ignored: i64) -> Tensor {
    let none = None::<&Tensor>;
    let sum = scores.cross_entropy_loss(labels, none, Reduction::Sum, ignored, 0.0);
    let pixels = labels.not_equal(ignored).sum(Kind::Float).clamp_min(1.0);
    sum / pixels
}

/// Tokens [B, L, D] of an image's patches as a map [B, D, rows, columns].
pub(crate) fn on_grid(patches: &Tensor, [rows, columns]: [i64; 2]) -> Tensor {
    let (batch, _, width) = patches.size3().expect("tokens are [B, L, D]");
    patches.transpose(1, 2).reshape([batch, width, rows, columns])
}

/// Rows and columns.
fn sides_of(grid: Grid) -> [i64; 2] {
    [grid.height() as i64, grid.width() as i64]
}

/// The last blocks of the four quarters of a network.
fn quarters(depth: usize) -> [usize; 4] {
    [1, 2, 3, 4].map(|quarter| (quarter * depth).div_ceil(4) - 1)
}

/// Sides of the pyramid pooling module's grids.
const POOLED: [i64; 4] = [1, 2, 3, 6];

/// A feature pyramid with pyramid pooling on its coarsest level.
#[derive(Debug)]
pub struct UperNet {
    /// Resizes the depths of a transformer to four scales; `None` for the stages of a residual
    /// network, which have four scales.
    rescale: Option<Rescale>,
    laterals: Vec<ConvNorm>,
    pooled: Vec<ConvNorm>,
    bottleneck: ConvNorm,
    smooth: Vec<ConvNorm>,
    fuse: ConvNorm,
    classifier: Convolution,
}

/// Resizes maps from the tokens' resolution to four times, two times and half of it.
#[derive(Debug)]
struct Rescale {
    finest: [Enlarging; 2],
    finer: Enlarging,
}

impl Rescale {
    fn new(mut scope: Scope<'_>, dim: usize) -> Self {
        Self {
            finest: [0, 1].map(|i| Enlarging::new(scope.sub(format_args!("fpn1.{i}")), dim)),
            finer: Enlarging::new(scope.sub("fpn2"), dim),
        }
    }

    fn forward(&self, [first, second, third, fourth]: [&Tensor; 4]) -> [Tensor; 4] {
        // A grid of one row or column cannot be halved.
        let half = sides(fourth).map(|side| (side / 2).max(1));
        [
            self.finest[1].forward(&self.finest[0].forward(first).gelu("none")),
            self.finer.forward(second),
            third.shallow_clone(),
            fourth.adaptive_avg_pool2d(half),
        ]
    }
}

impl UperNet {
    fn new(
        mut scope: Scope<'_>,
        encoder: &dyn ImageEncoder,
        width: usize,
        classes: usize,
    ) -> Result<Self, ModelError> {
        let depth = encoder.depth();
        if width == 0 || !width.is_multiple_of(8) {
            let message = format!("a pyramid has width {width}; it must be a multiple of 8");
            return Err(ModelError::Config(message));
        }
        if depth < 4 {
            let message = format!("UPerNet needs at least 4 blocks; the model has {depth}");
            return Err(ModelError::Config(message));
        }
        let mut conv =
            |name: &str, inputs, kernel| ConvNorm::new(scope.sub(name), inputs, width, kernel);
        let dims = quarters(depth).map(|place| encoder.block_shape(place).0);
        let dim = dims[3];
        let laterals = (0..3).map(|i| conv(&format!("lateral_convs.{i}"), dims[i], 1)).collect();
        let pooled = (0..POOLED.len()).map(|i| conv(&format!("psp_modules.{i}"), dim, 1)).collect();
        let bottleneck = conv("bottleneck", dim + POOLED.len() * width, 3);
        let smooth = (0..3).map(|i| conv(&format!("fpn_convs.{i}"), width, 3)).collect();
        let fuse = conv("fpn_bottleneck", 4 * width, 3);
        let rescale = encoder.transformer().map(|_| Rescale::new(scope.again(), dim));
        Ok(Self {
            rescale,
            laterals,
            pooled,
            bottleneck,
            smooth,
            fuse,
            classifier: Convolution::new(scope.sub("classifier"), width, classes, 1, true),
        })
    }

    /// Converts maps [B, D, h, w] of four depths to scores [B, K, H, W] on the finest scale.
    fn forward(&self, maps: &[Tensor]) -> Tensor {
        let maps: [&Tensor; 4] = std::array::from_fn(|depth| &maps[depth]);
        let [finer @ .., coarsest] = match &self.rescale {
            Some(rescale) => rescale.forward(maps),
            None => maps.map(Tensor::shallow_clone),
        };
        let mut levels = vec![self.pool(&coarsest)];
        for (lateral, map) in self.laterals.iter().zip(&finer).rev() {
            let above = &levels[levels.len() - 1];
            levels.push(lateral.forward(map) + bilinear(above, sides(map)));
        }
        levels.reverse();
        let size = sides(&levels[0]);
        let smooth = self.smooth.iter().zip(&levels).map(|(conv, level)| conv.forward(level));
        let coarsest = levels[3].shallow_clone();
        let all: Vec<Tensor> =
            smooth.chain([coarsest]).map(|level| bilinear(&level, size)).collect();
        self.classifier.forward(&self.fuse.forward(&Tensor::cat(&all, 1)))
    }

    /// Joins a map with its averages over coarse grids.
    fn pool(&self, map: &Tensor) -> Tensor {
        let size = sides(map);
        let pooled = POOLED.iter().zip(&self.pooled).map(|(&side, conv)| {
            bilinear(&conv.forward(&map.adaptive_avg_pool2d([side, side])), size)
        });
        let parts: Vec<Tensor> = std::iter::once(map.shallow_clone()).chain(pooled).collect();
        self.bottleneck.forward(&Tensor::cat(&parts, 1))
    }
}

fn sides(map: &Tensor) -> [i64; 2] {
    let (_, _, height, width) = map.size4().expect("a map is [B, C, H, W]");
    [height, width]
}

#[cfg(test)]
mod tests {
    use bauta_backbones::{
        BeitConfig, BeitEncoder, ClipVisionConfig, ClipVisual, Parameters, VisionTransformer,
        VitConfig,
    };
    use bauta_libtorch::normal;
    use tch::Device;

    use super::*;
    use crate::seeded::stream;

    fn encoder(parameters: &mut Parameters, depth: usize) -> VisionTransformer {
        let config = VitConfig {
            image_height: 16,
            image_width: 24,
            depth,
            ..VitConfig::new(16, 4, 16, depth, 2)
        };
        VisionTransformer::new(parameters.root().sub("encoder"), &config).unwrap()
    }

    /// A BEiT of the same sizes, and a CLIP tower.
    fn others(parameters: &mut Parameters) -> [Box<dyn ImageEncoder>; 2] {
        let vit = VitConfig { image_width: 24, ..VitConfig::new(16, 4, 16, 4, 2) };
        let (beit, clip) = (BeitConfig::new(vit.clone()), ClipVisionConfig::new(vit));
        let mut root = parameters.root();
        [
            Box::new(BeitEncoder::new(root.sub("beit"), &beit).unwrap()),
            Box::new(ClipVisual::new(root.sub("clip"), &clip).unwrap()),
        ]
    }

    fn train(kind: SegmentationKind, frozen: bool) -> (f64, f64, bool) {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let encoder = encoder(&mut parameters, 4);
        let head = SegmentationHead::new(parameters.root(), &encoder, kind, 3).unwrap();
        let images = Tensor::from_slice(
            &(0..2 * 3 * 16 * 24).map(|i| ((i * 37 % 101) as f32) / 50.0 - 1.0).collect::<Vec<_>>(),
        )
        .view([2, 3, 16, 24]);
        // Two classes, left and right, and an ignored row.
        let labels = Tensor::zeros([2, 16, 24], (Kind::Int64, Device::Cpu));
        let _ = labels.narrow(2, 12, 12).fill_(2);
        let _ = labels.narrow(1, 0, 1).fill_(255);
        let trained: Vec<Tensor> = parameters
            .trainable()
            .filter(|p| !frozen || !p.name.starts_with("encoder"))
            .map(|p| p.tensor.shallow_clone())
            .collect();
        let loss = || {
            let seen = || head.tokens(&encoder, &images, Encode::whole());
            let tokens = if frozen { tch::no_grad(seen) } else { seen() }.unwrap();
            let scores = head.forward(&encoder, &tokens);
            assert_eq!(scores.size(), [2, 3, 16, 24]);
            segmentation_loss(&scores, &labels, 255)
        };
        let first = loss().double_value(&[]);
        let mut reached = false;
        for _ in 0..20 {
            let gradients = Tensor::run_backward(&[&loss()], &trained, false, false);
            tch::no_grad(|| {
                for (parameter, gradient) in trained.iter().zip(&gradients) {
                    if gradient.defined() {
                        let _ = parameter.shallow_clone().g_sub_(&(gradient * 0.1));
                    }
                }
            });
            let seen = || head.tokens(&encoder, &images, Encode::whole());
            let tokens = if frozen { tch::no_grad(seen) } else { seen() }.unwrap();
            reached = tokens[0].requires_grad();
        }
        (first, loss().double_value(&[]), reached)
    }

    #[test]
    fn both_heads_learn_on_frozen_and_on_trained_tokens() {
        for kind in [SegmentationKind::Linear, SegmentationKind::UperNet { width: 16 }] {
            for frozen in [true, false] {
                let (first, last, reached) = train(kind, frozen);
                assert!(last < 0.8 * first, "{kind:?} {frozen}: {first} to {last}");
                assert_eq!(reached, !frozen, "gradients reach the encoder unless it is frozen");
            }
        }
    }

    #[test]
    fn heads_stand_on_any_encoder() {
        let images = normal(&[1, 3, 16, 24], 1.0, &mut stream("images"));
        for kind in [SegmentationKind::Linear, SegmentationKind::UperNet { width: 16 }] {
            let mut parameters = Parameters::new(0, Device::Cpu);
            for (place, encoder) in others(&mut parameters).iter().enumerate() {
                let mut root = parameters.root();
                let head = SegmentationHead::new(root.sub(place), &**encoder, kind, 3).unwrap();
                let tokens = head.tokens(&**encoder, &images, Encode::whole()).unwrap();
                assert_eq!(head.forward(&**encoder, &tokens).size(), [1, 3, 16, 24]);
            }
        }
    }

    #[test]
    fn ignored_pixels_do_not_enter_the_loss() {
        let scores = normal(&[1, 3, 2, 2], 1.0, &mut stream("scores"));
        let labels = Tensor::from_slice(&[0_i64, 255, 2, 255]).view([1, 2, 2]);
        let flat = scores.log_softmax(1, Kind::Float);
        let wanted = -(flat.double_value(&[0, 0, 0, 0]) + flat.double_value(&[0, 2, 1, 0])) / 2.0;
        let found = segmentation_loss(&scores, &labels, 255).double_value(&[]);
        assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
        let none = segmentation_loss(&scores, &labels.full_like(255), 255);
        assert_eq!(none.double_value(&[]), 0.0);
    }

    #[test]
    fn the_linear_head_blends_neighbouring_tokens_bilinearly() {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let encoder = encoder(&mut parameters, 1);
        let head = SegmentationHead::new(parameters.root(), &encoder, SegmentationKind::Linear, 2)
            .unwrap();
        let tokens = normal(&[1, 1 + 24, 16], 1.0, &mut stream("tokens"));
        let scores = head.forward(&encoder, &[tokens.shallow_clone()]);
        let SegmentationHead::Linear(layer) = &head else { unreachable!() };
        // Row 2, column 3 of the grid: the four pixels in the middle of its patch are an
        // eighth of a patch from its centre, so each neighbour has a weight of a sixteenth.
        let middle = scores.narrow(2, 2 * 4 + 1, 2).narrow(3, 3 * 4 + 1, 2);
        let middle = middle.mean_dim([0_i64, 2, 3].as_slice(), false, None);
        let shares = [(-1, 0.0625), (0, 0.875), (1, 0.0625)];
        let mut wanted = middle.zeros_like();
        for (down, height) in shares {
            for (right, width) in shares {
                let token = 1 + (2 + down) * 6 + 3 + right;
                wanted +=
                    layer.forward(&tokens.narrow(1, token, 1)).flatten(0, -1) * (height * width);
            }
        }
        assert!((middle - wanted).abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn what_no_head_fits_is_refused() {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let shallow = encoder(&mut parameters, 3);
        let mut refuse = |width| {
            let kind = SegmentationKind::UperNet { width };
            let made = SegmentationHead::new(parameters.root(), &shallow, kind, 2);
            made.unwrap_err().to_string()
        };
        assert!(refuse(16).contains("the model has 3"));
        assert!(refuse(12).contains("multiple of 8"));
        assert_eq!(
            (quarters(12), quarters(4), quarters(6)),
            ([2, 5, 8, 11], [0, 1, 2, 3], [1, 2, 4, 5])
        );
    }
}
