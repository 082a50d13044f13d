//! (2+1)D residual networks of clips with torchvision's names (Tran et al., arXiv 1711.11248):
//! each convolution in space and time is one in space, then one in time.

mod spectrogram;

use serde::{Deserialize, Serialize};
use tch::Tensor;

pub use self::spectrogram::SpectrogramConv;
use crate::{BatchNorm, Init, ModelError, Moments, Scope};

/// Sizes of a (2+1)D residual network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpacetimeConvConfig {
    /// Channels of a frame.
    pub channels: usize,
    /// Side of the stem's filters in space, odd.
    pub stem_side: usize,
    /// Channels between the stem's convolutions in space and in time.
    pub stem_middle: usize,
    /// Channels after the stem, which halves the frame's sides.
    pub width: usize,
    /// The stages after the stem, at least 2.
    pub stages: Vec<SpacetimeStage>,
    /// What the stages' blocks are.
    #[serde(default)]
    pub block: SpacetimeBlock,
}

/// What lies beside a block's shortcut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpacetimeBlock {
    /// Two (2+1)D convolutions.
    #[default]
    Basic,
    /// A (2+1)D convolution between two of 1 × 1 × 1, the last to four times the stage's width.
    Bottleneck,
}

impl SpacetimeBlock {
    /// How many times a stage's width comes out of it.
    fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

/// A stage: blocks with a shortcut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpacetimeStage {
    /// Channels of its (2+1)D convolutions.
    pub width: usize,
    /// Blocks.
    pub blocks: usize,
    /// Strides of the first block, in time and in space.
    pub strides: [usize; 2],
}

impl SpacetimeConvConfig {
    /// torchvision's `r2plus1d_18`.
    pub fn eighteen(channels: usize) -> Self {
        let stage = |width, stride| SpacetimeStage { width, blocks: 2, strides: [stride, stride] };
        let stages = vec![stage(64, 1), stage(128, 2), stage(256, 2), stage(512, 2)];
        let block = SpacetimeBlock::Basic;
        Self { channels, stem_side: 7, stem_middle: 45, width: 64, stages, block }
    }

    /// A (2+1)D ResNet-50: of width 64, what torchvision's `VideoResNet` makes of `Bottleneck`,
    /// `Conv2Plus1D` and `R2Plus1dStem`; features have 32 times the width. Of another width, the
    /// stem's middle is narrower or wider by as much.
    pub fn fifty(channels: usize, width: usize) -> Self {
        let stage = |factor, blocks, stride| SpacetimeStage {
            width: factor * width,
            blocks,
            strides: [stride, stride],
        };
        let stages = vec![stage(1, 3, 1), stage(2, 4, 2), stage(4, 6, 2), stage(8, 3, 2)];
        let stem_middle = (45 * width / 64).max(1);
        let block = SpacetimeBlock::Bottleneck;
        Self { channels, stem_side: 7, stem_middle, width, stages, block }
    }

    /// A small one for clips of about 8 frames of 32 × 32 pixels: three stages of one block, of
    /// `width`, twice and four times that, each of stride 2 in space, the last in time too.
    pub fn tiny(channels: usize, width: usize) -> Self {
        let stage = |factor, strides| SpacetimeStage { width: factor * width, blocks: 1, strides };
        let stages = vec![stage(1, [1, 2]), stage(2, [1, 2]), stage(4, [2, 2])];
        let stem_middle = middle(channels, width);
        let block = SpacetimeBlock::Basic;
        Self { channels, stem_side: 3, stem_middle, width, stages, block }
    }

    /// Width of the features, D.
    pub fn features(&self) -> usize {
        self.stages.last().map_or(self.width, |stage| self.after(stage))
    }

    /// Width of what comes before the last stage.
    pub fn features_before_last(&self) -> usize {
        self.stages.iter().rev().nth(1).map_or(self.width, |stage| self.after(stage))
    }

    /// Channels after a stage.
    fn after(&self, stage: &SpacetimeStage) -> usize {
        self.block.expansion() * stage.width
    }

    /// Strides from the clip to the last feature map, in time and space, in the order of the
    /// layers.
    pub fn strides(&self) -> Vec<[usize; 2]> {
        [[1, 2]].into_iter().chain(self.stages.iter().map(|stage| stage.strides)).collect()
    }

    fn check(&self) -> Result<(), ModelError> {
        let sides = [self.channels, self.stem_middle, self.width];
        let of_stages =
            self.stages.iter().flat_map(|s| [s.width, s.blocks, s.strides[0], s.strides[1]]);
        if sides.into_iter().chain(of_stages).any(|side| side == 0) {
            return Err(ModelError::Config(format!("a size of {self:?} is 0")));
        }
        if self.stem_side.is_multiple_of(2) || self.stages.len() < 2 {
            let text = format!(
                "a (2+1)D network has an odd stem_side and two stages or more; here it has {} and \
                 {}",
                self.stem_side,
                self.stages.len()
            );
            return Err(ModelError::Config(text));
        }
        Ok(())
    }
}

/// Channels between the convolutions in space and time, such that the two together have as many
/// weights as one of 3 × 3 × 3: ⌊27 · in · out / (9 · in + 3 · out)⌋.
fn middle(inputs: usize, outputs: usize) -> usize {
    27 * inputs * outputs / (9 * inputs + 3 * outputs)
}

/// What a pass makes of clips.
#[derive(Debug)]
pub struct ClipFeatures {
    /// Mean over time and space of what goes into the last stage, [B, D'].
    pub before_last: Tensor,
    /// The last feature map, [B, D, T', H', W'].
    pub map: Tensor,
    /// Its mean over time and space, [B, D].
    pub embedding: Tensor,
}

/// A convolution without bias, of filters [out, in, t, h, w].
#[derive(Debug)]
struct Conv {
    weight: Tensor,
    strides: [i64; 3],
}

impl Conv {
    /// Starts as torchvision's: normal, by the fan out.
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

/// A convolution in space, normalisation and ReLU, then one in time: `Conv2Plus1D`.
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
    /// Of 1 × 1 × 1.
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
    /// `width` is that of the stage.
    fn new(
        mut scope: Scope<'_>,
        kind: SpacetimeBlock,
        [inputs, width]: [usize; 2],
        strides: [usize; 2],
    ) -> Self {
        // torchvision takes the block's first number for all of its convolutions.
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
    /// [`ModelError::Config`] when a size cannot be.
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

    /// What it was made of.
    pub fn config(&self) -> &SpacetimeConvConfig {
        &self.config
    }

    /// Normalised clips [B, C, T, H, W] to their features.
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

#[cfg(test)]
mod tests;
