//! The tables of images with captions, and of a network over both.

use std::path::PathBuf;

use bauta_datasets::pairs::{PairName, PairOptions, Unpaired};
use bauta_datasets::text::bert_vocabulary;
use bauta_datasets::{Augment, OnError};
use bauta_masking::{Grid, MaskScope, Strategy, WordMask};
use serde::{Deserialize, Serialize};

use crate::data_need::DataNeed;
use crate::reading::{Violation, at_least_one, ensure, must_be, non_negative, proper_fraction};
use crate::tables::images::{check_augment, check_one_step, check_root};
use crate::tables::limits::{check_batch, check_weights, count, within_limit};
use crate::tables::{
    Eval, ImageSize, Knn, Linear, Mask, Pictures, PixelTarget, Pooling, Protocol, TargetKind, Train,
};

/// The images and their captions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairData {
    /// The data set.
    pub name: PairName,
    /// The folder of the data set; if not given, the data set is fetched to the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Train on only this many images, spread as evenly over the classes as possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The fraction of captions held out for evaluation, in (0, 1), chosen by caption; no effect on
    /// `cifar10`, which has a test split.
    #[serde(default = "defaults::holdout")]
    pub holdout: f64,
    /// How pictures without captions and captions without pictures are handled.
    #[serde(default)]
    pub unpaired: Unpaired,
    /// The vocabulary: a `tokenizer.json`, a `vocab.txt` of a BERT, or a folder with one of them;
    /// if not given, that of bert-base-uncased is fetched to the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<PathBuf>,
    /// Word pieces of a caption; longer captions are truncated and counted.
    #[serde(default = "defaults::text_length")]
    pub text_length: usize,
    /// Probability that a caption is dropped and its image trained on alone, in [0, 1].
    #[serde(default)]
    pub drop_text: f64,
    /// Probability that an image is dropped and its caption trained on alone, in [0, 1].
    #[serde(default)]
    pub drop_image: f64,
    /// Shorter side in pixels to which larger pictures are shrunk when training first reads them;
    /// they are kept in a temporary file during the run. If not given, pictures are decoded again
    /// in every epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shrink: Option<usize>,
    /// Size of the model's input in pixels: one number for a square, or `[height, width]`.
    pub image_size: ImageSize,
    /// What happens when an image cannot be decoded.
    #[serde(default)]
    pub on_error: OnError,
    /// Augmentation of training images.
    #[serde(default)]
    pub augment: Augment,
}

mod defaults {
    pub(super) fn holdout() -> f64 {
        0.2
    }
    pub(super) fn text_length() -> usize {
        64
    }
    pub(super) fn three_quarters() -> f64 {
        0.75
    }
    pub(super) fn draws() -> usize {
        8
    }
}

impl PairData {
    /// How the pairs are opened.
    pub fn options(&self) -> PairOptions {
        let Self { holdout, limit, unpaired, .. } = *self;
        PairOptions { holdout, limit, unpaired, ..PairOptions::default() }
    }

    /// What must be fetched: the pairs and the vocabulary, unless they are the user's.
    pub fn needs(&self) -> Vec<DataNeed> {
        let package = if self.root.is_none() { self.name.package() } else { None };
        let mut needs = vec![DataNeed { name: self.name.into(), package }];
        if self.vocabulary.is_none() {
            let package = bert_vocabulary();
            needs.push(DataNeed { name: package.name, package: Some(package) });
        }
        needs
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for impossible sizes, fractions or augmentations, or pairs without a folder.
    pub fn check(&self, train: &Train) -> Result<(), Violation> {
        proper_fraction("data.holdout", self.holdout)?;
        for (key, share) in
            [("data.drop_text", self.drop_text), ("data.drop_image", self.drop_image)]
        {
            must_be((0.0..=1.0).contains(&share), key, share, "in [0, 1]")?;
        }
        let size = self.image_size;
        size.check("data.image_size")?;
        if let Some(side) = self.shrink {
            let least = size.height().max(size.width());
            let rule = format!("at least {least}, the longer side of data.image_size");
            must_be(side >= least, "data.shrink", side, &rule)?;
            within_limit("data.shrink", side as f64)?;
        }
        let most = (1..=4096).contains(&self.text_length);
        must_be(most, "data.text_length", self.text_length, "in 1..=4096")?;
        if let Some(limit) = self.limit {
            at_least_one("data.limit", limit)?;
        }
        check_one_step(self.limit, train, "pairs")?;
        check_augment(&self.augment, size)?;
        check_batch("train.batch_size", train.batch_size, size.height(), size.width())?;
        let fetched = self.name.package().is_some();
        check_root(self.root.as_deref(), fetched, self.name.into()).map_err(Violation::left_open)
    }
}

/// The encoder of images and texts, with fixed sine-cosine positions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairVit {
    /// Patch side in pixels.
    pub patch_size: usize,
    /// Width of a token, D.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads; must divide `dim`.
    pub heads: usize,
}

