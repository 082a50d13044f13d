//! The `eval` table: how the features are evaluated.
//!
//! A protocol runs if `eval.protocols` names it; its settings stand in the table
//! of its name. `bauta evaluate` reads the same table without a recipe around it.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use super::finetune::FineTune;
use super::limits::{count, within_limit};
use super::pooling::Pooling;
use super::train::check_warmup;
use crate::reading::{Violation, at_least_one, each_must_be, no_repeats, non_negative, positive};

/// What is measured at the end, on the official test split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Eval {
    /// The protocols to run.
    pub protocols: Vec<Protocol>,
    /// The feature of an image.
    pub features: Pooling,
    /// Epochs between measurements of the features during training: accuracy of the nearest
    /// neighbours (of up to 5000 training images, on up to 2000 test images), effective rank, norm
    /// and standard deviation; 0 measures only at the end. It does not affect training.
    #[serde(skip_serializing_if = "is_zero")]
    pub every: u32,
    /// Measure with only this many of the images that are trained on, spread evenly over the
    /// classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Measure raw pixels and the untrained network too.
    pub baselines: bool,
    /// Megabytes of features of an image split that are kept in memory, 1,000 if not given; larger
    /// ones are kept in a file in the run's folder while they are measured, with the same results.
    #[serde(skip_serializing_if = "is_usual")]
    pub features_in_memory: usize,
    /// Weighted k-nearest neighbours.
    pub knn: Knn,
    /// Linear probe.
    pub linear: Linear,
    /// Ridge regression on a few images per class.
    pub few_shot: FewShot,
    /// Linear probe on a fraction of the training split.
    pub semi: Semi,
    /// Reconstruction pictures.
    pub pictures: Pictures,
    /// Fine-tuning, only where the section is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finetune: Option<FineTune>,
}

impl Default for Eval {
    fn default() -> Self {
        Self {
            protocols: vec![Protocol::Knn, Protocol::Linear],
            features: Pooling::default(),
            every: 0,
            limit: None,
            baselines: true,
            features_in_memory: IN_MEMORY,
            knn: Knn::default(),
            linear: Linear::default(),
            few_shot: FewShot::default(),
            semi: Semi::default(),
            pictures: Pictures::default(),
            finetune: None,
        }
    }
}

/// Megabytes of features that are kept in memory by default.
const IN_MEMORY: usize = 1000;

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_usual(megabytes: &usize) -> bool {
    *megabytes == IN_MEMORY
}

impl Eval {
    /// Bytes of features of a split that are kept in memory.
    pub fn feature_bytes(&self) -> u64 {
        self.features_in_memory as u64 * 1_000_000
    }

    /// The overrides in `set` that set the table of a protocol that is not run, with that protocol.
    pub fn without_effect<'a>(
        &self,
        set: &'a [String],
    ) -> impl Iterator<Item = (&'a str, Protocol)> {
        let runs = |protocol| self.protocols.contains(&protocol);
        set.iter().filter_map(move |set| {
            let table = set.trim().strip_prefix("eval.")?.split_once('.')?.0;
            let protocol: Protocol = table.replace('_', "-").parse().ok()?;
            // A probe on part of the labels also uses the settings of the linear probe.
            let read = runs(protocol) || (protocol == Protocol::Linear && runs(Protocol::Semi));
            (!read).then_some((set.as_str(), protocol))
        })
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for the first value that makes no sense.
    pub fn check(&self) -> Result<(), Violation> {
        let Self { linear, few_shot, semi, .. } = self;
        no_repeats("eval.protocols", &self.protocols)?;
        self.finetune.as_ref().map_or(Ok(()), FineTune::check)?;
        if let Some(limit) = self.limit {
            at_least_one("eval.limit", limit)?;
        }
        within_limit("eval.every", self.every.into())?;
        within_limit("eval.features_in_memory", self.features_in_memory as f64)?;
        count("eval.knn.k", self.knn.k)?;
        positive("eval.knn.temperature", self.knn.temperature)?;
        count("eval.linear.epochs", linear.epochs as usize)?;
        count("eval.linear.batch_size", linear.batch_size)?;
        positive("eval.linear.base_lr", linear.base_lr)?;
        non_negative("eval.linear.weight_decay", linear.weight_decay)?;
        let warmup = linear.warmup_epochs;
        check_warmup("eval.linear.warmup_epochs", warmup, "eval.linear.epochs", linear.epochs)?;
        each_must_be("eval.few_shot.shots", &few_shot.shots, |shots| shots > 0, "at least 1")?;
        few_shot.shots.iter().try_for_each(|&shots| count("eval.few_shot.shots", shots))?;
        no_repeats("eval.few_shot.shots", &few_shot.shots)?;
        count("eval.few_shot.draws", few_shot.draws as usize)?;
        let share = |percent| percent > 0.0 && percent <= 100.0;
        each_must_be("eval.semi.percents", &semi.percents, share, "in (0, 100]")?;
        no_repeats("eval.semi.percents", &semi.percents)?;
        count("eval.semi.epochs", semi.epochs as usize)?;
        count("eval.semi.batch_size", semi.batch_size)?;
        within_limit("eval.pictures.count", self.pictures.count as f64)?;
        if self.protocols.contains(&Protocol::Semi) {
            check_warmup("eval.linear.warmup_epochs", warmup, "eval.semi.epochs", semi.epochs)?;
        }
        Ok(())
    }
}

