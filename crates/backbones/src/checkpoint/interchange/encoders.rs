//! A model folder's encoder of whole images, for any described architecture.

use std::collections::HashMap;

use bauta_masking::Grid;
use tch::{Device, Kind, Tensor};

use super::{BeitModelConfig, ClipModelConfig, ModelConfig, ModelFolder, is_above_encoder};
use crate::relative_bias::relative_bias_rows;
use crate::{
    BeitConfig, BeitEncoder, BeitParts, ClipVisionConfig, ClipVisual, ImageEncoder, Linear,
    ModelError, Parameters, VisionTransformer, VitConfig, interpolate_positions,
    interpolate_relative_bias,
};

/// An encoder and its parameters.
pub(super) type Built = (Parameters, Box<dyn ImageEncoder>);

impl ModelFolder {
    /// Builds the encoder that the folder describes on a device, with the folder's weights, for
    /// tokens of whole images; decoders and heads are left out.
    ///
    /// If `image_size` [height, width] differs from the folder's, positions are interpolated, which
    /// is logged.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] when weights and description disagree,
    /// [`ModelError::Geometry`] when `image_size` is not a multiple of the patch.
    pub fn image_encoder(
        &self,
        device: Device,
        image_size: Option<[usize; 2]>,
    ) -> Result<Built, ModelError> {
        let (parameters, encoder) = self.untrained_image_encoder(0, device, image_size)?;
        self.assign_all(&parameters, &self.encoder_tensors(encoder.grid())?)?;
        Ok((parameters, encoder))
    }

    /// Builds the same encoder with frozen parameters and tokens on `grid`: for images of
    /// `image_size` if it is given, else of the size that the folder's patches need for that grid.
    ///
    /// The grid is not checked if the size is given.
    ///
    /// # Errors
    /// As [`Self::image_encoder`].
    pub fn frozen_encoder(
        &self,
        device: Device,
        image_size: Option<[usize; 2]>,
        grid: Grid,
    ) -> Result<Box<dyn ImageEncoder>, ModelError> {
        let frozen = |size| {
            let (mut parameters, encoder) = self.image_encoder(device, size)?;
            parameters.train_only(|_| false);
            Ok(encoder)
        };
        let found = frozen(image_size)?;
        if image_size.is_some() || found.grid() == grid {
            return Ok(found);
        }
        let [height, width] = found.image_size();
        let patch = [height / found.grid().height(), width / found.grid().width()];
        frozen(Some([grid.height() * patch[0], grid.width() * patch[1]]))
    }

    /// Builds the same network with initial weights drawn from `seed`.
    ///
    /// # Errors
    /// [`ModelError::Geometry`] and [`ModelError::Config`] for sizes that do not fit.
    pub fn untrained_image_encoder(
        &self,
        seed: u64,
        device: Device,
        image_size: Option<[usize; 2]>,
    ) -> Result<Built, ModelError> {
        let mut parameters = Parameters::new(seed, device);
        let root = parameters.root();
        let has = |name| self.tensors.contains_key(name);
        let encoder: Box<dyn ImageEncoder> = match &self.config {
            ModelConfig::VitMae(_) | ModelConfig::Vit(_) => {
                let config = self.sized_vit(image_size)?;
                // Fine-tuning on the mean of the tokens replaces the final norm by a norm of that
                // mean.
                let averaged = has("fc_norm.weight") && !has("norm.weight");
                let build =
                    if averaged { VisionTransformer::without_norm } else { VisionTransformer::new };
                Box::new(build(root, &config)?)
            }
            ModelConfig::Beit(config) => {
                let sized = sized_beit(config, image_size)?;
                Box::new(BeitEncoder::with_parts(root, &sized, self.beit_parts(config))?)
            }
            ModelConfig::Clip(config) => {
                Box::new(ClipVisual::new(root, &self.sized_clip(config, image_size)?)?)
            }
        };
        Ok((parameters, encoder))
    }

    /// Builds a BEiT on a device, with the folder's weights, and the head for masked patches
    /// (`lm_head`) if they hold one.
    ///
    /// # Errors
    /// As [`Self::image_encoder`], and [`ModelError::Format`] when the folder holds another
    /// architecture.
    pub fn beit(
        &self,
        device: Device,
        image_size: Option<[usize; 2]>,
    ) -> Result<(Parameters, BeitEncoder, Option<Linear>), ModelError> {
        let ModelConfig::Beit(config) = &self.config else {
            return Err(self.is_not("BEiT"));
        };
        let sized = sized_beit(config, image_size)?;
        let mut parameters = Parameters::new(0, device);
        let encoder = BeitEncoder::with_parts(parameters.root(), &sized, self.beit_parts(config))?;
        let head = self.tensors.contains_key("lm_head.weight").then(|| {
            let (inputs, outputs) = (config.sizes.hidden_size, config.vocab_size);
            let mut root = parameters.root();
            Linear::starting(root.sub("lm_head"), inputs, outputs, BeitEncoder::INIT, true)
        });
        let mut tensors = self.encoder_tensors(encoder.grid())?;
        tensors.extend(self.shared_tensors(|name| name.starts_with("lm_head.")));
        self.assign_all(&parameters, &tensors)?;
        Ok((parameters, encoder, head))
    }

