//! (2+1)D residual networks for clips with torchvision's names (Tran et al., arXiv 1711.11248):
//! each convolution over space and time is one over space, then one over time.

mod config;

use tch::Tensor;

use self::config::middle;
pub use self::config::{SpacetimeBlock, SpacetimeConvConfig, SpacetimeStage};
use crate::{BatchNorm, Init, ModelError, Moments, Scope};

/// The features that a pass computes from clips.
#[derive(Debug)]
pub struct ClipFeatures {
    /// Mean over time and space of the last stage's input, [B, D'].
    pub before_last: Tensor,
    /// The last feature map, [B, D, T', H', W'].
    pub map: Tensor,
    /// Its mean over time and space, [B, D].
    pub embedding: Tensor,
}

/// A convolution without bias, with filters [out, in, t, h, w].
#[derive(Debug)]
struct Conv {
    weight: Tensor,
    strides: [i64; 3],
}

impl Conv {
    /// Initialised as in torchvision: normal, scaled by the fan-out.
    fn new(
        mut scope: Scope<'_>,
        [outputs, inputs]: [usize; 2],
        sides: [usize; 3],
        strides: [usize; 3],
    ) -> Self {
        let fan_out = (outputs * sides.iter().product::<usize>()) as f64;
        let shape: Vec<i64> =
            [outputs, inputs].iter().chain(&sides).map(|&side| side as i64).collect();
        let weight = scope.add("weight", &shape, Init::Normal((2.0 / fan_out).sqrt()));
        Self { weight, strides: strides.map(|stride| stride as i64) }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let size = self.weight.size();
        let padding = [size[2] / 2, size[3] / 2, size[4] / 2];
        x.conv3d(&self.weight, None::<Tensor>, self.strides, padding, [1, 1, 1], 1)
    }
}

/// A convolution over space, normalisation and ReLU, then one over time: `Conv2Plus1D`.
#[derive(Debug)]
struct SpaceThenTime {
    space: Conv,
    norm: BatchNorm,
    time: Conv,
}

impl SpaceThenTime {
    fn new(
        mut scope: Scope<'_>,
        [outputs, between, inputs]: [usize; 3],
        side: usize,
        [in_time, in_space]: [usize; 2],
    ) -> Self {
        let space =
            Conv::new(scope.sub(0), [between, inputs], [1, side, side], [1, in_space, in_space]);
        let norm = BatchNorm::new(scope.sub(1), between);
        let time = Conv::new(scope.sub(3), [outputs, between], [3, 1, 1], [in_time, 1, 1]);
        Self { space, norm, time }
    }

    fn forward(&self, x: &Tensor, moments: Moments) -> Tensor {
        self.time.forward(&self.norm.forward(&self.space.forward(x), moments).relu())
    }
}

/// A convolution of a block.
#[derive(Debug)]
enum BlockConv {
    SpaceThenTime(SpaceThenTime),
    /// A 1 × 1 × 1 convolution.
    Point(Conv),
}

impl BlockConv {
    fn forward(&self, x: &Tensor, moments: Moments) -> Tensor {
        match self {
            Self::SpaceThenTime(conv) => conv.forward(x, moments),
            Self::Point(conv) => conv.forward(x),
        }
    }
}

#[derive(Debug)]
struct Block {
    convolutions: Vec<(BlockConv, BatchNorm)>,
    shortcut: Option<(Conv, BatchNorm)>,
}

impl Block {
    /// Adds a block's parameters; `width` is that of the stage.
    fn new(
        mut scope: Scope<'_>,
        kind: SpacetimeBlock,
        [inputs, width]: [usize; 2],
        strides: [usize; 2],
    ) -> Self {
        // As in torchvision, computed once from the block's input, for all of its convolutions.
        let between = middle(inputs, width);
        let outputs = kind.expansion() * width;
        let mut convolutions = Vec::new();
        let mut add = |side: usize, [outputs, inputs]: [usize; 2], strides| {
            let mut scope = scope.sub(format!("conv{}", convolutions.len() + 1));
            let conv = match side {
                1 => BlockConv::Point(Conv::new(scope.sub(0), [outputs, inputs], [1; 3], [1; 3])),
                _ => {
                    let sizes = [outputs, between, inputs];
                    let conv = SpaceThenTime::new(scope.sub(0), sizes, side, strides);
                    BlockConv::SpaceThenTime(conv)
                }
            };
            convolutions.push((conv, BatchNorm::new(scope.sub(1), outputs)));
        };
        match kind {
            SpacetimeBlock::Basic => {
                add(3, [width, inputs], strides);
                add(3, [width; 2], [1, 1]);
            }
            SpacetimeBlock::Bottleneck => {
                add(1, [width, inputs], [1, 1]);
                add(3, [width; 2], strides);
                add(1, [outputs, width], [1, 1]);
            }
        }
        let changes = strides != [1, 1] || inputs != outputs;
        let shortcut = changes.then(|| {
            let mut scope = scope.sub("downsample");
            let [time, space] = strides;
            let conv = Conv::new(scope.sub(0), [outputs, inputs], [1, 1, 1], [time, space, space]);
            (conv, BatchNorm::new(scope.sub(1), outputs))
        });
        Self { convolutions, shortcut }
    }

