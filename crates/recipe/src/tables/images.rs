//! What a recipe may say: every key, its type, unit and default.
//!
//! Keys are strict. A key without a default must stand in the recipe file.

use bauta_data::{Augment, DatasetName, OnError};
use bauta_masking::{BlockMask, Grid, MaskError, MaskStrategy, Strategy};
use serde::{Deserialize, Serialize};

use crate::eval::Eval;
use crate::mixture::Mixture;
use crate::teacher::{FeatureTarget, Stages, Teacher};

/// One experiment: a choice of data, model, mask, target, schedule and evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The system that reads the recipe.
    pub system: System,
    /// Seed of every random stream of the run.
    #[serde(default)]
    pub seed: u64,
    /// What the recipe reproduces and what to expect of it.
    pub about: About,
    /// The images.
    pub data: Data,
    /// The encoder.
    pub model: Model,
    /// The decoder, of systems whose encoder sees visible tokens alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder: Option<Decoder>,
    /// Which tokens are hidden.
    pub mask: Mask,
    /// What must be predicted.
    pub target: Target,
    /// The network that says what must be predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<Teacher>,
    /// Stages of bootstrapping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<Stages>,
    /// Mixtures of two images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixture: Option<Mixture>,
    /// Optimiser and schedule.
    pub train: Train,
    /// What is measured at the end.
    #[serde(default)]
    pub eval: Eval,
}

/// The systems, by the names that recipes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// Masked Autoencoders Are Scalable Vision Learners (arXiv 2111.06377).
    Mae,
    /// Exploring Target Representations for Masked Autoencoders (arXiv 2209.03917).
    #[serde(rename = "dbot")]
    DBot,
    /// A Unified View of Masked Image Modeling (arXiv 2210.10615).
    #[serde(rename = "maskdistill")]
    MaskDistill,
    /// i-MAE: Are Latent Representations in Masked Autoencoders Linearly Separable?
    /// (arXiv 2210.11470).
    #[serde(rename = "i-mae")]
    IMae,
}

impl System {
    /// Every system, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Mae, Self::DBot, Self::MaskDistill, Self::IMae];

    /// The name that recipes use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mae => "mae",
            Self::DBot => "dbot",
            Self::MaskDistill => "maskdistill",
            Self::IMae => "i-mae",
        }
    }
}

/// Provenance: shown by `cargo xtask list` and at the head of the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// One line on what the recipe does.
    pub summary: String,
    /// The paper, as `Authors, title, identifier`.
    pub paper: String,
    /// Expected minutes of training and evaluation, on the machine named in `machine`.
    pub minutes: f64,
    /// The machine that `minutes` speaks of.
    pub machine: String,
    /// Name of the headline metric in `summary.json`, such as `linear_top1`.
    pub metric: String,
    /// The value to expect of it, where it has been measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<f64>,
}

/// The images to train and evaluate on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The data set.
    pub name: DatasetName,
    /// A folder that holds it in its canonical layout; fetched to the cache when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<std::path::PathBuf>,
    /// Use only this many training images (the first of the split).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Side of the square images that the model sees, in pixels, or `[height, width]`.
    pub image_size: ImageSize,
    /// What to do with an image that cannot be decoded.
    #[serde(default)]
    pub on_error: OnError,
    /// How training images are varied.
    #[serde(default)]
    pub augment: Augment,
}

/// Height and width in pixels, written as one number or as `[height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of pixels or [height, width]")]
pub enum ImageSize {
    /// Both sides.
    Square(usize),
    /// `[height, width]`.
    Rectangle([usize; 2]),
}

impl ImageSize {
    /// Height in pixels.
    pub fn height(self) -> usize {
        match self {
            Self::Square(side) => side,
            Self::Rectangle([height, _]) => height,
        }
    }

    /// Width in pixels.
    pub fn width(self) -> usize {
        match self {
            Self::Square(side) => side,
            Self::Rectangle([_, width]) => width,
        }
    }
}

