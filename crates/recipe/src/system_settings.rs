//! The traits of settings that a recipe can be read into.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::data_need::DataNeed;
use crate::reading::document::Node;
use crate::reading::{SettingsError, Violation, keys_of, read};
use crate::tables::{Teacher, Train};

/// The settings of one system: what its recipes hold in addition to `system`, `seed`, `about` and
/// `train`.
///
/// Derive `Deserialize` with `deny_unknown_fields`, and no `flatten`, which would lose the
/// places that errors name.
pub trait SystemSettings: Clone + Debug + PartialEq + Serialize + DeserializeOwned {
    /// The value of `system` in its recipes.
    const NAME: &'static str;

    /// Whether it trains transformer blocks that can be recomputed in the backward pass, so that
    /// `train.checkpoint_blocks` can be set.
    const CHECKPOINTS_BLOCKS: bool = false;

    /// Drops or fills in values that follow from others, before the checks.
    fn complete(&mut self) {}

    /// Checks what types cannot say; `train` has been checked.
    ///
    /// # Errors
    /// The first [`Violation`].
    fn check(&self, train: &Train) -> Result<(), Violation>;

    /// The data sets that a run reads.
    fn data(&self) -> Vec<DataNeed>;

    /// The teacher, if there is one.
    fn teacher(&self) -> Option<&Teacher> {
        None
    }
}

/// Settings that a recipe can be read into: those of one system, by [`SystemSettings`], or
/// [`Settings`](crate::Settings), those of whichever system the file names.
pub trait RecipeSettings: Clone + Debug + PartialEq + Serialize {
    /// The name of their system.
    fn system_name(&self) -> &'static str;
    /// As [`SystemSettings::CHECKPOINTS_BLOCKS`].
    fn checkpoints_blocks(&self) -> bool;
    /// As [`SystemSettings::data`].
    fn needs(&self) -> Vec<DataNeed>;
    /// As [`SystemSettings::teacher`].
    fn taught_by(&self) -> Option<&Teacher>;
    /// As [`SystemSettings::complete`].
    #[doc(hidden)]
    fn complete_all(&mut self);
    /// As [`SystemSettings::check`].
    #[doc(hidden)]
    fn check_all(&self, train: &Train) -> Result<(), Violation>;
    /// The keys of the system of that name; otherwise the known names.
    #[doc(hidden)]
    fn keys_for(system: &str) -> Result<Vec<String>, Vec<&'static str>>;
    /// Reads the settings, given a name that [`Self::keys_for`] accepted.
    #[doc(hidden)]
    fn read(system: &str, document: &Node, known_keys: &[String]) -> Result<Self, SettingsError>;
}

impl<S: SystemSettings> RecipeSettings for S {
    fn system_name(&self) -> &'static str {
        S::NAME
    }

    fn checkpoints_blocks(&self) -> bool {
        S::CHECKPOINTS_BLOCKS
    }

    fn needs(&self) -> Vec<DataNeed> {
        self.data()
    }

    fn taught_by(&self) -> Option<&Teacher> {
        self.teacher()
    }

    fn complete_all(&mut self) {
        self.complete();
    }

    fn check_all(&self, train: &Train) -> Result<(), Violation> {
        self.check(train)
    }

    fn keys_for(system: &str) -> Result<Vec<String>, Vec<&'static str>> {
        if system == S::NAME { Ok(keys_of::<S>("")) } else { Err(vec![S::NAME]) }
    }

    fn read(_: &str, document: &Node, known_keys: &[String]) -> Result<Self, SettingsError> {
        read(document, known_keys)
    }
}
