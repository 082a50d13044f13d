//! Differences between a checkpoint and a model, by the names of tensors.

use std::fmt;

use tch::Kind;

/// Differences that keep a checkpoint from being loaded into a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Names that the model has and the file lacks.
    pub missing: Vec<String>,
    /// Names that the file has and the model lacks.
    pub unexpected: Vec<String>,
    /// Names with the file's shape and the model's.
    pub misshaped: Vec<(String, Vec<i64>, Vec<i64>)>,
    /// Names of tensors whose type in the file is not a floating-point type.
    pub mistyped: Vec<(String, Kind)>,
}

impl Mismatch {
    /// Whether the checkpoint fits the model.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
            && self.unexpected.is_empty()
            && self.misshaped.is_empty()
            && self.mistyped.is_empty()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (what, names) in [("missing", &self.missing), ("unexpected", &self.unexpected)] {
            if !names.is_empty() {
                parts.push(format!("{what} {}", names.join(", ")));
            }
        }
        for (name, file, model) in &self.misshaped {
            parts.push(format!("{name}: file has {file:?}, model expects {model:?}"));
        }
        for (name, kind) in &self.mistyped {
            parts.push(format!("{name}: file has {kind:?}, model expects floating-point numbers"));
        }
        f.write_str(&parts.join("; "))
    }
}
