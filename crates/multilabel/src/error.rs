//! Errors in this crate's arguments.

/// An error of this crate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultilabelError {
    /// An argument has a value that it cannot have.
    #[error("{argument} = {value}: {rule}")]
    Argument {
        /// Its name.
        argument: &'static str,
        /// Its value.
        value: String,
        /// What values it can have.
        rule: String,
    },
    /// A label's ancestors lead back to it.
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