/// Protocols on frozen features, by the names that recipes and commands use, in the order
/// of the documentation.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Protocol {
    /// Weighted k-nearest neighbours: `eval.knn`.
    Knn,
    /// Linear probe: `eval.linear`.
    Linear,
    /// Ridge regression on a few images per class: `eval.few_shot`.
    FewShot,
    /// Linear probe on a fraction of the training split: `eval.semi`.
    Semi,
}

/// Weighted k-nearest neighbours on standardised features, cosine similarity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Knn {
    /// Number of neighbours, k.
    pub k: usize,
    /// Votes are weighted by exp(similarity / temperature).
    pub temperature: f64,
}

impl Default for Knn {
    fn default() -> Self {
        Self { k: 20, temperature: 0.07 }
    }
}

/// Linear probe: batch norm without affine parameters, then one linear layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Linear {
    /// The optimiser of the layer.
    pub optimizer: ProbeOptimizer,
    /// Passes over the training features.
    pub epochs: u32,
    /// Features in one step.
    pub batch_size: usize,
    /// Learning rate at 256 features per step.
    pub base_lr: f64,
    /// Length of the linear warm-up, in epochs.
    pub warmup_epochs: f64,
    /// Weight decay.
    pub weight_decay: f64,
}

impl Default for Linear {
    fn default() -> Self {
        Self {
            optimizer: ProbeOptimizer::Sgd,
            epochs: 30,
            batch_size: 512,
            base_lr: 0.3,
            warmup_epochs: 1.0,
            weight_decay: 0.0,
        }
    }
}

/// Optimisers of a linear probe; momentum is 0.9 in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum ProbeOptimizer {
    /// Plain gradient descent.
    #[default]
    Sgd,
    /// LARS with trust coefficient 0.001, as in MAE's reference code.
    Lars,
}

/// Ridge regression to one-hot labels, on a few training images of each class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FewShot {
    /// Images per class; each number gives its own metrics.
    pub shots: Vec<usize>,
    /// Draws of the images; the metrics are the mean and standard deviation over them.
    pub draws: u32,
}

impl Default for FewShot {
    fn default() -> Self {
        Self { shots: vec![1, 5, 10], draws: 10 }
    }
}

/// Linear probe on a class-balanced part of the training split; the other settings are those
/// of `eval.linear`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Semi {
    /// Percentages of the training images; each gives its own metrics.
    pub percents: Vec<f64>,
    /// Passes over those images.
    pub epochs: u32,
    /// Features in one step.
    pub batch_size: usize,
}

impl Default for Semi {
    fn default() -> Self {
        Self { percents: vec![1.0, 10.0], epochs: 100, batch_size: 64 }
    }
}

/// Reconstruction pictures of the first test images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pictures {
    /// Number of images; 0 draws none.
    pub count: usize,
}

impl Default for Pictures {
    fn default() -> Self {
        Self { count: 24 }
    }
}
