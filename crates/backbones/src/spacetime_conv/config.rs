//! Sizes of (2+1)D residual networks.

use serde::{Deserialize, Serialize};

use crate::ModelError;

/// Sizes of a (2+1)D residual network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpacetimeConvConfig {
    /// Channels of a frame.
    pub channels: usize,
    /// Side of the stem's filters over space, odd.
    pub stem_side: usize,
    /// Channels between the stem's convolutions over space and over time.
    pub stem_middle: usize,
    /// Channels after the stem, which halves the frame's height and width.
    pub width: usize,
    /// The stages after the stem, at least 2.
    pub stages: Vec<SpacetimeStage>,
    /// The kind of blocks in the stages.
    #[serde(default)]
    pub block: SpacetimeBlock,
}

/// The residual branch of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpacetimeBlock {
    /// Two (2+1)D convolutions.
    #[default]
    Basic,
    /// A (2+1)D convolution between two 1 × 1 × 1 ones, the last with four times the stage's width.
    Bottleneck,
}

impl SpacetimeBlock {
    /// Output channels of a block, as a multiple of the stage's width.
    pub(super) fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

/// A stage: a sequence of residual blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpacetimeStage {
    /// Channels of its (2+1)D convolutions.
    pub width: usize,
    /// Number of blocks.
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

    /// A (2+1)D ResNet-50.
    ///
    /// At width 64 it is torchvision's `VideoResNet` with `Bottleneck`, `Conv2Plus1D` and
    /// `R2Plus1dStem`; features have 32 times the width. At other widths, the channels inside the
    /// stem scale with the width.
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

    /// A small network for clips of about 8 frames of 32 × 32 pixels: three stages of one block, of
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

    /// Width of the last stage's input.
    pub fn features_before_last(&self) -> usize {
        self.stages.iter().rev().nth(1).map_or(self.width, |stage| self.after(stage))
    }

    /// Output channels of a stage.
    pub(super) fn after(&self, stage: &SpacetimeStage) -> usize {
        self.block.expansion() * stage.width
    }

    /// Strides from the clip to the last feature map, in time and space, in the order of the
    /// layers.
    pub fn strides(&self) -> Vec<[usize; 2]> {
        [[1, 2]].into_iter().chain(self.stages.iter().map(|stage| stage.strides)).collect()
    }

    pub(super) fn check(&self) -> Result<(), ModelError> {
        let sides = [self.channels, self.stem_middle, self.width];
        let of_stages =
            self.stages.iter().flat_map(|s| [s.width, s.blocks, s.strides[0], s.strides[1]]);
        if sides.into_iter().chain(of_stages).any(|side| side == 0) {
            return Err(ModelError::Config(format!("a size of {self:?} is 0")));
        }
        if self.stem_side.is_multiple_of(2) || self.stages.len() < 2 {
            let text = format!(
                "a (2+1)D network needs an odd stem_side and at least two stages; it has {} and {}",
                self.stem_side,
                self.stages.len()
            );
            return Err(ModelError::Config(text));
        }
        Ok(())
    }
}

/// Channels between the convolutions over space and time, such that the two together have as many
/// weights as a 3 × 3 × 3 convolution: ⌊27 · in · out / (9 · in + 3 · out)⌋.
pub(super) fn middle(inputs: usize, outputs: usize) -> usize {
    27 * inputs * outputs / (9 * inputs + 3 * outputs)
}
