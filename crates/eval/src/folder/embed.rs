//! Features of a user's own images.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bauta_backbones::checkpoint::write_tensors_with;
use bauta_backbones::{ModelFolder, Pooling};
use bauta_data::Loader;
use tch::{Device, Tensor};

use super::images::{loader_config, normalization, open};
use crate::EvalError;
use crate::batch::host_tensor;
use crate::encoded::{image_features, join_batches};

/// Images in one pass.
const BATCH: usize = 64;

/// Writes features of a folder of images: `features` [N, D], f32, in the order of
/// the paths, which the file's metadata lists as JSON under `files`. Gives N and D.
///
/// Images are cut to the model's size by a centre crop.
///
/// # Errors
/// When model or images cannot be read or the file not be written.
pub fn embed(
    model: &Path,
    input: &Path,
    output: &Path,
    pooling: Pooling,
) -> Result<[i64; 2], EvalError> {
    let folder = ModelFolder::read(model)?;
    let (_parameters, encoder) = folder.image_encoder(Device::Cpu, None)?;
    let source = open(input, encoder.channels())?;
    let (normalization, by) = normalization(model, source.statistics(), Device::Cpu)?;
    tracing::info!("{}: images are normalised by {by}", model.display());
    let config = loader_config(BATCH, encoder.image_size());
    let loader = Loader::for_evaluation(Arc::clone(&source), config)?;
    let batches = loader.batches(0..loader.steps_per_epoch(), |batch| host_tensor(&batch.pixels));
    let found = join_batches(batches.map(|pixels| -> Result<Tensor, EvalError> {
        let pixels = pixels?;
        let encode = || image_features(&*encoder, &normalization, pooling, &pixels);
        Ok(tch::no_grad(encode)?)
    }))?;
    let names: Vec<String> = (0..source.len()).map(|index| source.describe(index)).collect();
    let names = serde_json::to_string(&names).expect("texts have a JSON form");
    let metadata = HashMap::from([("files".to_owned(), names)]);
    write_tensors_with(output, [("features", &found)], metadata)?;
    Ok([found.size()[0], found.size()[1]])
}
