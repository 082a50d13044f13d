//! Tables specific to ExSSNeT: the stream of tasks, the network, the masks, the method.

use bauta_datasets::DatasetName;
use serde::{Deserialize, Serialize};
use strum::Display;

use crate::reading::{
    Violation, at_least_one, each_must_be, ensure, must_be, no_repeats, non_negative, positive,
    proper_fraction,
};
use crate::tables::Train;

/// The tasks, in the order in which they are learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tasks {
    /// How the data become tasks.
    pub origin: TaskOrigin,
    /// With origin `permuted` or `rotated`: number of tasks.
    #[serde(default = "defaults::count")]
    pub count: usize,
    /// With origin `split`: classes per task.
    #[serde(default = "defaults::classes")]
    pub classes: usize,
    /// With origin `data-sets`: the data sets that follow `data.name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<DatasetName>,
    /// The fraction of each task's training images that is held out to choose the best epoch, in
    /// (0, 1).
    #[serde(default = "defaults::validation")]
    pub validation: f64,
}

/// Ways to turn data into tasks, by the names that recipes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum TaskOrigin {
    /// The same images, with the pixels in a different order in each task.
    Permuted,
    /// The same images, turned further in each task, up to 180°.
    Rotated,
    /// Some of the classes per task, in their order.
    Split,
    /// One data set per task.
    DataSets,
    /// One folder of your own per task, in the order of their numbers or names.
    Folders,
    /// The documents of `texts`.
    Texts,
}

/// The network that all tasks share; it has no bias, and no scale in its normalisations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskNetwork {
    /// The network.
    pub network: Network,
    /// With network `mlp`: widths of the hidden layers.
    #[serde(default = "defaults::hidden")]
    pub hidden: Vec<usize>,
    /// With network `resnet18`: channels of the first stage.
    #[serde(default = "defaults::width")]
    pub width: usize,
    /// With network `text-cnn`: filters of each of three lengths.
    #[serde(default = "defaults::filters")]
    pub filters: usize,
    /// How weights are initialised.
    #[serde(default)]
    pub start: WeightStart,
}

/// Networks, by the names that recipes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Network {
    /// Linear layers with ReLU between, the LeNet of the released code.
    Mlp,
    /// GEM's ResNet-18 for small images.
    ResNet18,
    /// ResNet-50, for images of 64 pixels and more.
    ResNet50,
    /// Convolutions of 3, 4 and 5 tokens over a frozen encoder's features, and their maxima.
    #[serde(rename = "text-cnn")]
    #[strum(serialize = "text-cnn")]
    TextCnn,
}

/// Initialisations of weights, by the names that recipes use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum WeightStart {
    /// √(2 / fan in), with a random sign.
    #[default]
    SignedConstant,
    /// √(2 / fan in), all positive.
    UnsignedConstant,
    /// Normal with standard deviation √(2 / fan in).
    KaimingNormal,
    /// Uniform in ± √(6 / fan in).
    KaimingUniform,
    /// Normal with variance 2 / (fan in + fan out).
    XavierNormal,
}

/// The masks: which weights a task's subnetwork keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supermask {
    /// The kept fraction of each layer, in (0, 1].
    pub density: f64,
}

/// How tasks are learnt; `train.epochs` are those of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Continual {
    /// The method of the run.
    #[serde(default)]
    pub method: ContinualMethod,
    /// With method `exssnet` or `ssnet`: epochs of `train.epochs` that train weights, after those
    /// that train the mask.
    pub weight_epochs: u32,
    /// Learning rate of weights at 256 images per step; `train.base_lr` is that of scores.
    pub weight_lr: f64,
    /// Learning rate of methods without masks, which train all weights, at 256 images per step.
    #[serde(default = "defaults::plain_lr")]
    pub plain_lr: f64,
    /// Which earlier tasks provide the initial scores of a new one; if not given, scores start at
    /// random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
    /// With `transfer`: number of neighbours that vote.
    #[serde(default = "defaults::neighbours")]
    pub neighbours: usize,
    /// With `transfer` or method `ewc`: number of training images used.
    #[serde(default = "defaults::samples")]
    pub samples: usize,
    /// With method `ewc`: weight of the penalty.
    #[serde(default = "defaults::elastic")]
    pub elastic: f64,
}

/// Ways to learn one task after another, by the names that recipes use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum ContinualMethod {
    /// One mask per task, then the weights that no earlier mask keeps.
    #[default]
    ExSsNet,
    /// One mask per task, then all weights that it keeps.
    SsNet,
    /// One mask per task, over weights that stay as they were initialised.
    SupSup,
    /// The whole network, one task after another, with one head per task.
    FineTune,
    /// The same with a penalty on weights that mattered before.
    Ewc,
    /// One network per task.
    Individual,
    /// The whole network, all tasks at once, with one head per task.
    Joint,
}

