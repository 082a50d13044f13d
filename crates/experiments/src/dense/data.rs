//! The splits of a dense task, opened.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use bauta_data::dense::{Ade20k, Coco, ComposedConfig, ComposedDigits, DenseSource, FirstScenes};
use bauta_data::{DatasetName, Source, Split};
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
        let open = |split| -> Result<Arc<dyn DenseSource>> {
            let limit = match split {
                Split::Train => settings.data.limit,
                Split::Test => settings.data.test_limit,
            };
            let root = || {
                let root = arguments.root.as_deref();
                root.context("--root is needed: the folder that the data lie in")
            };
            let source: Arc<dyn DenseSource> = match arguments.data {
                DenseData::ComposedDigits => {
                    return composed(arguments.root.as_deref(), settings, split, limit, size);
                }
                DenseData::Ade20k => Arc::new(Ade20k::open(split, root()?)?),
                DenseData::Coco => Arc::new(Coco::open(split, root()?)?),
            };
            Ok(Arc::new(FirstScenes::new(source, limit)))
        };
        Ok(Self { train: open(Split::Train)?, test: open(Split::Test)? })
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
