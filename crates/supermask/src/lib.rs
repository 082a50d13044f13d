//! Subnetworks of one shared network, one mask per task: continual learning without forgetting.
//!
//! SupSup keeps random weights frozen and learns scores, of which the largest select a task's mask.
//! ExSSNeT (arXiv 2210.10209) then trains the weights that are kept by the new mask and by no
//! earlier one, so the outputs of earlier tasks never change; SSNeT, its ablation, trains all
//! weights that the mask keeps, and forgets. A mask keeps a fraction of each layer, its
//! [`Density`].
//!
//! A [`Learner`] is such a network with its tasks. It has no data, optimiser or clock: the caller
//! computes [`Learner::logits`], passes gradients to [`Learner::restrict`] and makes the steps. The
//! guarantee of no forgetting depends on these steps too: they need an optimiser without weight
//! decay and with a fresh state in each stage, so that a gradient of zero gives a step of zero.
//!
//! ```
//! use bauta_supermask::{Density, Editing, Learner, LearnerConfig, WeightStart};
//! use bauta_backbones::BareConfig;
//! use tch::{Device, Kind, Tensor};
//!
//! let config = LearnerConfig {
//!     network: BareConfig::Mlp { inputs: 16, hidden: vec![32] },
//!     classes: 2,
//!     heads: None,
//!     density: Some(Density::new(0.1)?),
//!     start: WeightStart::SignedConstant,
//!     keep_scores: false,
//! };
//! let mut learner = Learner::new(config, 0, Device::Cpu)?;
//! let inputs = Tensor::ones([4, 16], (Kind::Float, Device::Cpu));
//! for task in 0..3 {
//!     learner.begin(task)?;
//!     learner.learn_masks(); // … steps on the scores …
//!     learner.learn_weights(Editing::Exclusive); // … steps on the weights …
//!     learner.finish();
//! }
//! assert_eq!(learner.view(1)?.logits(&inputs)?.size(), [4, 2]);
//! assert_eq!(learner.mask_bytes(), 3 * (32 * 16 / 8 + 2 * 32 / 8));
//! # Ok::<(), bauta_supermask::SupermaskError>(())
//! ```

mod best;
mod capacity;
mod checkpoint;
mod config;
mod density;
mod elastic;
mod error;
mod learner;
mod mask;
mod packed;
mod starting;
mod transfer;
mod view;

pub use capacity::{LayerUse, TaskUse};
pub use config::{Editing, LearnerConfig};
pub use density::Density;
pub use elastic::Elastic;
pub use error::SupermaskError;
pub use learner::Learner;
pub use mask::{exclusive, straight_through, top_mask};
pub use packed::PackedMask;
pub use starting::{WeightStart, score_start};
pub use transfer::{Donation, Transfer};
pub use view::{View, check_labels};
// Re-exported because it is part of this crate's interface, so that users need no version of their
// own.
pub use bauta_backbones as backbones;
