//! The splits of a dense task, opened.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use bauta_data::dense::{
    Ade20k, Coco, ComposedConfig, ComposedDigits, DenseSource, FirstScenes, check_dense_splits,
};
use bauta_data::{DatasetName, OpenOptions, Source, Split};
use bauta_recipe::DenseSettings;

use super::{DenseArguments, DenseData};
use crate::run::cached;

/// The training and test images of a dense task.
pub struct DenseSplits {
    /// What heads are trained on.
    pub train: Arc<dyn DenseSource>,
    /// What they are measured on.
    pub test: Arc<dyn DenseSource>,
}

impl DenseSplits {
    /// Opens both splits; composed scenes are `size` pixels on a side.
    pub fn open(arguments: &DenseArguments, settings: &DenseSettings, size: usize) -> Result<Self> {
        let root = || {
            let root = arguments.root.as_deref();
            root.context("--root is needed: the folder that the data lie in")
        };
        let [train, test]: [Arc<dyn DenseSource>; 2] = match arguments.data {
            DenseData::ComposedDigits => {
                let open = |split, limit| {
                    composed(arguments.root.as_deref(), settings, split, limit, size)
                };
                let (train, test) = (settings.data.limit, settings.data.test_limit);
                return Ok(Self {
                    train: open(Split::Train, train)?,
                    test: open(Split::Test, test)?,
                });
            }
            DenseData::Ade20k => {
                let root = root()?;
                let open = |split| Ade20k::open(split, root);
                [Arc::new(open(Split::Train)?), Arc::new(open(Split::Test)?)]
            }
            DenseData::Coco => {
                let max_pixels = OpenOptions::default().max_pixels;
                Coco::open_splits(root()?, max_pixels)?.map(|split| Arc::new(split) as _)
            }
        };
        check_dense_splits(&*train, &*test)?;
        Ok(Self {
            train: Arc::new(FirstScenes::new(train, settings.data.limit)),
            test: Arc::new(FirstScenes::new(test, settings.data.test_limit)),
        })
    }
}

fn composed(
    root: Option<&Path>,
    settings: &DenseSettings,
    split: Split,
    len: usize,
    size: usize,
) -> Result<Arc<dyn DenseSource>> {
    let open = |name: DatasetName| -> Result<Arc<dyn Source>> {
        let folder = match root {
            Some(root) => root.join(<&str>::from(name)),
            None => cached(name)?,
        };
        Ok(bauta_data::open(name, split, &folder)?)
    };
    let config = ComposedConfig::new(settings.seed, len, size);
    let config = ComposedConfig { objects: 1..=settings.data.objects, ..config };
    let (digits, backgrounds) = (open(DatasetName::Mnist)?, open(DatasetName::Cifar10)?);
    Ok(Arc::new(ComposedDigits::new(digits, backgrounds, config)?))
}
