//! How the encoder and the classifier are trained.

use bauta_backbones::Pooling;
use bauta_train::MixConfig;

/// Settings of fine-tuning.
///
/// The defaults suit small images, small encoders and a short run on a CPU.
#[derive(Clone, Debug, PartialEq)]
pub struct FineTuneConfig {
    /// Passes over the labelled images, at least 1.
    pub epochs: u32,
    /// Images per step, at least 1; all labelled ones if there are fewer.
    pub batch_size: usize,
    /// Learning rate of the head at 256 images per step.
    pub base_lr: f64,
    /// Learning rate at the end of the cosine, before layer scales.
    pub min_lr: f64,
    /// Length of the linear warm-up, in epochs.
    pub warmup_epochs: f64,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// Learning rate of a layer over that of the layer above it, in (0, 1]; 1 from scratch.
    pub layer_decay: f64,
    /// Rate at which samples skip the last block's branches, in [0, 1); lower in lower blocks.
    pub drop_path: f64,
    /// How images are mixed within their batch.
    pub mix: MixConfig,
    /// Label smoothing, in [0, 1).
    pub smoothing: f64,
    /// Probability of erasing a rectangle of an image.
    pub erasing: f64,
    /// Magnitude of RandAugment, 0 to 10; 0 leaves it out.
    pub randaugment: f64,
    /// Input of the classifier: the mean of the patch tokens under its own norm, or the class
    /// token after the final norm.
    pub pooling: Pooling,
    /// Train only this number of last blocks and the head; if not given, all blocks and the
    /// embeddings.
    pub blocks: Option<usize>,
    /// Fraction of the training images whose labels are used, in (0, 1], equally many of
    /// each class.
    pub labels: f64,
}

impl Default for FineTuneConfig {
    fn default() -> Self {
        Self {
            epochs: 5,
            batch_size: 128,
            base_lr: 4e-3,
            min_lr: 1e-6,
            warmup_epochs: 0.5,
            weight_decay: 0.05,
            layer_decay: 0.75,
            drop_path: 0.0,
            mix: MixConfig::default(),
            smoothing: 0.1,
            erasing: 0.0,
            randaugment: 0.0,
            pooling: Pooling::Mean,
            blocks: None,
            labels: 1.0,
        }
    }
}

impl FineTuneConfig {
    /// `finetune` with the trained blocks and labels, such as `finetune_last2_10pct`.
    pub(super) fn name(&self) -> String {
        let mut name = "finetune".to_owned();
        if let Some(blocks) = self.blocks {
            name += &format!("_last{blocks}");
        }
        if self.labels < 1.0 {
            name += &format!("_{}pct", (self.labels * 1e4).round() / 1e2);
        }
        name
    }
}
