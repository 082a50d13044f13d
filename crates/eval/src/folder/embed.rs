//! Features of a user's own images.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bauta_backbones::Pooling;
use bauta_backbones::checkpoint::write_tensors_with;
use bauta_files::{check_writable, write_whole};
use strum::{Display, EnumString, VariantNames};
use tch::{Device, Tensor};

use super::feature_model::FeatureModel;
use super::npy;
use super::user_images::UserImages;
use crate::EvalError;
use crate::batch::host_tensor;
use crate::encoded::{image_features, join_batches};

/// Images in one pass.
const BATCH: usize = 64;

/// The images to embed, the model, and the output.
#[derive(Clone, Debug)]
pub struct Embed {
    /// The model folder.
    pub model: PathBuf,
    /// A folder of images.
    pub root: PathBuf,
    /// The file of the features.
    pub out: PathBuf,
    /// How an image's tokens are pooled into its feature.
    pub pooling: Pooling,
    /// The file's format.
    pub format: FeatureFormat,
    /// Device of the tensors.
    pub device: Device,
}

/// Formats of a file of features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum FeatureFormat {
    /// `features` [N, D], f32; the metadata lists the paths as JSON under `files`.
    Safetensors,
    /// NumPy array [N, D], f32; the paths are in a text file next to it, one per line.
    Npy,
}

impl FeatureFormat {
    /// The requested format, or else the one of the file's extension; safetensors if it has
    /// neither extension.
    ///
    /// # Errors
    /// When the file's extension is that of another format than the requested one.
    pub fn of(asked: Option<Self>, file: &Path) -> Result<Self, EvalError> {
        let end = file.extension().and_then(|end| end.to_str());
        let named = end.and_then(|end| end.parse::<Self>().ok());
        match (asked, named) {
            (Some(asked), Some(named)) if asked != named => Err(EvalError::Unsuitable(format!(
                "{} ends in .{named}, but the format is {asked}; name the file .{asked}, or leave \
                 out --format",
                file.display()
            ))),
            (asked, named) => Ok(asked.or(named).unwrap_or(Self::Safetensors)),
        }
    }
}

impl Embed {
    /// Writes features [N, D], f32, in the order of the paths. Returns N, D, and a description of
    /// the features.
    ///
    /// Images are resized and cropped as in the model folder's preprocessing; without one, the
    /// largest part that has the model's ratio is resized bicubically.
    ///
    /// # Errors
    /// When the model or images cannot be read or a file cannot be written.
    pub fn run(&self) -> Result<([i64; 2], &'static str), EvalError> {
        let Self { model, root, out, pooling, format, device } = self;
        let folder = FeatureModel::read(model)?;
        let said = folder.describe(*pooling)?;
        let (_parameters, encoder) = folder.encoder(*device, None)?;
        let images = UserImages::open(&folder, model, root, encoder.image_size(), *device)?;
        let source = &images.source;
        let names: Vec<String> = (0..source.len()).map(|index| source.describe(index)).collect();
        if let Some(name) = names
            .iter()
            .find(|name| name.contains(['\n', '\r']))
            .filter(|_| *format == FeatureFormat::Npy)
        {
            return Err(EvalError::Unsuitable(format!(
                "{name:?} has a line break, but npy's names are written one per line; rename it, \
                 or write safetensors"
            )));
        }
        let beside = (*format == FeatureFormat::Npy).then(|| out.with_added_extension("txt"));
        for path in [Some(out), beside.as_ref()].into_iter().flatten() {
            check_writable(path)
                .map_err(|source| EvalError::Write { path: path.clone(), source })?;
        }
        let loader = images.loader(BATCH)?;
        let batches =
            loader.batches(0..loader.steps_per_epoch(), |batch| host_tensor(&batch.pixels));
        let found = join_batches(batches.map(|pixels| -> Result<Tensor, EvalError> {
            let pixels = pixels?;
            let encode = || image_features(&*encoder, &images.normalization, *pooling, &pixels);
            Ok(tch::no_grad(encode)?.to_device(Device::Cpu))
        }))?;
        match format {
            FeatureFormat::Safetensors => {
                let names = serde_json::to_string(&names).expect("texts have a JSON form");
                let metadata = HashMap::from([("files".to_owned(), names)]);
                write_tensors_with(out, [("features", &found)], metadata)?;
            }
            FeatureFormat::Npy => {
                let beside = out.with_added_extension("txt");
                let write = |path: &PathBuf, bytes: &[u8]| {
                    write_whole(path, bytes)
                        .map_err(|source| EvalError::Write { path: path.clone(), source })
                };
                write(&beside, (names.join("\n") + "\n").as_bytes())?;
                write(out, &npy::bytes(&found))?;
            }
        }
        Ok(([found.size()[0], found.size()[1]], said))
    }
}

#[cfg(test)]
mod tests {
    use super::FeatureFormat::{Npy, Safetensors};
    use super::*;

    #[test]
    fn the_format_is_the_files_end_unless_it_is_asked_for() {
        let of = |asked, file: &str| FeatureFormat::of(asked, Path::new(file));
        for (asked, file, wanted) in [
            (None, "x.npy", Npy),
            (None, "x.safetensors", Safetensors),
            (None, "x", Safetensors),
            (Some(Npy), "x.bin", Npy),
            (Some(Npy), "x.npy", Npy),
        ] {
            assert_eq!(of(asked, file).unwrap(), wanted, "{file}");
        }
        let refused = of(Some(Safetensors), "x.npy").unwrap_err().to_string();
        assert!(refused.contains("x.npy ends in .npy, but the format is safetensors"), "{refused}");
        assert!(of(Some(Npy), "x.safetensors").is_err());
    }
}
