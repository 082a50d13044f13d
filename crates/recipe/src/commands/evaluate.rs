//! The settings of evaluation without a recipe: its `eval` table alone.

use serde::Deserialize;

use crate::reading::{Checked, SettingsError, Violation, overrides};
use crate::tables::{Eval, Protocol};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EvaluateSettings {
    eval: Eval,
}

impl Checked for EvaluateSettings {
    fn check(&self) -> Result<(), Violation> {
        self.eval.check()
    }
}

impl Eval {
    /// The defaults under overrides of `eval` keys, `key=value` each: how a model is
    /// evaluated without a recipe.
    ///
    /// # Errors
    /// [`SettingsError`], which names the override and what would do; other keys than those
    /// of `eval` are unknown.
    pub fn from_overrides(set: &[String]) -> Result<Self, SettingsError> {
        overrides::<EvaluateSettings>("evaluation", set).map(|settings| settings.eval)
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