/// Which earlier tasks provide initial scores, by the names that recipes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Transfer {
    /// The best one, if it is above chance.
    Best,
    /// The best one.
    Always,
    /// The mean of all that are above chance.
    All,
}

/// What is measured at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TaskEval {
    /// Test on only this many test samples of each task, images spread as evenly over the classes as
    /// possible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The methods that the run is compared with, using the same code and number of epochs.
    pub against: Vec<ContinualMethod>,
}

impl Default for TaskEval {
    fn default() -> Self {
        use ContinualMethod::{Ewc, FineTune, Individual, Joint, SsNet, SupSup};
        Self { limit: None, against: vec![FineTune, Individual, Joint, Ewc, SupSup, SsNet] }
    }
}

mod defaults {
    pub(super) fn count() -> usize {
        10
    }
    pub(super) fn classes() -> usize {
        2
    }
    pub(super) fn validation() -> f64 {
        0.1
    }
    pub(super) fn hidden() -> Vec<usize> {
        vec![300, 100]
    }
    pub(super) fn width() -> usize {
        20
    }
    pub(super) fn filters() -> usize {
        200
    }
    pub(super) fn neighbours() -> usize {
        10
    }
    pub(super) fn samples() -> usize {
        1000
    }
    pub(super) fn plain_lr() -> f64 {
        4.0e-3
    }
    pub(super) fn elastic() -> f64 {
        100.0
    }
}

impl Tasks {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for the first value that makes no sense.
    pub fn check(&self) -> Result<(), Violation> {
        must_be((1..=1000).contains(&self.count), "tasks.count", self.count, "in 1..=1000")?;
        must_be(self.classes >= 2, "tasks.classes", self.classes, "at least 2")?;
        proper_fraction("tasks.validation", self.validation)?;
        let fetched = self.then.iter().find(|name| name.package().is_none());
        ensure(fetched.is_none(), &["tasks.then"], || {
            format!(
                "tasks.then contains {}; it must name data sets that can be fetched",
                fetched.map_or("", |&name| name.into())
            )
        })
    }
}

impl TaskNetwork {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for a width out of range.
    pub fn check(&self) -> Result<(), Violation> {
        let side = |side: usize| (1..=65_536).contains(&side);
        each_must_be("model.hidden", &self.hidden, side, "in 1..=65536")?;
        must_be((1..=1024).contains(&self.width), "model.width", self.width, "in 1..=1024")?;
        must_be((1..=4096).contains(&self.filters), "model.filters", self.filters, "in 1..=4096")
    }
}

impl Supermask {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for a density outside (0, 1].
    pub fn check(&self) -> Result<(), Violation> {
        let within = self.density > 0.0 && self.density <= 1.0;
        must_be(within, "mask.density", self.density, "in (0, 1]")
    }
}

impl Continual {
    /// Checks what types cannot say, and that training leaves the weights of earlier tasks alone.
    ///
    /// # Errors
    /// [`Violation`] for the first value that makes no sense.
    pub fn check(&self, train: &Train) -> Result<(), Violation> {
        positive("learning.weight_lr", self.weight_lr)?;
        positive("learning.plain_lr", self.plain_lr)?;
        at_least_one("learning.neighbours", self.neighbours)?;
        must_be(self.samples >= 2, "learning.samples", self.samples, "at least 2")?;
        non_negative("learning.elastic", self.elastic)?;
        let (weights, epochs) = (self.weight_epochs, train.epochs);
        let keys = ["learning.weight_epochs", "train.epochs"];
        ensure(weights >= 1 && weights < epochs, &keys, || {
            format!(
                "learning.weight_epochs is {weights}; it must be at least 1 and below \
                 train.epochs {epochs}, whose rest trains the masks"
            )
        })?;
        let decay = train.weight_decay;
        ensure(decay == 0.0, &["train.weight_decay"], || {
            format!(
                "train.weight_decay is {decay}; it must be 0 here: a decay changes the weights \
                 of earlier tasks"
            )
        })?;
        ensure(train.ema.is_none(), &["train.ema"], || {
            "train.ema is given, but this system keeps no average of weights; remove it".to_owned()
        })?;
        let warmup = train.warmup_epochs;
        ensure(warmup <= f64::from(weights.min(epochs - weights)), &["train.warmup_epochs"], || {
            format!("train.warmup_epochs {warmup} is longer than a phase of a task")
        })
    }
}

impl TaskEval {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for a limit of 0, or a repeated method.
    pub fn check(&self) -> Result<(), Violation> {
        if let Some(limit) = self.limit {
            at_least_one("eval.limit", limit)?;
        }
        no_repeats("eval.against", &self.against)
    }
}
