//! Errors in a search's settings, costs and features.

use thiserror::Error;

/// The reason why a search or a fitness cannot be computed.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum EvolveError {
    /// A setting outside its range.
    #[error("{name} is {value}; it {rule}")]
    Setting {
        /// The argument.
        name: &'static str,
        /// Its value.
        value: String,
        /// The allowed values.
        rule: String,
    },
    /// The number of costs does not match the number of candidates.
    #[error("{found} costs for {expected} candidates; give one per candidate, in the same order")]
    Costs {
        /// Number of costs.
        found: usize,
        /// Number of candidates.
        expected: usize,
    },
    /// Costs for a generation after the last.
    #[error("the search is over after {0} generations")]
    Over(u32),
    /// Features without finite distances.
    #[error("value {value} of sample {sample} is not finite")]
    NotFinite {
        /// The index of the sample.
        sample: usize,
        /// The index of the value in it.
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
