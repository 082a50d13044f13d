//! The two splits of a data set of images, opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bauta_data::{
    DatasetName, Limited, Loader, LoaderConfig, OpenOptions, Source, Split, TestOrigin,
};

use crate::{EvalError, describe_splits};

/// The training images, and those to measure on.
pub struct Splits {
    /// What is trained on: the training split, up to a limit.
    pub train: Arc<dyn Source>,
    /// What is tested on: the whole test split of a recipe. Where there is none, the training
    /// images, to be shown and not to be measured on.
    pub test: Arc<dyn Source>,
    /// The origin of the test part.
    pub origin: TestOrigin,
    /// Notes on how the folder was interpreted, one sentence each.
    pub notes: Vec<String>,
}

impl Splits {
    /// Opens both splits of a data set that lies in `root` or else in the cache, unless `stop` is
    /// set before it is done, and keeps the first images of each up to its limit. Images without
    /// labels need no test split, because nothing is measured on them.
    ///
    /// # Errors
    /// When the data set is not there or not whole, its splits do not agree, or no test image can
    /// be decoded; the message says what to do.
    pub fn of(
        name: DatasetName,
        root: Option<&Path>,
        options: &OpenOptions,
        [train, test]: [Option<usize>; 2],
        stop: &AtomicBool,
    ) -> Result<Self, EvalError> {
        let root = root.map_or_else(|| cached(name), |root| Ok(root.to_owned()))?;
        let opened = bauta_data::open_splits_until(name, &root, options, stop)?;
        opened.notes.iter().for_each(|note| tracing::info!("{note}"));
        let (train, origin) = (limited(opened.train, train), opened.origin);
        let test = match opened.test {
            Some(images) => limited(images, test),
            // Says what the folder lacks.
            None if train.classes().len() >= 2 => bauta_data::open(name, Split::Test, &root)?,
            None => Arc::clone(&train),
        };
        check_readable(&test)?;
        Ok(Self { train, test, origin, notes: opened.notes })
    }

    /// Whether there are test images that nothing was trained on.
    pub fn held_out(&self) -> bool {
        self.origin != TestOrigin::None
    }

    /// Where they come from and how the folder was understood, in words.
    pub fn describe(&self) -> Vec<String> {
        let origin = describe_splits(&*self.train, &*self.test, self.origin);
        [origin].into_iter().chain(self.notes.iter().map(|note| format!("{note}."))).collect()
    }

    /// Whether the images are of two classes at least.
    pub fn are_labelled(&self) -> bool {
        self.train.classes().len() >= 2
    }

    /// The same splits with at most this many of the training images, the first.
    pub fn limited(&self, train: Option<usize>) -> Self {
        let (all, test) = (Arc::clone(&self.train), Arc::clone(&self.test));
        let notes = self.notes.clone();
        Self { train: limited(all, train), test, origin: self.origin, notes }
    }
}

/// Refuses images of which none can be decoded: what is trained could not be measured.
fn check_readable(test: &Arc<dyn Source>) -> Result<(), EvalError> {
    let config = LoaderConfig { threads: 1, ..LoaderConfig::new(1, 8, 8) };
    let loader = Loader::for_evaluation(Arc::clone(test), config)?;
    match loader.first()? {
        Some(_) => Ok(()),
        None => Err(EvalError::Unsuitable(format!(
            "none of the {} images to measure on can be decoded; the warnings name them and say why",
            test.len()
        ))),
    }
}

fn limited(source: Arc<dyn Source>, limit: Option<usize>) -> Arc<dyn Source> {
    match limit {
        Some(limit) => Arc::new(Limited::new(source, limit)),
        None => source,
    }
}

/// The folder of a fetched data set in the cache.
///
/// # Errors
/// When it is not there, or has no place in the cache.
pub fn cached(name: DatasetName) -> Result<PathBuf, EvalError> {
    let package = name.package().ok_or_else(|| {
        EvalError::Unsuitable(format!("{name} needs a root, the folder that it lies in"))
    })?;
    Ok(bauta_data::fetched(package, &bauta_data::cache_root()?)?)
}
