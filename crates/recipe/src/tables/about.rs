//! The `about` table: where a recipe comes from.

use serde::{Deserialize, Serialize};

use crate::reading::{Violation, non_negative};

/// Provenance: shown by `cargo xtask list` and at the head of the report.
///
/// A user's own recipe can leave out any key; the recipes of this workspace have them all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct About {
    /// One line on what the recipe does.
    pub summary: String,
    /// The paper, as `Authors, title, identifier`.
    pub paper: String,
    /// Expected minutes of training and evaluation on `machine`; 0 if unknown.
    pub minutes: f64,
    /// The machine on which `minutes` was measured.
    pub machine: String,
    /// Name of the main metric in `summary.json`, such as `linear_top1`.
    pub metric: String,
    /// Expected value of `metric`, if it has been measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<f64>,
}

impl About {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for a negative time.
    pub fn check(&self) -> Result<(), Violation> {
        non_negative("about.minutes", self.minutes)
    }
}
