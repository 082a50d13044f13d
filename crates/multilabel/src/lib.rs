//! Multi-label text classification with learned policies (Wu, Xiong and Wang, arXiv 1909.04176).
//!
//! A [`Classifier`] gives every label a probability. It is trained with [`weighted_loss`], which
//! has one weight per label, the *training policy*, and decides with one threshold per label, the
//! *prediction policy*. Both come from a [`MetaLearner`], a recurrent network that is rewarded for
//! the classifier's behaviour on held-out documents ([`Reward`]) and trained by policy gradient.
//! [`shrink`] guards thresholds of labels with few documents; [`Hierarchy`] adds the labels implied
//! by decisions. Baselines are [`global_threshold`], [`label_thresholds`] and [`most_probable`];
//! metrics are [`LabelMetrics`], [`DocumentMetrics`] and [`PrecisionRecall`].
//!
//! The paper's authors published no files that could be found, and the paper's body could not be
//! read. The equations follow what is known of it; the bounded weights, the Gaussian policy in
//! logit space and the counterfactual reward are this project's reconstruction.
//! `docs/systems/multilabel.md` says which is which.
//!
//! ```
//! use bauta_multilabel::{MetaConfig, MetaLearner, Noise};
//! use bauta_backbones::Parameters;
//! use tch::{Device, Kind, Tensor};
//!
//! let mut parameters = Parameters::new(0, Device::Cpu);
//! let learner = MetaLearner::new(parameters.root().sub("meta"), &MetaConfig::new(5, 100))?;
//! // Without noise, an untrained learner is the plain baseline.
//! let action = learner.act(None);
//! assert_eq!(action.weights, Tensor::ones([5], (Kind::Float, Device::Cpu)));
//! assert_eq!(action.thresholds, Tensor::full([5], 0.5, (Kind::Float, Device::Cpu)));
//! # Ok::<(), bauta_multilabel::MultilabelError>(())
//! ```

mod classifier;
mod curve;
mod error;
mod guard;
mod hierarchy;
mod learner;
mod loss;
mod meta_config;
mod metrics;
mod network;
mod policy;
mod reward;
mod thresholds;
mod window;

pub use classifier::{Architecture, Classifier, ClassifierConfig, Words};
pub use curve::PrecisionRecall;
pub use error::MultilabelError;
pub use guard::{FEW, shrink};
pub use hierarchy::Hierarchy;
pub use learner::MetaLearner;
pub use loss::{inverse_frequency, keep_units, weighted_loss};
pub use meta_config::MetaConfig;
pub use metrics::{DocumentMetrics, LabelCounts, LabelMetrics, label_counts};
pub use policy::{Action, Noise, Policies, thresholds_of, weights_of};
pub use reward::{Credit, Reward, counterfactual_f1, probability_margin};
pub use thresholds::{decide, global_threshold, label_thresholds, most_probable};
// Re-exported because it is part of this crate's interface, so that users need no version of their
// own.
pub use ndarray;
