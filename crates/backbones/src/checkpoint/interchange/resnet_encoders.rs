//! A residual network's folder for evaluation and further training: its encoder, alone or with a
//! classifier, and its weights as a starting point.

use std::collections::HashMap;

use serde_json::{Value, json};
use tch::{Device, Tensor};

use super::encoders::Built;
use super::{Beginning, ResNetFolder};
use crate::{EncoderWithHead, ModelError, Parameters, ResNet, ResNetConfig, ResNetEncoder};

impl ResNetFolder {
    /// Builds the network on a device, with the folder's weights.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] when weights and description disagree.
    pub fn encoder(&self, device: Device) -> Result<(Parameters, ResNet), ModelError> {
        let mut parameters = Parameters::new(0, device);
        let network = ResNet::new(parameters.root(), self.config)?;
        self.assign(&parameters, self.tensors.iter())?;
        Ok((parameters, network))
    }

    /// Builds the encoder of images of [height, width], by default [`Self::image_size`].
    ///
    /// # Errors
    /// As [`Self::encoder`], and [`ModelError::Geometry`] for images without pixels.
    pub fn image_encoder(
        &self,
        device: Device,
        image_size: Option<[usize; 2]>,
    ) -> Result<Built, ModelError> {
        let (parameters, encoder) = self.untrained_image_encoder(0, device, image_size)?;
        self.assign(&parameters, self.tensors.iter())?;
        Ok((parameters, encoder))
    }

    /// Builds the same encoder with initial weights drawn from `seed`.
    ///
    /// # Errors
    /// As [`Self::image_encoder`].
    pub fn untrained_image_encoder(
        &self,
        seed: u64,
        device: Device,
        image_size: Option<[usize; 2]>,
    ) -> Result<Built, ModelError> {
        let mut parameters = Parameters::new(seed, device);
        let image = image_size.unwrap_or(self.image_size());
        let encoder = ResNetEncoder::new(parameters.root(), self.config, image)?;
        Ok((parameters, Box::new(encoder)))
    }

    /// Builds the network with its own classifier; `None` if it has none.
    ///
    /// # Errors
    /// As [`Self::image_encoder`].
    pub fn classified(
        &self,
        device: Device,
        image_size: Option<[usize; 2]>,
    ) -> Result<Option<(Parameters, EncoderWithHead)>, ModelError> {
        let Some(classes) = self.classes else { return Ok(None) };
        let (parameters, model) = self.untrained(classes, image_size, 0, device)?;
        self.assign(&parameters, self.tensors.iter().chain(&self.head))?;
        Ok(Some((parameters, model)))
    }

    /// Builds the network with a new classifier of `classes` classes, initialised from `seed`.
    ///
    /// # Errors
    /// As [`Self::image_encoder`].
    pub fn classifier(
        &self,
        classes: usize,
        image_size: Option<[usize; 2]>,
        seed: u64,
        device: Device,
    ) -> Result<(Parameters, EncoderWithHead), ModelError> {
        let (parameters, model) = self.untrained(classes, image_size, seed, device)?;
        let new = parameters.iter().filter(|parameter| parameter.name.starts_with("fc."));
        let new: Vec<(String, Tensor)> =
            new.map(|p| (p.name.clone(), p.tensor.detach().copy())).collect();
        let new = new.iter().map(|(name, tensor)| (name, tensor));
        self.assign(&parameters, self.tensors.iter().chain(new))?;
        Ok((parameters, model))
    }

    /// Builds the same network with initial weights drawn from `seed`.
    ///
    /// # Errors
    /// As [`Self::image_encoder`].
    pub fn untrained(
        &self,
        classes: usize,
        image_size: Option<[usize; 2]>,
        seed: u64,
        device: Device,
    ) -> Result<(Parameters, EncoderWithHead), ModelError> {
        let mut parameters = Parameters::new(seed, device);
        let image = image_size.unwrap_or(self.image_size());
        let model = EncoderWithHead::residual(parameters.root(), self.config, image, classes)?;
        Ok((parameters, model))
    }

    /// Describes the model that [`Self::classifier`] builds, as its `config.json`.
    pub fn classifier_config(&self, classes: usize) -> Value {
        self.described(Some(classes))
    }

    /// Loads the folder's weights into the network of this `config` where names and shapes agree;
    /// all other parameters keep their values.
    ///
    /// # Errors
    /// [`ModelError::Format`] when the folder's network has other sizes; no parameter is changed
    /// then.
    pub fn begin(
        &self,
        config: &ResNetConfig,
        parameters: &Parameters,
    ) -> Result<Beginning, ModelError> {
        let [own, wanted] = [self.config(), config].map(|config| json!(config));
        let different: Vec<String> = ["depth", "stem", "width", "channels"]
            .into_iter()
            .filter(|&size| own[size] != wanted[size])
            .map(|size| format!("{size} {} against the folder's {}", wanted[size], own[size]))
            .collect();
        if !different.is_empty() {
            let reason = format!("its network differs: {}", different.join(", "));
            return Err(ModelError::Format { path: self.path.clone(), reason });
        }
        let all = self.tensors.iter().chain(&self.head);
        let all = all.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        Ok(Beginning::of(&all, parameters))
    }

    fn assign<'a>(
        &self,
        parameters: &Parameters,
        tensors: impl Iterator<Item = (&'a String, &'a Tensor)>,
    ) -> Result<(), ModelError> {
        let tensors: HashMap<String, Tensor> =
            tensors.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        parameters
            .assign(&tensors)
            .map_err(|mismatch| ModelError::Mismatch { path: self.path.clone(), mismatch })
    }
}
