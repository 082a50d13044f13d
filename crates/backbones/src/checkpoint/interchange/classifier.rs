//! A model folder's encoder with a new classifier, for fine-tuning.

use tch::Device;

use super::encoders::sized_beit;
use super::{BeitModelConfig, ModelConfig, ModelFolder, VitModelConfig};
use crate::{BeitEncoder, EncoderHead, EncoderWithHead, ModelError, Parameters};

/// Prefixes of the names of a head's own parameters.
const NEW: [&str; 2] = ["fc_norm.", "head."];

impl ModelFolder {
    /// Builds the encoder with a new `head` on a device. The encoder has the folder's weights, the
    /// head is initialised from `seed`. For a BEiT, the encoder is that of [`Self::tunable`].
    ///
    /// A mean classifier leaves the folder's final norm out (MAE, fine-tuning). If `image_size`
    /// [height, width] differs from the folder's, positions are interpolated, which is logged.
    ///
    /// # Errors
    /// As [`Self::image_encoder`], and [`ModelError::Format`] for a CLIP tower or when the head
    /// needs a final norm that the folder lacks after its own fine-tuning.
    pub fn classifier(
        &self,
        head: EncoderHead,
        image_size: Option<[usize; 2]>,
        seed: u64,
        device: Device,
    ) -> Result<(Parameters, EncoderWithHead), ModelError> {
        let (parameters, model) = self.untrained(head, image_size, seed, device)?;
        let mut tensors = self.tunable().encoder_tensors(model.encoder().grid())?;
        tensors.retain(|name, _| !is_new(name));
        if matches!(head, EncoderHead::MeanClassifier(_)) {
            tensors.retain(|name, _| !name.starts_with("norm."));
        } else if self.tensors.contains_key("fc_norm.weight")
            && !tensors.contains_key("norm.weight")
        {
            return Err(self.refuse(
                "it was fine-tuned on the mean of its patch tokens and has no final norm; use the \
                 mean, not the class token",
            ));
        }
        let new = parameters.iter().filter(|parameter| is_new(&parameter.name));
        tensors.extend(new.map(|p| (p.name.clone(), p.tensor.detach().copy())));
        self.assign_all(&parameters, &tensors)?;
        Ok((parameters, model))
    }

    /// Builds the same network with initial weights drawn from `seed`, for training from scratch.
    ///
    /// # Errors
    /// [`ModelError::Geometry`] and [`ModelError::Config`] for sizes that do not fit,
    /// [`ModelError::Format`] for a CLIP tower.
    pub fn untrained(
        &self,
        head: EncoderHead,
        image_size: Option<[usize; 2]>,
        seed: u64,
        device: Device,
    ) -> Result<(Parameters, EncoderWithHead), ModelError> {
        let mut parameters = Parameters::new(seed, device);
        let root = parameters.root();
        let model = match &self.config {
            ModelConfig::VitMae(_) | ModelConfig::Vit(_) => {
                EncoderWithHead::vit(root, &self.sized_vit(image_size)?, head)?
            }
            ModelConfig::Beit(config) => {
                EncoderWithHead::beit(root, &sized_beit(config, image_size)?, head)?
            }
            ModelConfig::Clip(_) => return Err(self.has_no_classifier()),
        };
        Ok((parameters, model))
    }

    /// Describes the model that [`Self::classifier`] builds.
    ///
    /// # Errors
    /// As [`Self::untrained`].
    pub fn classifier_config(
        &self,
        head: EncoderHead,
        image_size: Option<[usize; 2]>,
    ) -> Result<ModelConfig, ModelError> {
        Ok(match &self.config {
            ModelConfig::VitMae(_) | ModelConfig::Vit(_) => {
                let sized = self.sized_vit(image_size)?;
                ModelConfig::Vit(VitModelConfig::new(&sized, head.classes()))
            }
            ModelConfig::Beit(config) => {
                let sized = sized_beit(config, image_size)?;
                let mean = matches!(head, EncoderHead::MeanClassifier(_));
                ModelConfig::Beit(BeitModelConfig::fine_tuned(&sized, head.classes(), mean))
            }
            ModelConfig::Clip(_) => return Err(self.has_no_classifier()),
        })
    }

    /// Prepares a BEiT for training on whole images, as in BEiT v2's fine-tuning: each block gets a
    /// copy of the shared table of position biases, and parts needed only for masked patches are
    /// removed. Other models are unchanged.
    #[must_use]
    pub fn tunable(&self) -> Self {
        let masked = |name: &str| name == "mask_token" || name.starts_with("lm_head.");
        let (config, tensors) = match &self.config {
            ModelConfig::Beit(config) => {
                let mut tensors = self.shared_tensors(|name| !masked(name));
                BeitEncoder::expand_shared_bias(&mut tensors, config.sizes.num_hidden_layers);
                let has_head = self.tensors.contains_key("lm_head.weight");
                (ModelConfig::Beit(config.expanded(has_head)), tensors)
            }
            other => (other.clone(), self.shared_tensors(|_| true)),
        };
        let preprocessing = self.preprocessing.clone();
        Self { path: self.path.clone(), config, tensors, preprocessing }
    }

    /// Builds a BEiT with the classifier that the weights hold.
    pub(super) fn tuned_beit(
        &self,
        config: &BeitModelConfig,
        device: Device,
    ) -> Result<(Parameters, EncoderWithHead), ModelError> {
        let classes = self.rows("head.weight").unwrap_or_default();
        let head = if config.use_mean_pooling {
            EncoderHead::MeanClassifier(classes)
        } else {
            EncoderHead::Classifier(classes)
        };
        let mut parameters = Parameters::new(0, device);
        let model = EncoderWithHead::beit(parameters.root(), &config.encoder()?, head)?;
        self.assign_all(&parameters, &self.tunable().tensors)?;
        Ok((parameters, model))
    }

    fn has_no_classifier(&self) -> ModelError {
        self.refuse(
            "a CLIP tower cannot be fine-tuned, because no layout stores it with a classifier; \
             evaluate its features instead",
        )
    }

    fn refuse(&self, reason: &str) -> ModelError {
        ModelError::Format { path: self.path.clone(), reason: reason.to_owned() }
    }
}

fn is_new(name: &str) -> bool {
    NEW.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests;
