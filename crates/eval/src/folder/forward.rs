//! One exact forward pass of a model folder, for conformance checks.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bauta_backbones::checkpoint::{read_tensors, write_tensors};
use bauta_backbones::{
    BeitModelConfig, Encode, ModelConfig, ModelError, ModelFolder, ResNetFolder, TokenIndices,
    VitMaeConfig, class_token, patch_tokens,
};
use bauta_libtorch::Autocast;
use bauta_masking::{Grid, MaskPlan};
use bauta_targets::PixelTarget;
use bauta_train::{Precision, TrainError};
use tch::{Device, Kind, Tensor};

use super::feature_model::FeatureModel;
use crate::EvalError;
use crate::dense::on_grid;

/// A model folder, its input tensors, and device and precision.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The model folder.
    pub model: PathBuf,
    /// Safetensors with the model's inputs.
    pub input: PathBuf,
    /// The file of the outputs, as safetensors.
    pub out: PathBuf,
    /// Device of the tensors.
    pub device: Device,
    /// Number format of matrix products.
    pub precision: Precision,
}

impl Forward {
    /// A forward pass on the CPU in single precision.
    pub fn new(model: &Path, input: &Path, out: &Path) -> Self {
        let [model, input, out] = [model, input, out].map(Path::to_owned);
        Self { model, input, out, device: Device::Cpu, precision: Precision::Fp32 }
    }

    /// Runs a model folder on the input tensors and writes the output file.
    ///
    /// The input holds `pixel_values` [N, C, H, W]. For a masked autoencoder it also holds
    /// `noise` [N, L], of which the tokens with the smallest values stay visible, and the outputs
    /// are `loss`, `logits` [N, L, P], `mask` [N, L] (1 is masked), `ids_restore` [N, L] and
    /// `last_hidden_state` [N, 1 + V, D] of the visible tokens; there is no `loss` if the decoder
    /// predicts a teacher's features. The outputs of a plain ViT are `last_hidden_state`
    /// [N, 1 + L, D] and its head's `logits` or `pooler_output`.
    ///
    /// To mask patches of a BEiT, the input also holds `bool_masked_pos` [N, L], with equally many
    /// masked patches in each sample. Its outputs are `last_hidden_state` [N, 1 + L, D], after the
    /// final norm unless the configuration sets `use_mean_pooling`, and the head's `logits`
    /// [N, L, outputs] of all patches; a BEiT with a classifier runs like a plain ViT. The outputs
    /// of a CLIP tower are `last_hidden_state` of the last block, `pooler_output` [N, D], the class
    /// token after the norm, and its projection `image_embeds`. Those of a residual network are
    /// `last_hidden_state` [N, D, H', W'], its last feature map, `pooler_output` [N, D, 1, 1], the
    /// mean of that map, and its classifier's `logits`.
    ///
    /// # Errors
    /// When a file or a shape does not fit; nothing is written then.
    pub fn run(&self) -> Result<(), EvalError> {
        let Self { model, input, out, device, precision } = self;
        let folder = FeatureModel::read(model)?;
        let inputs = read_tensors(input)?.into_iter();
        let inputs = inputs.map(|(name, tensor)| (name, tensor.to_device(*device))).collect();
        let refuse = || format!("{} does not fit {}", input.display(), model.display());
        let autocast = match precision {
            Precision::Fp32 => None,
            Precision::Bf16 => Some(Autocast::bf16(*device).map_err(TrainError::from)?),
        };
        let outputs = tch::no_grad(|| match &folder {
            FeatureModel::Residual(folder) => residual(folder, &inputs, *device),
            FeatureModel::Transformer(folder) => transformer(folder, &inputs, *device),
        })
        .map_err(|error| if is_of_file(&error) { error } else { error.at(refuse()) })?;
        drop(autocast);
        let outputs: Outputs =
            outputs.into_iter().map(|(name, tensor)| (name, to_host(&tensor))).collect();
        write_tensors(out, outputs.iter().map(|(name, tensor)| (*name, tensor)))?;
        Ok(())
    }
}

/// Whether an error names a file of the model, so that the input is not at fault.
fn is_of_file(error: &EvalError) -> bool {
    let EvalError::Model(error) = error else { return false };
    use ModelError::{Format, Io, Mismatch};
    matches!(**error, Io { .. } | Format { .. } | Mismatch { .. })
}

