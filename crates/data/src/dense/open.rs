//! The splits of a dense task, opened together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bauta_datasets::{DataError, DatasetName, OnError, Split};

use super::look::any_labelled;
use super::{
    Ade20k, Coco, ComposedConfig, ComposedDigits, DenseSource, FirstScenes, check_dense_splits,
};
use crate::open;

/// The training and test images of a dense task.
pub struct DenseSplits {
    /// The images that heads are trained on.
    pub train: Arc<dyn DenseSource>,
    /// The images that they are evaluated on.
    pub test: Arc<dyn DenseSource>,
}

impl DenseSplits {
    /// Scenes of MNIST's digits on CIFAR-10's photos, each split from the same split of both.
    ///
    /// `config` describes the training split; `test` is the number of test scenes. `folder` returns
    /// the folder of a data set.
    ///
    /// # Errors
    /// When a data set is missing or incomplete, or a scene is too small for its digits.
    pub fn composed<E: From<DataError>>(
        config: &ComposedConfig,
        test: usize,
        folder: impl Fn(DatasetName) -> Result<PathBuf, E>,
    ) -> Result<Self, E> {
        let compose = |split, len| -> Result<Arc<dyn DenseSource>, E> {
            let read = |name| Ok::<_, E>(open(name, split, &folder(name)?)?);
            let (digits, photos) = (read(DatasetName::Mnist)?, read(DatasetName::Cifar10)?);
            let config = ComposedConfig { len, ..config.clone() };
            Ok(Arc::new(ComposedDigits::new(digits, photos, config)?))
        };
        Ok(Self { train: compose(Split::Train, config.len)?, test: compose(Split::Test, test)? })
    }

    /// A folder in ADE20K's layout, with the first images of each split up to its limit.
    ///
    /// The headers of these images are read, and their annotations decoded.
    ///
    /// # Errors
    /// When the folder is incomplete, its splits do not agree, a split has no label, or an image or
    /// annotation is invalid. Damaged ones are errors if `on_error` is [`OnError::Stop`].
    pub fn ade20k(root: &Path, limits: [usize; 2], on_error: OnError) -> Result<Self, DataError> {
        let open = |split| Ade20k::open(split, root);
        let [train, test] = [open(Split::Train)?, open(Split::Test)?];
        let labels = [&train, &test].map(|split| split.annotations().to_path_buf());
        let wanted = "labelled pixel (0 and 255 do not count)";
        Self::limited([Arc::new(train), Arc::new(test)], limits, on_error, labels, wanted)
    }

    /// The same for a folder in COCO's layout; no picture may claim more than `max_pixels` pixels.
    ///
    /// # Errors
    /// As [`Self::ade20k`].
    pub fn coco(
        root: &Path,
        max_pixels: u64,
        limits: [usize; 2],
        on_error: OnError,
    ) -> Result<Self, DataError> {
        let [train, test] = Coco::open_splits(root, max_pixels)?;
        let labels = [&train, &test].map(|split| split.annotations().to_path_buf());
        let wanted = "box (crowds do not count)";
        Self::limited([Arc::new(train), Arc::new(test)], limits, on_error, labels, wanted)
    }

    /// Keeps the first images, and checks all of them. `labels` are the files or folders that must
    /// have a `wanted` label.
    fn limited(
        [train, test]: [Arc<dyn DenseSource>; 2],
        limits: [usize; 2],
        on_error: OnError,
        labels: [PathBuf; 2],
        wanted: &str,
    ) -> Result<Self, DataError> {
        check_dense_splits(&*train, &*test)?;
        let [train, test] =
            [(train, limits[0]), (test, limits[1])].map(|(of, most)| FirstScenes::new(of, most));
        for (split, path) in [&train, &test].into_iter().zip(labels) {
            if !any_labelled(split, on_error)? {
                return Err(DataError::Absent {
                    path,
                    wanted: format!("{wanted} in the images that are used ({})", split.len()),
                    remedy: "name a folder whose splits both have labels".to_owned(),
                });
            }
        }
        Ok(Self { train: Arc::new(train), test: Arc::new(test) })
    }
}

#[cfg(test)]
mod tests;
