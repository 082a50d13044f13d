//! What makes a struct of tables the settings of a system.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::data_need::DataNeed;
use crate::reading::Violation;
use crate::tables::{Teacher, Train};

/// The settings of one system: what its recipes hold beside `system`, `seed`, `about` and
/// `train`.
///
/// Derive `Deserialize` with `deny_unknown_fields`, and no `flatten`, which would lose the
/// places that errors name.
pub trait SystemSettings: Clone + Debug + PartialEq + Serialize + DeserializeOwned {
    /// The name that a recipe's `system` has.
    const NAME: &'static str;

    /// Drops or fills in what follows from other values, before the checks.
    fn complete(&mut self) {}

    /// Checks what types cannot say; `train` has been checked.
    ///
    /// # Errors
    /// The first [`Violation`].
    fn check(&self, train: &Train) -> Result<(), Violation>;

    /// The data sets that a run reads.
    fn data(&self) -> Vec<DataNeed>;

    /// The network that teaches, if one does.
    fn teacher(&self) -> Option<&Teacher> {
        None
    }
}
