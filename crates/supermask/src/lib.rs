//! Subnetworks of one shared network, one mask per task: continual learning without forgetting.
//!
//! SupSup learns, over frozen random weights, scores whose largest make a task's mask.
//! ExSSNeT (arXiv 2210.10209) then trains the weights that the new mask keeps and no earlier
//! one does, so what earlier tasks compute never changes; SSNeT, its ablation, trains all that
//! the mask keeps, and forgets. A mask keeps a fraction of each layer, its [`Density`].
//!
//! A [`Learner`] is such a network with its tasks. It knows no data, optimiser or clock:
//! whoever trains it takes [`Learner::logits`], hands gradients to [`Learner::restrict`] and
//! steps. No forgetting rests on that step, too: no weight decay, and an optimiser whose state
//! is new in each stage, so that a gradient of zero is a step of zero.
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
// Part of this crate's interface, so that its users need no version of their own.
pub use bauta_backbones as backbones;
