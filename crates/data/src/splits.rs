//! The two splits of a data set, opened together so that they agree.
//!
//! Labels of both are numbered by the training split's classes, matched by name. Splits that do not
//! match are refused here, before anything trains.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bauta_datasets::{DataError, DatasetName, Decoding, OpenOptions, SampleType, Split};

use crate::source::holdout::hold_out;
use crate::source::layout::several;
use crate::source::{Folder, Shards, Source, Statistics, cifar10, folder, mnist, shards};

/// Number of images that are measured if a data set's statistics are not known.
const MEASURED: usize = 10_000;

/// The origin of the images to evaluate on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TestOrigin {
    /// The data set has a test split.
    Own,
    /// This fraction of its images is held out, by the hash of their paths.
    HeldOut(f64),
    /// This fraction of its captions is held out, by the hash of their words.
    ByCaption(f64),
    /// This fraction of the training images, by the hash of their indices; the test split is not
    /// used.
    Validation(f64),
    /// There are none.
    None,
}

/// The images to train on and those to evaluate on, of the same classes.
pub struct Splits {
    /// The images to train on.
    pub train: Arc<dyn Source>,
    /// The images to evaluate on, none of which is trained on; `None` if the data set has no test
    /// split and nothing is held out.
    pub test: Option<Arc<dyn Source>>,
    /// The origin of the test part.
    pub origin: TestOrigin,
    /// Notes on how the folder was interpreted, one sentence each.
    pub notes: Vec<String>,
}

impl Splits {
    /// Uses these statistics to normalise both splits.
    ///
    /// # Panics
    /// When their number of channels differs.
    pub fn normalised_by(self, statistics: &Statistics) -> Self {
        let view = |source: Arc<dyn Source>| -> Arc<dyn Source> {
            Arc::new(crate::source::Normalised::new(source, statistics.clone()))
        };
        Self { train: view(self.train), test: self.test.map(view), ..self }
    }

    /// Evaluates on a part of the training images, which is no longer trained on.
    fn validated(self, fraction: f64) -> Result<Self, DataError> {
        let parts = hold_out(self.train, |index| index.to_le_bytes().to_vec(), fraction);
        let [train, test] = parts.map_err(|error| match error {
            DataError::Setting { value, rule, .. } => {
                DataError::Setting { key: "validation", value, rule }
            }
            other => other,
        })?;
        let (train, test) = (of_any(train), Some(of_any(test)));
        Ok(Self { train, test, origin: TestOrigin::Validation(fraction), ..self })
    }
}

/// Opens the splits of the data set in the folder `root`.
///
/// A [`DatasetName::Folder`] without `val`, `test` or the like has no test split; `options` can
/// then hold out a part.
///
/// # Errors
/// When the folder does not hold the data set, when a file of it is malformed, when the
/// splits do not agree on their classes, or when subfolders with pictures would be left out.
pub fn open_splits(
    name: DatasetName,
    root: &Path,
    options: &OpenOptions,
) -> Result<Splits, DataError> {
    open_splits_until(name, root, options, &AtomicBool::new(false))
}

/// Like [`open_splits`], but stops soon after `stop` is set.
///
/// # Errors
/// As [`open_splits`], and [`DataError::Stopped`].
pub fn open_splits_until(
    name: DatasetName,
    root: &Path,
    options: &OpenOptions,
    stop: &AtomicBool,
) -> Result<Splits, DataError> {
    let OpenOptions { holdout, validation, max_pixels, channels, sample_type } = *options;
    for (key, fraction) in [("holdout", holdout), ("validation", validation)] {
        if let Some(fraction) = fraction.filter(|fraction| !(*fraction > 0.0 && *fraction < 1.0)) {
            return Err(DataError::setting(key, fraction, "must be in (0, 1)"));
        }
    }
    let wide = sample_type.filter(|&wanted| wanted != SampleType::Uint8);
    if let Some(wanted) = wide.filter(|_| name != DatasetName::Folder) {
        let rule = format!(
            "images of data set {name} are read as uint8; only those of a folder can have another \
             type"
        );
        return Err(wanted.refuse(&rule));
    }
    let decoding = Decoding { max_pixels, channels, sample_type };
    let (mut notes, mut unmeasured) = (Vec::new(), false);
    let splits = match name {
        DatasetName::Folder => {
            let (train, test) = Folder::splits(root, decoding, &mut notes)?;
            unmeasured = train.wants_measuring();
            let train = Arc::new(train);
            let paths = Arc::clone(&train);
            let key = move |index| paths.relative(index).as_encoded_bytes().to_vec();
            divided(train, test.map(of_any), key, holdout, notes)
        }
        DatasetName::Shards => {
            let (train, test) = Shards::splits(root, decoding, &mut notes, stop)?;
            let train = Arc::new(train);
            let paths = Arc::clone(&train);
            divided(train, test.map(of_any), move |index| paths.relative(index), holdout, notes)
        }
        DatasetName::Cifar10 | DatasetName::Mnist | DatasetName::FashionMnist => {
            // In parallel: whole files are decoded, and there are few of them.
            let (train, test) = rayon::join(
                || official(name, Split::Train, root),
                || official(name, Split::Test, root),
            );
            Ok(Splits { train: train?, test: Some(test?), origin: TestOrigin::Own, notes })
        }
    };
    let splits = match validation {
        Some(fraction) => splits?.validated(fraction)?,
        None => splits?,
    };
    if !unmeasured {
        return Ok(splits);
    }
    // Nothing of what is held out is measured.
    let statistics = Statistics::measure_until(&*splits.train, MEASURED, stop)?;
    Ok(splits.normalised_by(&statistics))
}

