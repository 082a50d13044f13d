//! A model folder's encoder of whole images, whichever architecture the folder describes.

use std::collections::HashMap;

use tch::{Device, Kind, Tensor};

use super::beit_names::TABLE;
use super::{BeitModelConfig, ClipModelConfig, ModelConfig, ModelFolder, sized};
use crate::relative_bias::relative_bias_rows;
use crate::{
    BeitConfig, BeitEncoder, ClipVisionConfig, ClipVisual, ImageEncoder, Linear, ModelError,
    Parameters, VisionTransformer, interpolate_positions, interpolate_relative_bias,
};

/// An encoder and the parameters that it is made of.
type Built = (Parameters, Box<dyn ImageEncoder>);

impl ModelFolder {
    /// Builds the encoder that the folder describes on a device, with the folder's weights,
    /// for tokens of whole images; decoders and heads are left out.
    ///
    /// With `image_size` [height, width] other than the folder's, positions are
    /// interpolated, which is told by an event.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] when weights and description disagree,
    /// [`ModelError::Geometry`] when `image_size` is no multiple of the patch.
    pub fn image_encoder(
        &self,
        device: Device,
        image_size: Option<[usize; 2]>,
    ) -> Result<Built, ModelError> {
        Ok(match &self.config {
            ModelConfig::VitMae(_) | ModelConfig::Vit(_) => {
                let (parameters, encoder) = self.encoder(device, image_size)?;
                (parameters, Box::new(encoder))
            }
            ModelConfig::Beit(config) => {
                let (parameters, encoder, _) =
                    self.build_beit(config, false, device, image_size)?;
                (parameters, Box::new(encoder))
            }
            ModelConfig::Clip(_) => {
                let (parameters, tower) = self.clip(device, image_size)?;
                (parameters, Box::new(tower))
            }
        })
    }

    /// The same network with every weight as it starts from `seed`.
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
        let encoder: Box<dyn ImageEncoder> = match &self.config {
            ModelConfig::VitMae(_) | ModelConfig::Vit(_) => {
                let config = self.encoder_config(image_size)?;
                Box::new(VisionTransformer::new(parameters.root(), &config)?)
            }
            ModelConfig::Beit(config) => {
                let sized = sized_beit(config, image_size)?;
                Box::new(self.new_beit(&mut parameters, config, &sized)?)
            }
            ModelConfig::Clip(config) => {
                let config = self.sized_clip(config, image_size)?;
                Box::new(ClipVisual::new(parameters.root(), &config)?)
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
        self.build_beit(config, true, device, image_size)
    }

    /// Builds CLIP's visual tower on a device, with the folder's weights; it has a projection
    /// if they hold one.
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
        let (own, sized) = (self.sized_clip(config, None)?, self.sized_clip(config, image_size)?);
        let mut parameters = Parameters::new(0, device);
        let tower = ClipVisual::new(parameters.root(), &sized)?;
        let mut tensors = self.shared_tensors(|_| true);
        let (from, to) = (own.vit.grid()?, tower.grid());
        if from != to
            && let Some(table) = tensors.get_mut("pos_embed")
            && table.size() == [1, 1 + from.tokens() as i64, own.vit.dim as i64]
        {
            self.tell_interpolation(from, to);
            *table = interpolate_positions(&table.to_kind(Kind::Float), from, to);
        }
        self.assign_all(&parameters, &tensors)?;
        Ok((parameters, tower))
    }

    fn build_beit(
        &self,
        config: &BeitModelConfig,
        with_head: bool,
        device: Device,
        image_size: Option<[usize; 2]>,
    ) -> Result<(Parameters, BeitEncoder, Option<Linear>), ModelError> {
        let (own, sized) = (sized_beit(config, None)?, sized_beit(config, image_size)?);
        let mut parameters = Parameters::new(0, device);
        let encoder = self.new_beit(&mut parameters, config, &sized)?;
        let head = (with_head && self.tensors.contains_key("lm_head.weight")).then(|| {
            let (inputs, outputs) = (config.sizes.hidden_size, config.vocab_size);
            let mut root = parameters.root();
            Linear::starting(root.sub("lm_head"), inputs, outputs, BeitEncoder::INIT, true)
        });
        let mut tensors = self.shared_tensors(|name| {
            let is_head = name.starts_with("lm_head.");
            if is_head { with_head } else { !is_above_beit(name) }
        });
        if !config.use_mask_token {
            let token = || Tensor::zeros([1, 1, own.vit.dim as i64], (Kind::Float, Device::Cpu));
            tensors.entry("mask_token".to_owned()).or_insert_with(token);
        }
        let (from, to) = (own.vit.grid()?, encoder.grid());
        if from != to
            && let Some(table) = tensors.get_mut(TABLE)
            && table.size() == [relative_bias_rows(from), own.vit.heads as i64]
        {
            self.tell_interpolation(from, to);
            *table = interpolate_relative_bias(&table.to_kind(Kind::Float), from, to);
        }
        self.assign_all(&parameters, &tensors)?;
        Ok((parameters, encoder, head))
    }

    /// With a final norm, unless the folder's norm stands on the mean of the tokens instead.
    fn new_beit(
        &self,
        parameters: &mut Parameters,
        config: &BeitModelConfig,
        sized: &BeitConfig,
    ) -> Result<BeitEncoder, ModelError> {
        let has = |name| self.tensors.contains_key(name);
        if config.use_mean_pooling && !has("norm.weight") && !has("lm_head.weight") {
            BeitEncoder::without_norm(parameters.root(), sized)
        } else {
            BeitEncoder::new(parameters.root(), sized)
        }
    }

    fn sized_clip(
        &self,
        config: &ClipModelConfig,
        image_size: Option<[usize; 2]>,
    ) -> Result<ClipVisionConfig, ModelError> {
        let own = config.tower(self.tensors.contains_key("head.weight"))?;
        Ok(ClipVisionConfig { vit: sized(own.vit, image_size), ..own })
    }

    fn shared_tensors(&self, wanted: impl Fn(&str) -> bool) -> HashMap<String, Tensor> {
        let tensors = self.tensors.iter().filter(|(name, _)| wanted(name));
        tensors.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    }
}

fn sized_beit(
    config: &BeitModelConfig,
    image_size: Option<[usize; 2]>,
) -> Result<BeitConfig, ModelError> {
    let own = config.encoder()?;
    Ok(BeitConfig { vit: sized(own.vit, image_size), ..own })
}

/// Whether a parameter belongs to a head on a BEiT.
pub(super) fn is_above_beit(name: &str) -> bool {
    ["lm_head.", "head.", "fc_norm.", "pooler."].iter().any(|start| name.starts_with(start))
}
