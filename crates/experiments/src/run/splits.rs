//! The splits that a recipe names, opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use bauta_data::{DatasetName, Limited, OpenOptions, Source, Split};
use bauta_recipe::Data;

/// The training images, and those to measure on.
pub struct Splits {
    /// What is trained on: the training split, up to `data.limit`.
    pub train: Arc<dyn Source>,
    /// What is tested on: the whole test split of a recipe. Where there is none, the training
    /// images, to be shown and not to be measured on.
    pub test: Arc<dyn Source>,
    /// Whether `test` are images that nothing was trained on.
    pub held_out: bool,
}

impl Splits {
    /// Opens both splits of a recipe's data. A user's own images without labels need no test
    /// split, because nothing is measured on them.
    ///
    /// # Errors
    /// When the data set is not there or not whole, or its splits do not agree; the message
    /// says what to do.
    pub fn open(data: &Data) -> Result<Self> {
        let (name, root) = (data.name, data.root.as_deref());
        let opened = opened(name, root)?;
        if opened.test.is_none() && opened.train.classes().len() < 2 {
            tracing::info!("{name}: no held-out images, so nothing is measured on them");
            let train = limited(opened.train, data.limit);
            return Ok(Self { test: Arc::clone(&train), train, held_out: false });
        }
        Self::of(name, root, [data.limit, None])
    }

    /// Opens both splits of a data set that lies in `root` or else in the cache,
    /// and keeps the first images of each up to its limit.
    ///
    /// # Errors
    /// As [`Self::open`], and when there is no test split.
    pub fn of(name: DatasetName, root: Option<&Path>, limits: [Option<usize>; 2]) -> Result<Self> {
        let opened = opened(name, root)?;
        let test = match (opened.test, root) {
            (Some(test), _) => test,
            // Says what the folder lacks.
            (None, Some(root)) => bauta_data::open(name, Split::Test, root)?,
            (None, None) => anyhow::bail!("{name} has no test split"),
        };
        let [train, test] = [(opened.train, limits[0]), (test, limits[1])]
            .map(|(source, limit)| limited(source, limit));
        Ok(Self { train, test, held_out: true })
    }

    /// Whether the images are of two classes at least.
    pub fn are_labelled(&self) -> bool {
        self.train.classes().len() >= 2
    }

    /// The same splits with at most so many of the training images, the first.
    pub fn limited(&self, train: Option<usize>) -> Self {
        let test = Arc::clone(&self.test);
        Self { train: limited(Arc::clone(&self.train), train), test, held_out: self.held_out }
    }
}

fn opened(name: DatasetName, root: Option<&Path>) -> Result<bauta_data::Splits> {
    let root = match root {
        Some(root) => root.to_owned(),
        None => cached(name)?,
    };
    let opened = bauta_data::open_splits(name, &root, &OpenOptions::default())?;
    opened.notes.iter().for_each(|note| tracing::info!("{note}"));
    Ok(opened)
}

fn limited(source: Arc<dyn Source>, limit: Option<usize>) -> Arc<dyn Source> {
    match limit {
        Some(limit) => Arc::new(Limited::new(source, limit)),
        None => source,
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
