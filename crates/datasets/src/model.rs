//! The trained models that a recipe can name as teachers, and their files.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

use crate::error::DataError;
use crate::fetch::{PACKAGES, Package, fetched};

/// A trained model, by the name that recipes and commands use.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    Display,
    IntoStaticStr,
    VariantArray,
)]
pub enum ModelName {
    /// A convolutional classifier of ImageNet's 1000 classes (arXiv 1905.11946).
    #[serde(rename = "efficientnet-lite0")]
    #[strum(serialize = "efficientnet-lite0")]
    EfficientNetLite0,
}

impl ModelName {
    /// Its package.
    pub fn package(self) -> &'static Package {
        let mut packages = PACKAGES.iter();
        packages
            .find(|package| package.name == <&str>::from(self))
            .expect("every model has its row")
    }

    /// The file of its weights in the cache folder `root`, once it has been fetched.
    ///
    /// # Errors
    /// [`DataError::Absent`] when it is missing or incomplete; the message says how to fetch it.
    pub fn weights(self, root: &Path) -> Result<PathBuf, DataError> {
        Ok(fetched(self.package(), root)?.join(match self {
            Self::EfficientNetLite0 => "efficientnet-lite0-57934424.pth",
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_recipes_write_and_have_a_row() {
        for &name in ModelName::VARIANTS {
            let written = serde_json::to_string(&name).unwrap();
            assert_eq!(written, format!("\"{name}\""));
            assert_eq!(name.package().name, <&str>::from(name));
        }
    }

    #[test]
    fn an_absent_model_says_how_it_comes() {
        let root = tempfile::tempdir().unwrap();
        for &name in ModelName::VARIANTS {
            let error = name.weights(root.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("cargo xtask data fetch {name}")), "{error}");
        }
    }
}
