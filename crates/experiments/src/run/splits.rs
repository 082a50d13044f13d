//! The splits that a recipe names, opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use bauta_data::{DatasetName, Limited, Source, Split};
use bauta_recipe::Data;

/// The official training and test images.
pub struct Splits {
    /// What is trained on: the training split, up to `data.limit`.
    pub train: Arc<dyn Source>,
    /// What is tested on: the whole test split of a recipe.
    pub test: Arc<dyn Source>,
}

impl Splits {
    /// Opens both splits of a recipe's data.
    ///
    /// # Errors
    /// When the data set is not there or not whole; the message says how to get it.
    pub fn open(data: &Data) -> Result<Self> {
        Self::of(data.name, data.root.as_deref(), [data.limit, None])
    }

    /// Opens both splits of a data set that lies in `root` or else in the cache,
    /// and keeps the first images of each up to its limit.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of(name: DatasetName, root: Option<&Path>, limits: [Option<usize>; 2]) -> Result<Self> {
        let root = match root {
            Some(root) => root.to_owned(),
            None => cached(name)?,
        };
        let open = |split, limit| -> Result<Arc<dyn Source>> {
            let source = bauta_data::open(name, split, &root)?;
            Ok(match limit {
                Some(limit) => Arc::new(Limited::new(source, limit)),
                None => source,
            })
        };
        let [train, test] = limits;
        Ok(Self { train: open(Split::Train, train)?, test: open(Split::Test, test)? })
    }

    /// Whether the images are of two classes at least.
    pub fn are_labelled(&self) -> bool {
        self.train.classes().len() >= 2
    }

    /// The same splits with at most so many of the training images, the first.
    pub fn limited(&self, train: Option<usize>) -> Self {
        let (all, test) = (Arc::clone(&self.train), Arc::clone(&self.test));
        let train = match train {
            Some(limit) => Arc::new(Limited::new(all, limit)),
            None => all,
        };
        Self { train, test }
    }
}

/// Where the cache holds a data set; `cargo xtask run` has fetched it by now.
pub fn cached(name: DatasetName) -> Result<PathBuf> {
    let package = name
        .package()
        .with_context(|| format!("{name} needs a root, the folder that it lies in"))?;
    bauta_data::locate(package, &bauta_data::cache_root()?).with_context(|| {
        format!("{name} is not in the data cache; run `cargo xtask data fetch {name}`")
    })
}
