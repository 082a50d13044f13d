//! Errors of measuring, training and drawing.

use std::path::PathBuf;

use thiserror::Error;

/// Unusable features, images or settings, a stop, or a picture that cannot be written.
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
        /// A description of the expected shape.
        expected: String,
    },
    /// A tensor of the wrong kind.
    #[error("{what}: kind {found:?}, expected {expected}")]
    Kind {
        /// Which tensor.
        what: &'static str,
        /// Its kind.
        found: tch::Kind,
        /// The expected kinds.
        expected: &'static str,
    },
    /// NaN or infinity where numbers are needed.
    #[error("{what}: {count} of {total} values are NaN or infinite")]
    NotFinite {
        /// Which tensor.
        what: &'static str,
        /// Number of such values.
        count: i64,
        /// Number of values in all.
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
    #[error("k is {k}, but there are only {references} training features; lower k")]
    Neighbours {
        /// Neighbours asked for.
        k: i64,
        /// Training features.
        references: i64,
    },
    /// A class with too few training samples for a subset with `wanted` of each class.
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
        /// The number of samples needed.
        wanted: usize,
    },
    /// A setting outside its range.
    #[error("{name} is {value}; it must be {expected}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// The value given.
        value: f64,
        /// A description of its range.
        expected: &'static str,
    },
    /// Another error, with its context.
    #[error("{place}: {source}")]
    At {
        /// The measurement or protocol that failed.
        place: String,
        /// What went wrong.
        source: Box<Self>,
    },
    /// An error of the caller's function from pixels to features.
    #[error(transparent)]
    Encoder(Box<dyn std::error::Error + Send + Sync>),
    /// Images cannot be read.
    #[error(transparent)]
    Data(#[from] bauta_data::DataError),
    /// A mask cannot be drawn.
    #[error(transparent)]
    Mask(#[from] bauta_masking::MaskError),
    /// A model, or its folder.
    #[error(transparent)]
    Model(Box<bauta_backbones::ModelError>),
    /// Mixtures that do not fit together.
    #[error(transparent)]
    Target(#[from] bauta_targets::TargetError),
    /// Training that cannot start or continue.
    #[error(transparent)]
    Train(Box<bauta_train::TrainError>),
    /// Processes that measure together.
    #[error(transparent)]
    Ranks(#[from] bauta_train::RanksError),
    /// The request is inconsistent.
    #[error("{0}")]
    Unsuitable(String),
    /// Ended early by its watch.
    #[error("stopped while measuring")]
    Stopped,
    /// Training ended early by its watch, with a checkpoint.
    #[error("stopped at step {step} of training, checkpoint written")]
    TrainingStopped {
        /// Optimiser steps made.
        step: u64,
    },
    /// A picture that cannot be encoded.
    #[error("cannot encode {path}: {source}")]
    Encode {
        /// The file to write.
        path: PathBuf,
        /// Why not.
        source: image::ImageError,
    },
    /// A folder in which a training was begun with other settings.
    #[error(
        "{folder} was begun with other settings ({settings}); resume with the same arguments, \
         or name another folder"
    )]
    Begun {
        /// The folder.
        folder: PathBuf,
        /// The file with those settings.
        settings: PathBuf,
    },
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
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

// Boxed, because lists of names make them large.
impl From<bauta_backbones::ModelError> for EvalError {
    fn from(error: bauta_backbones::ModelError) -> Self {
        Self::Model(Box::new(error))
    }
}

impl From<bauta_train::TrainError> for EvalError {
    fn from(error: bauta_train::TrainError) -> Self {
        Self::Train(Box::new(error))
    }
}

impl EvalError {
    pub(crate) fn at(self, place: impl Into<String>) -> Self {
        Self::At { place: place.into(), source: Box::new(self) }
    }
}
