//! The splits of a dense task, opened together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bauta_datasets::{DataError, DatasetName, Split};

use super::{
    Ade20k, Coco, ComposedConfig, ComposedDigits, DenseSource, FirstScenes, check_dense_splits,
};
use crate::open;

/// The training and test images of a dense task.
pub struct DenseSplits {
    /// What heads are trained on.
    pub train: Arc<dyn DenseSource>,
    /// What they are measured on.
    pub test: Arc<dyn DenseSource>,
}

impl DenseSplits {
    /// Scenes of MNIST's digits on CIFAR-10's photos, each split's of its own: as `config`
    /// says of the training split, and `test` scenes to measure on. The two data sets lie in
    /// the folders that `folder` says.
    ///
    /// # Errors
    /// When one of them is not there or not whole, or a scene is too small for its digits.
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

    /// A folder of ADE20K's form, and the first images of each split up to its limit.
    ///
    /// # Errors
    /// When the folder is not whole or its splits do not agree.
    pub fn ade20k(root: &Path, limits: [usize; 2]) -> Result<Self, DataError> {
        let open = |split| Ade20k::open(split, root);
        let [train, test] = [open(Split::Train)?, open(Split::Test)?];
        Self::limited([Arc::new(train), Arc::new(test)], limits)
    }

    /// A folder of COCO's form, likewise; no picture may claim more than `max_pixels` pixels.
    ///
    /// # Errors
    /// As [`Self::ade20k`].
    pub fn coco(root: &Path, max_pixels: u64, limits: [usize; 2]) -> Result<Self, DataError> {
        let [train, test] = Coco::open_splits(root, max_pixels)?;
        Self::limited([Arc::new(train), Arc::new(test)], limits)
    }

    fn limited(
        [train, test]: [Arc<dyn DenseSource>; 2],
        [most, most_test]: [usize; 2],
    ) -> Result<Self, DataError> {
        check_dense_splits(&*train, &*test)?;
        let train = Arc::new(FirstScenes::new(train, most));
        Ok(Self { train, test: Arc::new(FirstScenes::new(test, most_test)) })
    }
}
