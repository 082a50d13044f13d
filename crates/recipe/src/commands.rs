//! Settings that commands take by `--set` alone, without a recipe.

mod clips;
mod dense;
mod evaluate;
mod finetune;

pub use clips::{
    ClipEvaluateSettings, ClipFineTuneProtocol, ClipFineTuneSettings, ClipWindow, LabelledClips,
    NamedData,
};
pub use dense::{DenseData, DenseHead, DenseSettings, DenseTrain};
pub use evaluate::{EvaluateData, EvaluateSettings};
pub use finetune::{FineTuneData, FineTuneMachine, FineTuneProtocol, FineTuneSettings};