    /// Builds CLIP's visual tower on a device, with the folder's weights, and a projection if they
    /// contain one.
    ///
    /// # Errors
    /// As [`Self::beit`].
    pub fn clip(
        &self,
        device: Device,
        image_size: Option<[usize; 2]>,
    ) -> Result<(Parameters, ClipVisual), ModelError> {
        let ModelConfig::Clip(config) = &self.config else {
            return Err(self.is_not("CLIP tower"));
        };
        let mut parameters = Parameters::new(0, device);
        let tower = ClipVisual::new(parameters.root(), &self.sized_clip(config, image_size)?)?;
        self.assign_all(&parameters, &self.encoder_tensors(tower.grid())?)?;
        Ok((parameters, tower))
    }

    /// A ViT's sizes, for images of another size if one is given.
    pub(super) fn sized_vit(
        &self,
        image_size: Option<[usize; 2]>,
    ) -> Result<VitConfig, ModelError> {
        let own = match &self.config {
            ModelConfig::VitMae(config) => config.encoder()?,
            ModelConfig::Vit(config) => config.encoder()?,
            ModelConfig::Beit(_) | ModelConfig::Clip(_) => {
                return Err(self.is_not("plain ViT or masked autoencoder"));
            }
        };
        Ok(sized(own, image_size))
    }

    fn sized_clip(
        &self,
        config: &ClipModelConfig,
        image_size: Option<[usize; 2]>,
    ) -> Result<ClipVisionConfig, ModelError> {
        let own = config.tower(self.tensors.contains_key("head.weight"))?;
        Ok(ClipVisionConfig { vit: sized(own.vit, image_size), ..own })
    }

    /// The parts of an encoder: with a final norm, unless the folder's norm applies to the mean of
    /// the tokens.
    fn beit_parts(&self, config: &BeitModelConfig) -> BeitParts {
        let has = |name| self.tensors.contains_key(name);
        BeitParts {
            biases_of_blocks: config.use_relative_position_bias,
            mask_token: config.use_mask_token,
            norm: !config.use_mean_pooling || has("norm.weight") || has("lm_head.weight"),
        }
    }

    /// The weights without decoder and heads, with positions resampled to the grid `to`.
    pub(super) fn encoder_tensors(&self, to: Grid) -> Result<HashMap<String, Tensor>, ModelError> {
        let own = self.config.sizes().vit()?;
        let from = own.grid()?;
        let mut tensors = self.shared_tensors(|name| match &self.config {
            ModelConfig::VitMae(_) | ModelConfig::Vit(_) => !is_above_encoder(name),
            ModelConfig::Beit(_) => !is_above_beit(name),
            // A CLIP tower's projection is part of the tower.
            ModelConfig::Clip(_) => true,
        });
        if from == to {
            return Ok(tensors);
        }
        let positions = [1, 1 + from.tokens() as i64, own.dim as i64];
        let biases = [relative_bias_rows(from), own.heads as i64];
        let mut told = false;
        for (name, tensor) in &mut tensors {
            let floats = || tensor.to_kind(Kind::Float);
            let interpolated = if name == "pos_embed" && tensor.size() == positions {
                interpolate_positions(&floats(), from, to)
            } else if name.ends_with("relative_position_bias_table") && tensor.size() == biases {
                interpolate_relative_bias(&floats(), from, to)
            } else {
                continue;
            };
            if !told {
                self.tell_interpolation(from, to);
                told = true;
            }
            *tensor = interpolated;
        }
        Ok(tensors)
    }

    pub(super) fn shared_tensors(&self, wanted: impl Fn(&str) -> bool) -> HashMap<String, Tensor> {
        let tensors = self.tensors.iter().filter(|(name, _)| wanted(name));
        tensors.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    }
}

/// The same for images of another [height, width], if one is given.
fn sized(own: VitConfig, image_size: Option<[usize; 2]>) -> VitConfig {
    let [image_height, image_width] = image_size.unwrap_or([own.image_height, own.image_width]);
    VitConfig { image_height, image_width, ..own }
}

/// A BEiT's sizes, for images of another size if one is given.
pub(super) fn sized_beit(
    config: &BeitModelConfig,
    image_size: Option<[usize; 2]>,
) -> Result<BeitConfig, ModelError> {
    let own = config.encoder()?;
    Ok(BeitConfig { vit: sized(own.vit, image_size), ..own })
}

/// Whether a parameter belongs to a BEiT's head.
pub(super) fn is_above_beit(name: &str) -> bool {
    ["lm_head.", "head.", "fc_norm.", "pooler."].iter().any(|start| name.starts_with(start))
}
