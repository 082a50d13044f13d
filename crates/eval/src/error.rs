//! What can be wrong with features, settings and pictures.

use std::path::PathBuf;

use thiserror::Error;

/// Unusable features or settings, or a picture that cannot be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A tensor of the wrong shape.
    #[error("{what}: shape {found:?}, expected {expected}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// Its shape.
        found: Vec<i64>,
        /// The shape that is wanted, in words.
        expected: String,
    },
    /// A tensor of the wrong kind.
    #[error("{what}: kind {found:?}, expected {expected}")]
    Kind {
        /// Which tensor.
        what: &'static str,
        /// Its kind.
        found: tch::Kind,
        /// The kinds that are wanted.
        expected: &'static str,
    },
    /// NaN or infinity where numbers are needed.
    #[error("{what}: {count} of {total} values are NaN or infinite")]
    NotFinite {
        /// Which tensor.
        what: &'static str,
        /// How many.
        count: i64,
        /// Of how many.
        total: i64,
    },
    /// A label that names no class.
    #[error("{split} labels run from {lowest} to {highest}; {classes} classes need 0 to {}", classes - 1)]
    Label {
        /// The split that holds it.
        split: &'static str,
        /// Smallest label.
        lowest: i64,
        /// Largest label.
        highest: i64,
        /// Number of classes.
        classes: i64,
    },
    /// More neighbours than reference samples.
    #[error("eval.knn.k is {k}, but there are only {references} training features; lower k")]
    Neighbours {
        /// Neighbours asked for.
        k: i64,
        /// Training features.
        references: i64,
    },
    /// A class with too few training samples for a part with so many of each.
    #[error(
        "class {class} has {found} training sample{}, {wanted} {} needed of each class",
        if *found == 1 { "" } else { "s" },
        if *wanted == 1 { "is" } else { "are" }
    )]
    TooFew {
        /// The class.
        class: usize,
        /// Its training samples.
        found: usize,
        /// Those that are wanted.
        wanted: usize,
    },
    /// A setting outside its range.
    #[error("{name} is {value}, it must be {expected}")]
    Setting {
        /// The recipe's key.
        name: &'static str,
        /// The value given.
        value: f64,
        /// Its range, in words.
        expected: &'static str,
    },
    /// A picture that cannot be encoded.
    #[error("cannot encode {path}: {source}")]
    Encode {
        /// Where it was to go.
        path: PathBuf,
        /// Why not.
        source: image::ImageError,
    },
    /// A file that cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}
