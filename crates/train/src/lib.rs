//! Training: step loop, optimiser, schedules, precision, exact resume, metrics.
//!
//! [`fit`] takes an [`Objective`] (one system's step) and a feed of prepared
//! inputs, and leaves a run folder with metrics and checkpoints. A run that is
//! interrupted at any instant goes on from its last checkpoint and ends, on the
//! CPU with the same number of threads, with bit-identical weights.

mod checkpoint;
mod drop_path;
mod ema;
mod error;
mod groups;
mod metrics;
mod mix;
mod objective;
mod optimizer;
mod schedule;
mod step;
mod trainer;

pub use checkpoint::{Checkpoints, Progress};
pub use drop_path::{DROP_PATH, draw_drop_path};
pub use ema::Ema;
pub use error::TrainError;
pub use groups::{LayerDecay, ParameterGroup, is_decayed};
pub use metrics::{MetricsLog, Record};
pub use mix::{Mix, MixConfig, soft_cross_entropy};
pub use objective::Objective;
pub use optimizer::{AdamWConfig, Optimizer};
pub use schedule::Schedule;
pub use step::StepMaker;
pub use trainer::{Event, Outcome, Precision, Stage, TrainConfig, fit};