/// The tensor on the CPU, floats as f32.
fn to_host(tensor: &Tensor) -> Tensor {
    let host = tensor.to_device(Device::Cpu);
    if host.is_floating_point() { host.to_kind(Kind::Float) } else { host }
}

type Outputs = Vec<(&'static str, Tensor)>;

fn transformer(
    folder: &ModelFolder,
    inputs: &HashMap<String, Tensor>,
    device: Device,
) -> Result<Outputs, EvalError> {
    match folder.config() {
        ModelConfig::VitMae(config) => masked_autoencoder(folder, config, inputs, device),
        ModelConfig::Vit(_) => plain(folder, inputs, device),
        ModelConfig::Beit(_) if folder.tensors().contains_key("head.weight") => {
            plain(folder, inputs, device)
        }
        ModelConfig::Beit(config) => beit(folder, config, inputs, device),
        ModelConfig::Clip(_) => clip(folder, inputs, device),
    }
}

fn masked_autoencoder(
    folder: &ModelFolder,
    config: &VitMaeConfig,
    inputs: &HashMap<String, Tensor>,
    device: Device,
) -> Result<Outputs, EvalError> {
    let (_parameters, encoder, decoder) = folder.masked_autoencoder(device)?;
    let images = floats(inputs, "pixel_values")?;
    let indices = plan(inputs, encoder.grid(), images.size()[0], config.mask_ratio)?;

    let latent = encoder.encode(&images, Encode::visible(&indices))?;
    let logits = decoder.predict_all(&latent, &indices)?;
    let mut outputs = Vec::new();
    if config.feature_size.is_none() {
        let target = pixel_target(config, encoder.grid());
        let wanted = target.masked(&images, &indices)?;
        outputs.push(("loss", target.loss(&indices.gather_masked(&logits), &wanted)?));
    }
    outputs.extend([
        ("logits", logits),
        ("mask", indices.mask()),
        ("ids_restore", indices.restore().shallow_clone()),
        ("last_hidden_state", latent),
    ]);
    Ok(outputs)
}

fn plain(
    folder: &ModelFolder,
    inputs: &HashMap<String, Tensor>,
    device: Device,
) -> Result<Outputs, EvalError> {
    let (_parameters, model) = folder.vit(device)?;
    let output = model.forward(&floats(inputs, "pixel_values")?, Encode::whole())?;
    let heads = [("logits", output.logits), ("pooler_output", output.pooler_output)];
    let heads = heads.into_iter().filter_map(|(name, tensor)| Some((name, tensor?)));
    Ok(heads.chain([("last_hidden_state", output.last_hidden_state)]).collect())
}

fn beit(
    folder: &ModelFolder,
    config: &BeitModelConfig,
    inputs: &HashMap<String, Tensor>,
    device: Device,
) -> Result<Outputs, EvalError> {
    let (_parameters, encoder, head) = folder.beit(device, None)?;
    let images = floats(inputs, "pixel_values")?;
    let raw = match inputs.get("bool_masked_pos") {
        None => encoder.encode(&images, Encode::whole().without_norm())?,
        Some(mask) => {
            let wanted = [images.size()[0], encoder.grid().tokens() as i64];
            let found = mask.size();
            check(found == wanted, || {
                format!("bool_masked_pos is {found:?}, the model expects {wanted:?}")
            })?;
            let masks = mask.ne(0).flatten(0, -1).to_device(Device::Cpu);
            let masks = Vec::<bool>::try_from(masks);
            let masks = masks.expect("a flat tensor of this kind");
            if masks.contains(&true) {
                let plan = MaskPlan::from_masks(&masks, encoder.grid().tokens())
                    .map_err(|error| EvalError::from(error).at("bool_masked_pos".to_owned()))?;
                let indices = TokenIndices::new(&plan, device);
                encoder.encode(&images, Encode::mask_tokens(&indices).without_norm())?
            } else {
                encoder.encode(&images, Encode::whole().without_norm())?
            }
        }
    };
    let normed = encoder.normalize(&raw);
    let logits = head.map(|head| head.forward(&patch_tokens(&normed)));
    let last = if config.use_mean_pooling { raw } else { normed };
    let logits = logits.map(|logits| ("logits", logits));
    Ok(logits.into_iter().chain([("last_hidden_state", last)]).collect())
}

fn clip(
    folder: &ModelFolder,
    inputs: &HashMap<String, Tensor>,
    device: Device,
) -> Result<Outputs, EvalError> {
    let (_parameters, tower) = folder.clip(device, None)?;
    let images = floats(inputs, "pixel_values")?;
    let pooled = class_token(&tower.encode(&images, Encode::whole())?);
    let mut outputs = Vec::new();
    if tower.config().projection.is_some() {
        outputs.push(("image_embeds", tower.project(&pooled)?));
    }
    let last = tower.encode(&images, Encode::whole().without_norm())?;
    outputs.extend([("last_hidden_state", last), ("pooler_output", pooled)]);
    Ok(outputs)
}

fn residual(
    folder: &ResNetFolder,
    inputs: &HashMap<String, Tensor>,
    device: Device,
) -> Result<Outputs, EvalError> {
    let images = floats(inputs, "pixel_values")?;
    let found = images.size();
    check(found.len() == 4, || format!("pixel_values is {found:?}, not [N, C, H, W]"))?;
    let size = Some([found[2] as usize, found[3] as usize]);
    let (tokens, grid, logits) = match folder.classified(device, size)? {
        Some((_parameters, model)) => {
            let output = model.forward(&images, Encode::whole())?;
            (output.last_hidden_state, model.encoder().grid(), output.logits)
        }
        None => {
            let (_parameters, encoder) = folder.image_encoder(device, size)?;
            (encoder.encode(&images, Encode::whole())?, encoder.grid(), None)
        }
    };
    let sides = [grid.height() as i64, grid.width() as i64];
    let pooled = class_token(&tokens).unsqueeze(2).unsqueeze(3);
    let map = on_grid(&patch_tokens(&tokens), sides);
    let logits = logits.map(|logits| ("logits", logits));
    Ok(logits.into_iter().chain([("last_hidden_state", map), ("pooler_output", pooled)]).collect())
}

/// The pixel target of a masked autoencoder's configuration.
pub fn pixel_target(config: &VitMaeConfig, grid: Grid) -> PixelTarget {
    if config.norm_pix_loss {
        PixelTarget::normalized(grid, config.sizes.num_channels)
    } else {
        PixelTarget::raw(grid, config.sizes.num_channels)
    }
}

/// The mask plan of the input's noise [N, L].
fn plan(
    inputs: &HashMap<String, Tensor>,
    grid: Grid,
    samples: i64,
    ratio: f64,
) -> Result<TokenIndices, EvalError> {
    let noise = floats(inputs, "noise")?;
    let wanted = [samples, grid.tokens() as i64];
    let found = noise.size();
    check(found == wanted, || format!("noise is {found:?}, the model expects {wanted:?}"))?;
    let values = noise.to_device(Device::Cpu).flatten(0, -1);
    let values = Vec::<f32>::try_from(values).expect("a flat tensor of floats");
    check(!values.iter().any(|value| value.is_nan()), || {
        "noise has NaN values, which cannot be ordered".to_owned()
    })?;
    let plan = MaskPlan::from_noise(&values, samples as usize, ratio)?;
    Ok(TokenIndices::new(&plan, noise.device()))
}

fn floats(inputs: &HashMap<String, Tensor>, name: &str) -> Result<Tensor, EvalError> {
    let tensor = inputs.get(name).ok_or_else(|| {
        let mut found: Vec<&str> = inputs.keys().map(String::as_str).collect();
        found.sort_unstable();
        EvalError::Unsuitable(format!("no tensor {name} in it, only {}", found.join(", ")))
    })?;
    let kind = tensor.kind();
    check(kind == Kind::Float, || format!("{name} is {kind:?}, not 32-bit floats"))?;
    check(tensor.dim() >= 1, || format!("{name} is a scalar"))?;
    check(tensor.size()[0] > 0, || format!("{name} has 0 images; it must have at least 1"))?;
    Ok(tensor.shallow_clone())
}

fn check(fits: bool, message: impl FnOnce() -> String) -> Result<(), EvalError> {
    if fits { Ok(()) } else { Err(EvalError::Unsuitable(message())) }
}
