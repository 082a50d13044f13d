//! Errors in a search's settings, costs and features.

use thiserror::Error;

/// Why a search or a fitness cannot be.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum EvolveError {
    /// A setting outside its range.
    #[error("{name} is {value}; it {rule}")]
    Setting {
        /// The argument.
        name: &'static str,
        /// What it is.
        value: String,
        /// What it must be.
        rule: String,
    },
    /// Costs that are not one for each candidate.
    #[error("{found} costs for {expected} candidates; give one per candidate, in the same order")]
    Costs {
        /// Costs told.
        found: usize,
        /// Candidates asked about.
        expected: usize,
    },
    /// Costs for a generation after the last.
    #[error("the search is over after {0} generations")]
    Over(u32),
    /// Features without finite distances.
    #[error("value {value} of sample {sample} is not finite")]
    NotFinite {
        /// The sample.
        sample: usize,
        /// The place in it.
        value: usize,
    },
}

impl EvolveError {
    /// A setting outside its range.
    pub(crate) fn setting(
        name: &'static str,
        value: impl ToString,
        rule: impl Into<String>,
    ) -> Self {
        Self::Setting { name, value: value.to_string(), rule: rule.into() }
    }
}