/// The vision transformer that encodes visible tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Patch side in pixels.
    pub patch_size: usize,
    /// Width of a token, D.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads; must divide `dim`.
    pub heads: usize,
    /// Hidden width of a block's MLP over `dim`.
    #[serde(default = "defaults::mlp_ratio")]
    pub mlp_ratio: f64,
    /// Rate at which training samples skip the last block's branches; less below it.
    #[serde(default)]
    pub drop_path: f64,
    /// Initial factor of every residual branch (LayerScale), of students that have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_scale: Option<f64>,
    /// Whether tokens carry learned positions beside the relative biases of their attention,
    /// in students that have those.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absolute_positions: bool,
}

/// The transformer that predicts masked patches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decoder {
    /// Width of a token.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads; must divide `dim`.
    pub heads: usize,
}

/// Which tokens are hidden.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    /// How they are chosen.
    #[serde(default)]
    pub strategy: Strategy,
    /// The fraction hidden, in (0, 1).
    pub ratio: f64,
    /// With strategy `block`: the tokens of the smallest block, 16 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_block: Option<usize>,
}

impl Mask {
    /// Builds the strategy for a grid.
    ///
    /// # Errors
    /// [`MaskError`] when the ratio cannot be met on this grid.
    pub fn build(&self, grid: Grid) -> Result<Box<dyn MaskStrategy>, MaskError> {
        match self.min_block {
            Some(tokens) if self.strategy == Strategy::Block => {
                Ok(Box::new(BlockMask::new(grid, self.ratio)?.with_min_area(tokens)))
            }
            _ => self.strategy.build(grid, self.ratio),
        }
    }
}

/// What must be predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The kind of target.
    #[serde(default)]
    pub kind: TargetKind,
    /// With kind `features`: how the teacher's features become targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<FeatureTarget>,
}

/// Targets, by the names that recipes use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// Pixels of the normalised image.
    Pixels,
    /// Pixels standardised within each patch (MAE's headline models).
    #[default]
    NormalizedPixels,
    /// A teacher's features of the whole image.
    Features,
}

impl TargetKind {
    /// Every target, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Pixels, Self::NormalizedPixels, Self::Features];

    /// The name that recipes use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pixels => "pixels",
            Self::NormalizedPixels => "normalized-pixels",
            Self::Features => "features",
        }
    }
}

/// Optimiser, schedule and bookkeeping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Passes over the training images.
    pub epochs: u32,
    /// Images in one forward pass.
    pub batch_size: usize,
    /// Forward passes in one optimiser step.
    #[serde(default = "defaults::accumulate")]
    pub accumulate: usize,
    /// Learning rate at 256 images a step; scaled by `batch_size · accumulate / 256`.
    pub base_lr: f64,
    /// Learning rate at the end of the cosine, before layer scales.
    #[serde(default)]
    pub min_lr: f64,
    /// Length of the linear warm-up, in epochs.
    #[serde(default)]
    pub warmup_epochs: f64,
    /// Decoupled weight decay of matrices.
    #[serde(default = "defaults::weight_decay")]
    pub weight_decay: f64,
    /// AdamW's decay rates of the first and second moment.
    #[serde(default = "defaults::betas")]
    pub betas: [f64; 2],
    /// Clip the gradient's global norm to this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_grad: Option<f64>,
    /// Keep an exponential moving average of the weights with this decay, and evaluate it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Arithmetic of matrix products.
    #[serde(default)]
    pub precision: Precision,
    /// Where tensors live.
    #[serde(default)]
    pub device: Device,
    /// Threads of libtorch and of the loader; 0 takes every core.
    #[serde(default)]
    pub threads: usize,
    /// Write a checkpoint every this many steps; 0 only at the end.
    #[serde(default)]
    pub checkpoint_every: u64,
    /// Write metrics every this many steps.
    #[serde(default = "defaults::log_every")]
    pub log_every: u64,
}

/// Arithmetic of matrix products; parameters and losses stay in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Single precision.
    #[default]
    Fp32,
    /// bfloat16 autocast.
    Bf16,
}

impl Precision {
    /// The name that recipes use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
        }
    }
}

/// Where tensors live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    /// CUDA where libtorch finds a device, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device.
    Cuda,
}

mod defaults {
    pub(super) fn mlp_ratio() -> f64 {
        4.0
    }
    pub(super) fn accumulate() -> usize {
        1
    }
    pub(super) fn weight_decay() -> f64 {
        0.05
    }
    pub(super) fn betas() -> [f64; 2] {
        [0.9, 0.95]
    }
    pub(super) fn log_every() -> u64 {
        50
    }
}
