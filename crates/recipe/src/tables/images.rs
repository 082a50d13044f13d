//! The `data` table of systems that train on images.

use std::path::Path;

use bauta_datasets::{Augment, Channels, DataError, DatasetName, OnError, OpenOptions, SampleType};
use bauta_masking::{Grid, MaskError};
use serde::{Deserialize, Serialize};

use super::limits::{check_batch, count, within_limit};
use super::train::Train;
use crate::data_need::DataNeed;
use crate::reading::{Violation, at_least_one, ensure, must_be, proper_fraction};

/// The images to train and evaluate on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The data set.
    pub name: DatasetName,
    /// The folder of the data set; if not given, the data set is fetched to the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<std::path::PathBuf>,
    /// Train on only the first this many images of the training split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The fraction held out for evaluation if your own folder or shards have no test split, in
    /// (0, 1); chosen by path, the same in every run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout: Option<f64>,
    /// To choose settings by: measure on this fraction of the training images, in (0, 1), instead
    /// of the test split. They are not trained on, and are the same in every run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
    /// Channels of your own pictures.
    #[serde(default)]
    pub channels: Channels,
    /// The sample type of your own images: `uint16` keeps all levels of 16-bit PNG files, which are
    /// otherwise rounded to bytes; arrays (`.npy`) may be `uint16` or `float32` too and are taken
    /// as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_type: Option<SampleType>,
    /// Maximum number of pixels of your own files; 178956970 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_pixels: Option<u64>,
    /// Shorter side in pixels to which larger pictures of your own are shrunk when training first
    /// reads them; they are kept in a temporary file during the run. If not given, pictures are
    /// decoded again in every epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shrink: Option<usize>,
    /// Size of the model's input in pixels: one number for a square, or `[height, width]`.
    pub image_size: ImageSize,
    /// What happens when an image cannot be decoded.
    #[serde(default)]
    pub on_error: OnError,
    /// Augmentation of training images.
    #[serde(default)]
    pub augment: Augment,
}

/// Height and width in pixels, written as one number or as `[height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of pixels or [height, width]")]
pub enum ImageSize {
    /// Both sides.
    Square(usize),
    /// `[height, width]`.
    Rectangle([usize; 2]),
}

impl ImageSize {
    /// Height in pixels.
    pub fn height(self) -> usize {
        match self {
            Self::Square(side) => side,
            Self::Rectangle([height, _]) => height,
        }
    }

    /// Width in pixels.
    pub fn width(self) -> usize {
        match self {
            Self::Square(side) => side,
            Self::Rectangle([_, width]) => width,
        }
    }
}

impl ImageSize {
    /// Checks both sides.
    pub(crate) fn check(self, key: &str) -> Result<(), Violation> {
        count(key, self.height().min(self.width()))?;
        within_limit(key, self.height().max(self.width()) as f64)
    }
}

impl Data {
    /// How the data set is opened.
    pub fn options(&self) -> OpenOptions {
        let usual = OpenOptions::default();
        let max_pixels = self.max_pixels.unwrap_or(usual.max_pixels);
        let Self { holdout, validation, channels, sample_type, .. } = *self;
        OpenOptions { holdout, validation, max_pixels, channels, sample_type }
    }

    /// The token geometry of one image.
    ///
    /// # Errors
    /// [`MaskError`] when the image is not a whole number of patches.
    pub fn grid(&self, patch_size: usize) -> Result<Grid, MaskError> {
        Grid::of_image(self.image_size.height(), self.image_size.width(), patch_size)
    }

    /// The data to fetch: the data set, unless it lies in a folder of the user's.
    pub fn need(&self) -> DataNeed {
        let package = if self.root.is_none() { self.name.package() } else { None };
        DataNeed { name: self.name.into(), package }
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for impossible sizes or augmentations, a data set without a folder, or images
    /// that do not fill a step.
    pub fn check(&self, train: &Train) -> Result<(), Violation> {
        let parts = [("data.holdout", self.holdout), ("data.validation", self.validation)];
        for (key, part) in parts {
            part.map_or(Ok(()), |part| proper_fraction(key, part))?;
        }
        if let Some(pixels) = self.max_pixels {
            must_be(pixels > 0, "data.max_pixels", pixels, "at least 1")?;
        }
        let size = self.image_size;
        size.check("data.image_size")?;
        if let Some(side) = self.shrink {
            let least = size.height().max(size.width());
            let rule = format!("at least {least}, the longer side of data.image_size");
            must_be(side >= least, "data.shrink", side, &rule)?;
            within_limit("data.shrink", side as f64)?;
        }
        if let Some(limit) = self.limit {
            at_least_one("data.limit", limit)?;
        }
        check_augment(&self.augment, size)?;
        check_batch("train.batch_size", train.batch_size, size.height(), size.width())?;
        check_one_step(self.limit, train, "images")?;
        let fetched = self.name.package().is_some();
        check_root(self.root.as_deref(), fetched, self.name.into()).map_err(Violation::left_open)
    }
}

/// Checks that data that are not fetched have a folder of the user's.
pub(crate) fn check_root(root: Option<&Path>, fetched: bool, name: &str) -> Result<(), Violation> {
    ensure(root.is_some() || fetched, &["data.root", "data.name"], || {
        format!(
            "data.root is missing: data.name \"{name}\" reads your own folder; give it with --set \
             data.root=DIR"
        )
    })
}

/// An epoch takes whole steps only, so `data.limit` of these samples must fill at least one.
pub(crate) fn check_one_step(
    limit: Option<usize>,
    train: &Train,
    samples: &str,
) -> Result<(), Violation> {
    let Train { batch_size, accumulate, .. } = train;
    let step = batch_size.saturating_mul(*accumulate);
    let limit = limit.unwrap_or(usize::MAX);
    ensure(limit >= step, &["data.limit", "train.batch_size", "train.accumulate"], || {
        format!(
            "data.limit {limit} is less than one step of {step} {samples} \
             (train.batch_size {batch_size} × train.accumulate {accumulate})"
        )
    })
}

/// Checks a `data.augment` table for images of the given size.
pub(crate) fn check_augment(augment: &Augment, size: ImageSize) -> Result<(), Violation> {
    // The data set determines the channels; the settings do not depend on them.
    augment.check(3, size.height(), size.width()).map_err(|error| match error {
        DataError::Setting { key, value, rule } => {
            let key = match key {
                "image_size" | "height" | "width" => "data.image_size".to_owned(),
                argument => format!("data.augment.{argument}"),
            };
            Violation::new(&[&key, "data.image_size"], format!("{key} = {value}: {rule}"))
        }
        error => Violation::new(&["data.augment"], error.to_string()),
    })
}
