//! The `stages` table: bootstrapping (dBOT §3).

use serde::{Deserialize, Serialize};

use super::limits::count;
use crate::reading::Violation;

/// Stages of training: each trains a new student, taught by the previous one (dBOT §3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stages {
    /// Number of stages of `train.epochs` each.
    pub count: u32,
    /// Reset the optimiser's moments in each stage; the reference keeps the old student's.
    pub reset_optimizer: bool,
}

impl Default for Stages {
    fn default() -> Self {
        Self { count: 2, reset_optimizer: true }
    }
}

impl Stages {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for no stages.
    pub fn check(&self) -> Result<(), Violation> {
        count("stages.count", self.count as usize)
    }
}
