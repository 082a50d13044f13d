//! Codes of the faces of prepared parts, computed by a model folder of this system.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use bauta_backbones::checkpoint::write_tensors_with;
use bauta_brep::PartStore;
use bauta_brep::model::GraphBatch;
use bauta_eval::folder::FeatureFormat;
use bauta_eval::join_batches;
use bauta_files::check_writable;
use tch::{Device, Tensor};

use super::{Brep, MODEL};

/// Whether a model folder is one of this system.
pub fn is_brep(folder: &Path) -> bool {
    let config = std::fs::read(folder.join("config.json")).ok();
    let config = config.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    config.is_some_and(|config| config["model_type"] == MODEL)
}

/// Writes codes of all faces of a folder of prepared parts: `features` [N, D], with the index of
/// each face's part in `parts` `[N]` and the face's index in that part in `faces` `[N]`. The file's
/// metadata list the parts' files, in the order of their paths, as JSON under `files`. Returns N
/// and D.
///
/// # Errors
/// When another format or a class token is asked for, model or parts cannot be read, or the file
/// cannot be written.
pub fn embed(
    model: &Path,
    input: &Path,
    output: &Path,
    format: FeatureFormat,
    cls: bool,
    device: Device,
) -> Result<[i64; 2]> {
    if cls || format != FeatureFormat::Safetensors {
        let named = output.extension().is_some_and(|end| end == "npy");
        let remedy = match (cls, named) {
            (true, _) => "leave out --cls",
            (_, true) => "let --out end in .safetensors",
            _ => "leave out --format",
        };
        bail!("codes of faces are written as safetensors, and have no class token; {remedy}");
    }
    let cannot = || format!("cannot write {}", output.display());
    check_writable(output).with_context(cannot)?;
    let brep = Brep::read(model, device)?;
    let store = PartStore::folder(input)?;
    let (mut of_part, mut of_face, mut files) = (Vec::new(), Vec::new(), Vec::new());
    let codes: Tensor = join_batches((0..store.len()).map(|number| -> Result<Tensor> {
        let part = store.get(number)?;
        of_part.extend(part.faces.iter().map(|_| number as i64));
        of_face.extend(0..part.faces.len() as i64);
        files.push(store.describe(number));
        let graph = GraphBatch::of(&[&part]).to_device(device);
        Ok(tch::no_grad(|| brep.encoder.forward(&graph)).to_device(Device::Cpu))
    }))?;
    let metadata = HashMap::from([("files".to_owned(), serde_json::to_string(&files)?)]);
    let [of_part, of_face] = [&of_part, &of_face].map(|numbers| Tensor::from_slice(numbers));
    let tensors = [("features", &codes), ("parts", &of_part), ("faces", &of_face)];
    write_tensors_with(output, tensors, metadata).with_context(cannot)?;
    Ok([codes.size()[0], codes.size()[1]])
}
