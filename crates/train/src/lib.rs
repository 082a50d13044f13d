//! Training: phases, step loop, optimisers, schedules, precision, exact resume, metrics.
//!
//! An [`Objective`] turns an input into a [`Loss`] with named parts; inputs are of any type that
//! a [`Prefetcher`](bauta_data::Prefetcher) or a loader produces. A [`Trainer`] takes an objective
//! and a feed of its inputs through the [`Phase`]s of a run, and leaves a run folder with
//! metrics and checkpoints. A run that is interrupted at any instant resumes from its last
//! checkpoint; on the CPU with the same number of threads, its final weights are bit-identical.
//!
//! `examples/own_objective.rs` trains a custom objective on custom inputs in fifty lines.

mod checkpoint;
mod checkpoints;
mod config;
mod drop_path;
mod ema;
mod error;
mod gradients;
mod groups;
mod host;
mod loss;
mod masked;
mod mix;
mod objective;
mod optimizer;
mod phase;
mod progress;
mod ranks;
mod schedule;
mod shards;
mod sizes;
mod step;
mod timing;
mod trainer;
mod window;

pub use config::{Precision, TrainConfig};
pub use drop_path::{DROP_PATH, draw_drop_path};
pub use ema::Ema;
pub use error::TrainError;
pub use gradients::Gradients;
pub use groups::{LayerDecay, ParameterGroup, is_decayed};
pub use host::{HostArray, host_tensor};
pub use loss::{Loss, Reference};
pub use masked::{MaskedImages, Masking};
pub use mix::{Mix, MixConfig, soft_cross_entropy};
pub use objective::{Objective, ObjectiveError};
pub use optimizer::{Optimizer, OptimizerConfig, Rule};
pub use phase::{End, Phase, Start};
pub use progress::Progress;
pub use ranks::{Ranks, RanksError, Variables};
pub use schedule::{Schedule, Shape};
pub use sizes::step_sizes;
pub use step::{Readings, StepMaker};
pub use timing::{StepTimes, WARM_UP, time_steps};
pub use trainer::{Event, Standing, Trainer};
// Part of this crate's interface (`Objective::config`), re-exported so that users get this version.
pub use serde_json;