    fn forward(&self, x: &Tensor, moments: Moments) -> Tensor {
        let mut inner = x.shallow_clone();
        for (place, (conv, norm)) in self.convolutions.iter().enumerate() {
            let found = norm.forward(&conv.forward(&inner, moments), moments);
            inner = if place + 1 < self.convolutions.len() { found.relu() } else { found };
        }
        let beside = match &self.shortcut {
            Some((conv, norm)) => norm.forward(&conv.forward(x), moments),
            None => x.shallow_clone(),
        };
        (inner + beside).relu()
    }
}

/// A (2+1)D residual network without a head.
#[derive(Debug)]
pub struct SpacetimeConv {
    config: SpacetimeConvConfig,
    stem: (SpaceThenTime, BatchNorm),
    stages: Vec<Vec<Block>>,
}

impl SpacetimeConv {
    /// Adds all parameters under torchvision's names.
    ///
    /// # Errors
    /// [`ModelError::Config`] when a size is not possible.
    pub fn new(mut scope: Scope<'_>, config: SpacetimeConvConfig) -> Result<Self, ModelError> {
        config.check()?;
        let mut of_stem = scope.sub("stem");
        let sizes = [config.width, config.stem_middle, config.channels];
        let stem = SpaceThenTime::new(of_stem.again(), sizes, config.stem_side, [1, 2]);
        let stem = (stem, BatchNorm::new(of_stem.sub(4), config.width));
        let mut inputs = config.width;
        let mut stages = Vec::new();
        for (place, stage) in config.stages.iter().enumerate() {
            let mut scope = scope.sub(format!("layer{}", place + 1));
            let blocks = (0..stage.blocks).map(|block| {
                let strides = if block == 0 { stage.strides } else { [1, 1] };
                let sizes = [inputs, stage.width];
                let made = Block::new(scope.sub(block), config.block, sizes, strides);
                inputs = config.after(stage);
                made
            });
            stages.push(blocks.collect());
        }
        Ok(Self { config, stem, stages })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &SpacetimeConvConfig {
        &self.config
    }

    /// Maps normalised clips [B, C, T, H, W] to their features.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the clips are of another shape.
    pub fn forward(&self, clips: &Tensor, moments: Moments) -> Result<ClipFeatures, ModelError> {
        let size = clips.size();
        if size.len() != 5 || size[1] != self.config.channels as i64 {
            let expected = format!("[B, {}, T, H, W]", self.config.channels);
            return Err(ModelError::Shape { what: "the input", found: size, expected });
        }
        let (stem, norm) = &self.stem;
        let mut x = norm.forward(&stem.forward(clips, moments), moments).relu();
        let mut before_last = pooled(&x);
        for stage in &self.stages {
            before_last = pooled(&x);
            x = stage.iter().fold(x, |x, block| block.forward(&x, moments));
        }
        Ok(ClipFeatures { before_last, embedding: pooled(&x), map: x })
    }
}

/// Mean over time and space of [B, D, T, H, W].
fn pooled(x: &Tensor) -> Tensor {
    x.mean_dim(&[2_i64, 3, 4][..], false, None)
}

/// A convolutional network for spectrograms: four layers of 3 × 3 filters and stride 2, each
/// followed by normalisation.
#[derive(Debug)]
pub struct SpectrogramConv {
    channels: usize,
    width: usize,
    layers: Vec<(Conv, BatchNorm)>,
}

impl SpectrogramConv {
    /// Adds `conv1` to `conv4` of `width`, 2, 4 and 4 times that, with `bn1` to `bn4`.
    ///
    /// # Errors
    /// [`ModelError::Config`] when a size is 0.
    pub fn new(mut scope: Scope<'_>, channels: usize, width: usize) -> Result<Self, ModelError> {
        if channels == 0 || width == 0 {
            let text = format!(
                "a network of spectrograms needs channels and a width of at least 1, not \
                 {channels} and {width}"
            );
            return Err(ModelError::Config(text));
        }
        let mut inputs = channels;
        let layers = [1, 2, 4, 4].into_iter().enumerate().map(|(place, factor)| {
            let name = |kind: &str| format!("{kind}{}", place + 1);
            let outputs = factor * width;
            let sides = [outputs, inputs];
            inputs = outputs;
            let conv = Conv::new(scope.sub(name("conv")), sides, [1, 3, 3], [1, 2, 2]);
            (conv, BatchNorm::new(scope.sub(name("bn")), outputs))
        });
        Ok(Self { channels, width, layers: layers.collect() })
    }

    /// Width of the features, D, which is also that of the last layer's input.
    pub fn features(&self) -> usize {
        4 * self.width
    }

    /// Maps spectrograms [B, C, F, T] to their features; the map is [B, D, 1, F', T'].
    ///
    /// # Errors
    /// [`ModelError::Shape`] when they are of another shape.
    pub fn forward(&self, sound: &Tensor, moments: Moments) -> Result<ClipFeatures, ModelError> {
        let size = sound.size();
        if size.len() != 4 || size[1] != self.channels as i64 {
            let expected = format!("[B, {}, F, T]", self.channels);
            return Err(ModelError::Shape { what: "the spectrograms", found: size, expected });
        }
        let mut x = sound.unsqueeze(2);
        let mut before_last = pooled(&x);
        for (conv, norm) in &self.layers {
            before_last = pooled(&x);
            x = norm.forward(&conv.forward(&x), moments).relu();
        }
        Ok(ClipFeatures { before_last, embedding: pooled(&x), map: x })
    }
}

#[cfg(test)]
mod tests;