impl PairVit {
    pub(super) fn check(&self) -> Result<(), Violation> {
        count("model.patch_size", self.patch_size)?;
        count("model.depth", self.depth)?;
        count("model.dim", self.dim)?;
        count("model.heads", self.heads)?;
        check_weights("model", self.dim, self.depth, 4.0)?;
        let rule = "a multiple of 4, which 2-D sin-cos positions need";
        must_be(self.dim.is_multiple_of(4), "model.dim", self.dim, rule)?;
        ensure(self.dim.is_multiple_of(self.heads), &["model.heads", "model.dim"], || {
            format!("model.heads is {}; it must divide model.dim {}", self.heads, self.dim)
        })
    }
}

/// Which patches and words are masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairMask {
    /// How the masked patches are chosen.
    #[serde(default)]
    pub strategy: Strategy,
    /// The fraction of patches that is masked, in (0, 1).
    pub ratio: f64,
    /// The fraction of words that is masked, in (0, 1); of n words, ⌊n · (1 − this)⌋ are visible.
    #[serde(default = "defaults::three_quarters")]
    pub text_ratio: f64,
    /// Whether each sample has its own mask over its words (`sample`), or all samples of a batch
    /// share one over all positions (`batch`, as in M3AE's released code).
    #[serde(default)]
    pub scope: MaskScope,
}

impl PairMask {
    /// The mask of the patches.
    pub fn patches(&self) -> Mask {
        let Self { strategy, ratio, .. } = *self;
        Mask { strategy, ratio, ratio_end: None, min_block: None }
    }

    pub(super) fn check(&self, grid: Grid) -> Result<(), Violation> {
        self.patches().check_on(grid, &["model.patch_size", "data.image_size"])?;
        WordMask::new(self.text_ratio).map(drop).map_err(|_| {
            let message = format!("mask.text_ratio is {}; it must be in (0, 1)", self.text_ratio);
            Violation::new(&["mask.text_ratio"], message)
        })
    }
}

/// The prediction targets, and the weights of their losses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PairTarget {
    /// The target of patches: `pixels` (the paper's) or `normalized-pixels`.
    pub kind: TargetKind,
    /// Weight of the patches' loss.
    pub image_weight: f64,
    /// Weight of the words' loss.
    pub text_weight: f64,
}

impl Default for PairTarget {
    fn default() -> Self {
        Self { kind: TargetKind::Pixels, image_weight: 1.0, text_weight: 0.5 }
    }
}

impl PairTarget {
    /// The target of the patches.
    pub fn pixels(&self) -> PixelTarget {
        PixelTarget { kind: self.kind }
    }

    pub(super) fn check(&self, system: &str) -> Result<(), Violation> {
        self.pixels().check(system)?;
        non_negative("target.image_weight", self.image_weight)?;
        non_negative("target.text_weight", self.text_weight)?;
        let some = self.image_weight + self.text_weight > 0.0;
        ensure(some, &["target.image_weight", "target.text_weight"], || {
            "target.image_weight and target.text_weight are both 0; at least one must be above 0"
                .to_owned()
        })
    }
}

/// Measurements on images and words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PairEval {
    /// The protocols to run on features, if images have classes.
    pub protocols: Vec<Protocol>,
    /// The feature of an image.
    pub features: Pooling,
    /// Use only this many training images for the protocols.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Measure raw pixels and the untrained network too.
    pub baselines: bool,
    /// Weighted k-nearest neighbours.
    pub knn: Knn,
    /// Linear probe.
    pub linear: Linear,
    /// Draws of masks under which the words of each test caption are predicted.
    #[serde(default = "defaults::draws")]
    pub draws: usize,
    /// Maximum number of test pairs for word prediction and retrieval.
    pub pairs: usize,
    /// Reconstruction pictures.
    pub pictures: Pictures,
}

impl Default for PairEval {
    fn default() -> Self {
        Self {
            protocols: vec![Protocol::Knn, Protocol::Linear],
            features: Pooling::default(),
            limit: None,
            baselines: true,
            knn: Knn::default(),
            linear: Linear::default(),
            draws: defaults::draws(),
            pairs: 500,
            pictures: Pictures::default(),
        }
    }
}

impl PairEval {
    /// The protocols on the features of images.
    pub fn as_eval(&self) -> Eval {
        Eval {
            protocols: self.protocols.clone(),
            features: self.features,
            limit: self.limit,
            baselines: self.baselines,
            knn: self.knn.clone(),
            linear: self.linear.clone(),
            pictures: self.pictures.clone(),
            ..Eval::default()
        }
    }

    pub(super) fn check(&self) -> Result<(), Violation> {
        must_be((1..=1000).contains(&self.draws), "eval.draws", self.draws, "in 1..=1000")?;
        must_be((2..=10_000).contains(&self.pairs), "eval.pairs", self.pairs, "in 2..=10000")?;
        self.as_eval().check()
    }
}
