//! A model folder's encoder under a new classifier, for fine-tuning.

use tch::Device;

use super::ModelFolder;
use crate::{ModelError, Parameters, VitHead, VitModel};

/// What begins the names of a head's own parameters.
const NEW: [&str; 2] = ["fc_norm.", "head."];

impl ModelFolder {
    /// Builds the encoder under a new `head` on a device, with the folder's weights
    /// below it; the head starts from `seed`.
    ///
    /// A mean classifier leaves the folder's final norm out (MAE, fine-tuning).
    /// With `image_size` [height, width] other than the folder's, positions are
    /// interpolated, which is told by an event.
    ///
    /// # Errors
    /// As [`Self::encoder`].
    pub fn classifier(
        &self,
        head: VitHead,
        image_size: Option<[usize; 2]>,
        seed: u64,
        device: Device,
    ) -> Result<(Parameters, VitModel), ModelError> {
        let (parameters, model) = self.untrained(head, image_size, seed, device)?;
        let mut tensors = self.encoder_tensors(model.encoder().config())?;
        tensors.retain(|name, _| !is_new(name));
        if matches!(head, VitHead::MeanClassifier(_)) {
            tensors.retain(|name, _| !name.starts_with("norm."));
        }
        let new = parameters.iter().filter(|parameter| is_new(&parameter.name));
        tensors.extend(new.map(|p| (p.name.clone(), p.tensor.detach().copy())));
        parameters
            .assign(&tensors)
            .map_err(|mismatch| ModelError::Mismatch { path: self.path.clone(), mismatch })?;
        Ok((parameters, model))
    }

    /// The same network with every weight as it starts from `seed`: what training from
    /// scratch begins with.
    ///
    /// # Errors
    /// [`ModelError::Geometry`] and [`ModelError::Config`] for sizes that do not fit.
    pub fn untrained(
        &self,
        head: VitHead,
        image_size: Option<[usize; 2]>,
        seed: u64,
        device: Device,
    ) -> Result<(Parameters, VitModel), ModelError> {
        let config = self.encoder_config(image_size)?;
        let mut parameters = Parameters::new(seed, device);
        let model = VitModel::new(parameters.root(), &config, head)?;
        Ok((parameters, model))
    }
}

fn is_new(name: &str) -> bool {
    NEW.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use tch::{Kind, Tensor};

    use super::*;
    use crate::{
        MaeDecoder, MaeDecoderConfig, ModelConfig, Naming, VisionTransformer, VitConfig,
        VitMaeConfig, VitModelConfig,
    };

    fn pretrained() -> ModelFolder {
        let config = VitConfig::new(8, 4, 16, 2, 2);
        let mut parameters = Parameters::new(1, Device::Cpu);
        let encoder = VisionTransformer::new(parameters.root(), &config).unwrap();
        let decoder = MaeDecoderConfig::new(16, 8, 1, 2, config.patch_values());
        MaeDecoder::new(parameters.root(), &decoder, encoder.grid()).unwrap();
        let config = ModelConfig::VitMae(VitMaeConfig::new(&config, &decoder, 0.75, true));
        ModelFolder::new("pre-trained".into(), config, tensors(&parameters))
    }

    fn tensors(parameters: &Parameters) -> HashMap<String, Tensor> {
        parameters.iter().map(|p| (p.name.clone(), p.tensor.detach())).collect()
    }

    #[test]
    fn the_encoder_is_the_folders_and_the_head_is_new() {
        let folder = pretrained();
        for head in [VitHead::Classifier(3), VitHead::MeanClassifier(3)] {
            let (parameters, model) = folder.classifier(head, None, 5, Device::Cpu).unwrap();
            let (fresh, _) = folder.untrained(head, None, 5, Device::Cpu).unwrap();
            for parameter in &parameters {
                let theirs = folder.tensors().get(&parameter.name);
                let wanted = theirs.unwrap_or(&fresh.get(&parameter.name).unwrap().tensor);
                assert_eq!(parameter.tensor, *wanted, "{}", parameter.name);
            }
            assert_eq!(parameters.get("norm.bias").is_some(), head == VitHead::Classifier(3));
            let images = Tensor::randn([2, 3, 8, 8], (Kind::Float, Device::Cpu));
            assert_eq!(model.forward(&images).unwrap().logits.unwrap().size(), [2, 3]);
        }
        let head = VitHead::MeanClassifier(3);
        let (larger, _) = folder.classifier(head, Some([16, 8]), 0, Device::Cpu).unwrap();
        assert_eq!(larger.get("pos_embed").unwrap().tensor.size(), [1, 1 + 8, 16]);
    }

    #[test]
    fn a_folder_keeps_the_classifier() {
        let head = VitHead::MeanClassifier(3);
        let (parameters, model) = pretrained().classifier(head, None, 5, Device::Cpu).unwrap();
        let config = VitModelConfig::new(model.encoder().config(), Some(3));
        let config = ModelConfig::Vit(config);
        let folder = ModelFolder::new("fine-tuned".into(), config, tensors(&parameters));
        let place = tempfile::tempdir().unwrap();
        folder.write(place.path(), Naming::Timm).unwrap();
        let (_kept, read) = ModelFolder::read(place.path()).unwrap().vit(Device::Cpu).unwrap();
        let images = Tensor::randn([2, 3, 8, 8], (Kind::Float, Device::Cpu));
        let logits = |model: &VitModel| model.forward(&images).unwrap().logits.unwrap();
        assert_eq!(logits(&read), logits(&model));
        // And it can be fine-tuned again, for other classes.
        let again = ModelFolder::read(place.path()).unwrap();
        again.classifier(VitHead::MeanClassifier(7), None, 0, Device::Cpu).unwrap();
        let refused = folder.write(Path::new("nowhere"), Naming::HuggingFace).unwrap_err();
        assert!(refused.to_string().contains("no layout"), "{refused}");
    }
}