/// Opens one split of the data set in the folder `root`.
///
/// `root` is what [`fetch`](crate::fetch) returned, or the user's own copy in the data set's
/// canonical layout; which of the two is detected. The labels of a test split are numbered by the
/// training split's classes.
///
/// # Errors
/// When the folder does not hold the data set, or a file of it is malformed.
pub fn open(name: DatasetName, split: Split, root: &Path) -> Result<Arc<dyn Source>, DataError> {
    match (name, split) {
        (DatasetName::Folder | DatasetName::Shards, Split::Test) => {
            let test = open_splits(name, root, &OpenOptions::default())?.test;
            test.ok_or_else(|| match name {
                DatasetName::Shards => shards::SHARDS.no_test(root),
                _ => folder::PICTURES.no_test(root),
            })
        }
        // A training split alone need not match anything.
        (DatasetName::Folder, Split::Train) => {
            let train = Folder::open(split, root)?;
            if !train.wants_measuring() {
                return Ok(Arc::new(train));
            }
            let statistics = Statistics::measure(&train, MEASURED)?;
            Ok(Arc::new(train.with_statistics(statistics)))
        }
        (DatasetName::Shards, Split::Train) => Ok(Arc::new(Shards::open(split, root)?)),
        _ => official(name, split, root),
    }
}

fn official(name: DatasetName, split: Split, root: &Path) -> Result<Arc<dyn Source>, DataError> {
    Ok(match name {
        DatasetName::Cifar10 => Arc::new(cifar10::open(split, root)?),
        DatasetName::Mnist => Arc::new(mnist::open(split, root)?),
        DatasetName::FashionMnist => Arc::new(mnist::open_fashion(split, root)?),
        DatasetName::Folder => Arc::new(Folder::open(split, root)?),
        DatasetName::Shards => Arc::new(Shards::open(split, root)?),
    })
}

fn of_any<S: Source + 'static>(source: S) -> Arc<dyn Source> {
    Arc::new(source)
}

/// Holds out a part if there is no test split and `holdout` is set.
fn divided(
    train: Arc<dyn Source>,
    test: Option<Arc<dyn Source>>,
    key: impl Fn(usize) -> Vec<u8>,
    holdout: Option<f64>,
    notes: Vec<String>,
) -> Result<Splits, DataError> {
    Ok(match (test, holdout) {
        (Some(test), _) => Splits { train, test: Some(test), origin: TestOrigin::Own, notes },
        (None, None) => Splits { train, test: None, origin: TestOrigin::None, notes },
        (None, Some(fraction)) => {
            let [train, test] = hold_out(train, key, fraction)?;
            let (train, test) = (of_any(train), Some(of_any(test)));
            Splits { train, test, origin: TestOrigin::HeldOut(fraction), notes }
        }
    })
}

/// Refuses two sources, of whatever origin, whose labels have different meanings.
///
/// # Errors
/// [`DataError::Setting`] when they differ in channels or sample type, when one has labels and the
/// other none, or when their classes are not the same in the same order.
pub fn check_splits(train: &dyn Source, test: &dyn Source) -> Result<(), DataError> {
    let refuse = |value: String, rule: String| Err(DataError::setting("test", value, rule));
    let (wanted, found) = (train.channels(), test.channels());
    if wanted != found {
        return refuse(format!("images of {found} channels"), format!("must have {wanted}"));
    }
    let (wanted, found) = (train.sample_type(), test.sample_type());
    if wanted != found {
        return refuse(format!("images of {found}"), format!("must hold {wanted}"));
    }
    check_classes(train.classes(), test.classes())
}

/// Refuses classes that are not the same in the same order.
pub(crate) fn check_classes(wanted: &[String], found: &[String]) -> Result<(), DataError> {
    if wanted == found {
        return Ok(());
    }
    let listed = |classes: &[String]| match classes.len() {
        0 => "no classes".to_owned(),
        count => format!("{count} classes ({})", several(classes)),
    };
    let rule = format!("must be those of the training images, {}", listed(wanted));
    Err(DataError::setting("test", listed(found), rule))
}
