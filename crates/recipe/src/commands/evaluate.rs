//! The settings of evaluation without a recipe: where the images lie, and its `eval` table.

use std::path::PathBuf;

use serde::Deserialize;

use crate::reading::{Checked, SettingsError, Violation, overrides, proper_fraction};
use crate::tables::{Eval, Protocol};

/// The settings of the command that evaluates a model on images, as dotted keys with the same
/// meaning as in a recipe.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateSettings {
    /// The images.
    pub data: EvaluateData,
    /// The protocols.
    pub eval: Eval,
}

/// `data` of [`EvaluateSettings`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateData {
    /// A folder that holds the data set; its cache if not given.
    pub root: Option<PathBuf>,
    /// The fraction held out for evaluation if a folder has no test split, in (0, 1), as in its
    /// recipe.
    pub holdout: Option<f64>,
}

impl Checked for EvaluateSettings {
    fn check(&self) -> Result<(), Violation> {
        self.data.holdout.map_or(Ok(()), |part| proper_fraction("data.holdout", part))?;
        self.eval.check()
    }
}

impl EvaluateSettings {
    /// Reads overrides, `key=value`, over the defaults.
    ///
    /// # Errors
    /// [`SettingsError`], which names the override and what is accepted.
    pub fn parse(set: &[String]) -> Result<Self, SettingsError> {
        overrides("evaluation", set)
    }
}

impl Protocol {
    /// The protocols that a command names, each once, in the order of their first mention.
    ///
    /// ```
    /// use bauta_recipe::Protocol::{self, Knn, Linear};
    /// assert_eq!(Protocol::each_once(&[Linear, Knn, Linear]), [Linear, Knn]);
    /// ```
    pub fn each_once(named: &[Self]) -> Vec<Self> {
        let first = |(at, protocol): &(usize, &Self)| !named[..*at].contains(protocol);
        named.iter().enumerate().filter(first).map(|(_, &protocol)| protocol).collect()
    }
}
