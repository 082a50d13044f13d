//! One exact forward pass of a model folder, for conformance checks.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bauta_backbones::checkpoint::{read_tensors, write_tensors};
use bauta_backbones::masking::{Grid, MaskPlan};
use bauta_backbones::{ModelConfig, ModelFolder, TokenIndices, VitMaeConfig};
use bauta_targets::{PixelTarget, Target};
use tch::{Device, Kind, Tensor};

/// Runs a model folder on the tensors of `input` and writes what it gives to `output`.
///
/// `input` holds `pixel_values` [N, C, H, W] and, for a masked autoencoder,
/// `noise` [N, L]; small noise is kept. `output` gets, of a masked autoencoder,
/// `loss`, `logits` [N, L, P], `mask` [N, L] (1 is masked), `ids_restore` [N, L]
/// and `last_hidden_state` [N, 1 + V, D] of the visible tokens; of a plain ViT,
/// `last_hidden_state` [N, 1 + L, D] and its head's `logits` or `pooler_output`.
///
/// # Errors
/// When a file or a shape does not fit; nothing is written then.
pub fn forward(model: &Path, input: &Path, output: &Path) -> Result<()> {
    let folder = ModelFolder::read(model)?;
    let inputs = read_tensors(input)?;
    let refuse = || format!("{} does not fit {}", input.display(), model.display());
    let outputs = tch::no_grad(|| match folder.config() {
        ModelConfig::VitMae(config) => masked_autoencoder(&folder, config, &inputs),
        ModelConfig::Vit(_) => plain(&folder, &inputs),
    })
    .with_context(refuse)?;
    write_tensors(output, outputs.iter().map(|(name, tensor)| (*name, tensor)))?;
    Ok(())
}

type Outputs = Vec<(&'static str, Tensor)>;

fn masked_autoencoder(
    folder: &ModelFolder,
    config: &VitMaeConfig,
    inputs: &HashMap<String, Tensor>,
) -> Result<Outputs> {
    let (_parameters, encoder, decoder) = folder.masked_autoencoder(Device::Cpu)?;
    let target = pixel_target(config, encoder.grid());
    let images = floats(inputs, "pixel_values")?;
    let indices = plan(inputs, encoder.grid(), images.size()[0], config.mask_ratio)?;

    let latent = encoder.forward_visible(&images, &indices)?;
    let logits = decoder.predict_all(&latent, &indices)?;
    let loss = target.loss(&indices.gather_masked(&logits), &target.masked(&images, &indices)?)?;
    Ok(vec![
        ("loss", loss),
        ("logits", logits),
        ("mask", indices.mask()),
        ("ids_restore", indices.restore().shallow_clone()),
        ("last_hidden_state", latent),
    ])
}

fn plain(folder: &ModelFolder, inputs: &HashMap<String, Tensor>) -> Result<Outputs> {
    let (_parameters, model) = folder.vit(Device::Cpu)?;
    let output = model.forward(&floats(inputs, "pixel_values")?)?;
    let heads = [("logits", output.logits), ("pooler_output", output.pooler_output)];
    let heads = heads.into_iter().filter_map(|(name, tensor)| Some((name, tensor?)));
    Ok(heads.chain([("last_hidden_state", output.last_hidden_state)]).collect())
}

/// The target that a masked autoencoder's description names.
pub fn pixel_target(config: &VitMaeConfig, grid: Grid) -> PixelTarget {
    if config.norm_pix_loss {
        PixelTarget::normalized(grid, config.num_channels)
    } else {
        PixelTarget::raw(grid, config.num_channels)
    }
}

/// The plan that the input's noise [N, L] makes.
fn plan(
    inputs: &HashMap<String, Tensor>,
    grid: Grid,
    samples: i64,
    ratio: f64,
) -> Result<TokenIndices> {
    let noise = floats(inputs, "noise")?;
    let wanted = [samples, grid.tokens() as i64];
    ensure!(noise.size() == wanted, "noise is {:?}, the model wants {wanted:?}", noise.size());
    let values = Vec::<f32>::try_from(noise.flatten(0, -1))?;
    let plan = MaskPlan::from_noise(&values, samples as usize, ratio)?;
    Ok(TokenIndices::new(&plan, Device::Cpu))
}

fn floats(inputs: &HashMap<String, Tensor>, name: &str) -> Result<Tensor> {
    let tensor = inputs.get(name).with_context(|| {
        let mut found: Vec<&str> = inputs.keys().map(String::as_str).collect();
        found.sort_unstable();
        format!("no tensor {name} in it, only {}", found.join(", "))
    })?;
    ensure!(tensor.kind() == Kind::Float, "{name} is {:?}, not 32-bit floats", tensor.kind());
    ensure!(tensor.dim() >= 1, "{name} is a scalar");
    Ok(tensor.shallow_clone())
}
