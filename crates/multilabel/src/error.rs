//! Errors in this crate's arguments.

/// An error of this crate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultilabelError {
    /// An invalid value of an argument.
    #[error("{argument} = {value}: {rule}")]
    Argument {
        /// Its name.
        argument: &'static str,
        /// Its value.
        value: String,
        /// The allowed values.
        rule: String,
    },
    /// A label that is among its own ancestors.
    #[error("label {label} is its own ancestor; a hierarchy must not have cycles")]
    Circle {
        /// The label's number.
        label: usize,
    },
}

impl MultilabelError {
    pub(crate) fn argument(
        argument: &'static str,
        value: impl ToString,
        rule: impl ToString,
    ) -> Self {
        Self::Argument { argument, value: value.to_string(), rule: rule.to_string() }
    }
}
