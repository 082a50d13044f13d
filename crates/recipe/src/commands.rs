//! Settings that commands take by `--set` alone, without a recipe.

mod dense;
mod evaluate;
mod finetune;

pub use dense::{DenseData, DenseHead, DenseSettings, DenseTrain};
pub use finetune::{FineTuneData, FineTuneMachine, FineTuneProtocol, FineTuneSettings};
