//! The splits that a recipe names, opened.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use bauta_data::{DatasetName, Limited, Source, Split};
use bauta_recipe::Data;

/// The official training and test images.
pub struct Splits {
    /// What is trained on: the training split, up to `data.limit`.
    pub train: Arc<dyn Source>,
    /// What is tested on: the whole test split.
    pub test: Arc<dyn Source>,
}

impl Splits {
    /// Opens both splits.
    ///
    /// # Errors
    /// When the data set is not there or not whole; the message says how to get it.
    pub fn open(data: &Data) -> Result<Self> {
        let root = match &data.root {
            Some(root) => root.clone(),
            None => cached(data.name)?,
        };
        let open = |split| bauta_data::open(data.name, split, &root);
        let train = open(Split::Train)?;
        let train = match data.limit {
            Some(limit) => Arc::new(Limited::new(train, limit)),
            None => train,
        };
        Ok(Self { train, test: open(Split::Test)? })
    }
}

/// Where the cache holds a data set; `cargo xtask run` has fetched it by now.
pub(crate) fn cached(name: DatasetName) -> Result<PathBuf> {
    let package = name
        .package()
        .with_context(|| format!("data.name {name} needs data.root, the folder it lies in"))?;
    bauta_data::locate(package, &bauta_data::cache_root()?).with_context(|| {
        format!("{name} is not in the data cache; run `cargo xtask data fetch {name}`")
    })
}
