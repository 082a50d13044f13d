//! Opening the two splits of an image data set.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bauta_data::{
    DatasetName, Limited, Loader, LoaderConfig, OpenOptions, Source, Split, Subset, TestOrigin,
};

use crate::{EvalError, describe_splits};

/// The training images, and the images to measure on.
pub struct Splits {
    /// The images to train on: the training split, up to a limit.
    pub train: Arc<dyn Source>,
    /// The images to measure on: the test split, up to a limit. If there is none, the training
    /// images, which are to be displayed but not measured on.
    pub test: Arc<dyn Source>,
    /// The origin of the test images.
    pub origin: TestOrigin,
    /// Notes on how the folder was interpreted, one sentence each.
    pub notes: Vec<String>,
}

impl Splits {
    /// Opens both splits of a data set in `root`, or else in the cache, and keeps the first images
    /// of each up to its limit; setting `stop` ends it early.
    ///
    /// Images without labels need no test split, because nothing is measured on them.
    ///
    /// # Errors
    /// When the data set is missing or incomplete, its splits do not agree, or no test image can
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
            // The error says what the folder lacks.
            None if train.classes().len() >= 2 => bauta_data::open(name, Split::Test, &root)?,
            None => Arc::clone(&train),
        };
        check_readable(&test)?;
        Ok(Self { train, test, origin, notes: opened.notes })
    }

    /// Whether there are test images that are not trained on.
    pub fn held_out(&self) -> bool {
        self.origin != TestOrigin::None
    }

    /// Sentences on the origin of the splits and on how the folder was interpreted.
    pub fn describe(&self) -> Vec<String> {
        let origin = describe_splits(&*self.train, &*self.test, self.origin);
        [origin].into_iter().chain(self.notes.iter().map(|note| format!("{note}."))).collect()
    }

    /// Whether the images have at least two classes.
    pub fn are_labelled(&self) -> bool {
        self.train.classes().len() >= 2
    }

    /// The same splits with at most `train` training images, spread evenly over the classes.
    pub fn limited(&self, train: Option<usize>) -> Self {
        let (all, test) = (Arc::clone(&self.train), Arc::clone(&self.test));
        let notes = self.notes.clone();
        let train: Arc<dyn Source> = match train {
            Some(limit) => Arc::new(Subset::spread(all, limit)),
            None => all,
        };
        Self { train, test, origin: self.origin, notes }
    }
}

/// Refuses test images of which none can be decoded, so that nothing could be measured.
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
/// When it has not been fetched, or is a data set that cannot be fetched.
pub fn cached(name: DatasetName) -> Result<PathBuf, EvalError> {
    let package = name.package().ok_or_else(|| {
        EvalError::Unsuitable(format!("{name} needs a root, the folder that it lies in"))
    })?;
    Ok(bauta_data::fetched(package, &bauta_data::cache_root()?)?)
}

#[cfg(test)]
mod tests {
    use bauta_data::{InMemory, Statistics};

    use super::*;

    /// Folders list their images class after class.
    #[test]
    fn fewer_images_to_train_on_are_of_all_classes() {
        let classes = ["cat", "dog", "owl"].map(str::to_owned).to_vec();
        let labels: Vec<u8> = (0..12).map(|at| at / 4).collect();
        let images =
            InMemory::new("pets", [1, 1, 1], vec![0; 12], labels, classes, Statistics::MNIST);
        let images: Arc<dyn Source> = Arc::new(images.unwrap());
        let (train, test) = (Arc::clone(&images), images);
        let splits = Splits { train, test, origin: TestOrigin::Own, notes: Vec::new() };
        let few = splits.limited(Some(6)).train;
        let kept: Vec<Option<u32>> = (0..few.len()).map(|at| few.label(at)).collect();
        assert_eq!(kept, [0, 0, 1, 1, 2, 2].map(Some));
        assert_eq!(splits.limited(None).train.len(), 12);
    }
}
