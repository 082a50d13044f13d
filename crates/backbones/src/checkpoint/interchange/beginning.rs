//! A network that starts from a folder's weights, as far as they fit.

use std::collections::HashMap;
use std::fmt;

use tch::{Kind, Tensor};

use super::{ModelConfig, ModelFolder};
use crate::checkpoint::is_float;
use crate::{
    ImageEncoder, ModelError, Parameters, VitConfig, interpolate_positions,
    mae_weights_for_branches,
};

/// A size that differs between a folder's encoder and a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeDifference {
    /// The field of [`VitConfig`].
    pub size: &'static str,
    /// The folder's.
    pub folder: usize,
    /// The network's.
    pub network: usize,
}

/// The outcome of loading a folder's weights: sorted lists of tensor names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beginning {
    /// Tensors loaded from the folder.
    pub loaded: Vec<String>,
    /// Of these, tensors resampled to another patch grid.
    pub interpolated: Vec<String>,
    /// Tensors that the folder lacks; they keep their initial values.
    pub missing: Vec<String>,
    /// Tensors that the network lacks.
    pub unexpected: Vec<String>,
    /// Tensors with another shape in the folder, with both shapes; they keep their initial values.
    pub misshaped: Vec<(String, Vec<i64>, Vec<i64>)>,
}

impl ModelFolder {
    /// Differences in size between the folder's encoder and a network; the position grid is not
    /// compared, since it can be interpolated.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the folder's patches are not square.
    pub fn size_differences(&self, network: &VitConfig) -> Result<Vec<SizeDifference>, ModelError> {
        let own = self.config().sizes().vit()?;
        let sizes =
            |of: &VitConfig| [of.channels, of.patch_size, of.dim, of.depth, of.heads, of.mlp_dim];
        let names = ["channels", "patch_size", "dim", "depth", "heads", "mlp_dim"];
        let both = names.into_iter().zip(sizes(&own)).zip(sizes(network));
        let different = both.filter(|((_, folder), network)| folder != network);
        Ok(different
            .map(|((size, folder), network)| SizeDifference { size, folder, network })
            .collect())
    }

    /// Loads the folder's weights into the network of this `encoder` where names and shapes agree;
    /// all other parameters keep their values.
    ///
    /// Position tables are resampled to the encoder's grid. With two decoder heads (i-MAE), both
    /// start from a masked autoencoder's single head.
    ///
    /// # Errors
    /// [`ModelError::Format`] when the folder's encoder is another kind of network or has other
    /// [sizes](Self::size_differences); no parameter is changed in that case.
    pub fn begin(
        &self,
        encoder: &dyn ImageEncoder,
        parameters: &Parameters,
    ) -> Result<Beginning, ModelError> {
        self.check_kind(encoder, parameters)?;
        let (tensors, interpolated) = self.brought_to(encoder)?;
        let branches = if parameters.get("decoder_embed1.weight").is_some() { 2 } else { 1 };
        let tensors = mae_weights_for_branches(&tensors, branches);
        let mut begun = Beginning::of(&tensors, parameters);
        begun.interpolated = interpolated;
        begun.interpolated.retain(|name| begun.loaded.contains(name));
        Ok(begun)
    }

    /// Refuses a folder whose encoder is another network.
    fn check_kind(
        &self,
        encoder: &dyn ImageEncoder,
        parameters: &Parameters,
    ) -> Result<(), ModelError> {
        let refuse = |reason| Err(ModelError::Format { path: self.path.clone(), reason });
        let wants_beit =
            parameters.iter().any(|p| p.name.ends_with("relative_position_bias_table"));
        let fits = match self.config() {
            ModelConfig::VitMae(_) | ModelConfig::Vit(_) => !wants_beit,
            ModelConfig::Beit(_) => wants_beit,
            ModelConfig::Clip(_) => false,
        };
        if !fits {
            let wanted = if wants_beit { "a BEiT" } else { "a masked autoencoder or a plain ViT" };
            let found = self.config().describe();
            return refuse(format!(
                "it holds {found}, but the network has the encoder of {wanted}"
            ));
        }
        let Some(network) = encoder.transformer() else {
            return refuse("it holds a vision transformer, but the network is not one".to_owned());
        };
        let different = self.size_differences(network)?;
        if !different.is_empty() {
            let said = different.iter().map(ToString::to_string).collect::<Vec<_>>();
            return refuse(format!("its encoder has a different size: {}", said.join(", ")));
        }
        let (own, wanted) = (self.config().sizes().hidden_act, network.activation);
        if own != wanted {
            return refuse(format!("its activation is {own:?}, the network's is {wanted:?}"));
        }
        Ok(())
    }

    /// All weights, with positions resampled to the encoder's grid, and the names of the resampled
    /// ones.
    fn brought_to(
        &self,
        encoder: &dyn ImageEncoder,
    ) -> Result<(HashMap<String, Tensor>, Vec<String>), ModelError> {
        let (from, to) = (self.config().sizes().vit()?.grid()?, encoder.grid());
        let mut tensors = self.shared_tensors(|_| true);
        let mut interpolated = Vec::new();
        if from == to {
            return Ok((tensors, interpolated));
        }
        for (name, tensor) in self.encoder_tensors(to)? {
            if tensors.get(&name).is_some_and(|own| !own.is_set_to(&tensor)) {
                interpolated.push(name.clone());
                tensors.insert(name, tensor);
            }
        }
        let of_decoder = "decoder_pos_embed";
        if let Some(own) = tensors.get(of_decoder)
            && matches!(own.size()[..], [1, rows, _] if rows == 1 + from.tokens() as i64)
        {
            let table = interpolate_positions(&own.to_kind(Kind::Float), from, to);
            interpolated.push(of_decoder.to_owned());
            tensors.insert(of_decoder.to_owned(), table);
        }
        interpolated.sort();
        Ok((tensors, interpolated))
    }
}

impl fmt::Display for SizeDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, folder, network } = self;
        write!(f, "{size} {network} against the folder's {folder}")
    }
}

impl Beginning {
    /// Loads tensors into the parameters of the same names and shapes; all others keep their
    /// values.
    pub(super) fn of(tensors: &HashMap<String, Tensor>, parameters: &Parameters) -> Self {
        let mut begun = Self::default();
        tch::no_grad(|| {
            for parameter in parameters {
                let name = parameter.name.clone();
                let Some(tensor) = tensors.get(&name).filter(|t| is_float(t.kind())) else {
                    begun.missing.push(name);
                    continue;
                };
                let (found, wanted) = (tensor.size(), parameter.tensor.size());
                if found == wanted {
                    parameter.tensor.shallow_clone().copy_(tensor);
                    begun.loaded.push(name);
                } else {
                    begun.misshaped.push((name, found, wanted));
                }
            }
        });
        let strange = |name: &&String| parameters.get(name).is_none();
        begun.unexpected = tensors.keys().filter(strange).cloned().collect();
        begun.unexpected.sort();
        begun
    }

    /// Remarks on all tensors but those loaded unchanged: one entry per kind, with names and
    /// details.
    pub fn remarks(&self) -> Vec<(&'static str, Vec<String>)> {
        let misshaped = self.misshaped.iter();
        let misshaped = misshaped
            .map(|(name, folder, network)| format!("{name} ({folder:?} there, {network:?} here)"));
        let mut remarks = vec![
            ("resampled to the patch grid", self.interpolated.clone()),
            ("not in the folder, at its initial value", self.missing.clone()),
            ("shape differs from the folder's, at its initial value", misshaped.collect()),
            ("in the folder but not in the network", self.unexpected.clone()),
        ];
        remarks.retain(|(_, names)| !names.is_empty());
        remarks
    }
}

/// One line: the number of loaded tensors, and the names of all others.
impl fmt::Display for Beginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.loaded.len() + self.missing.len() + self.misshaped.len();
        write!(f, "{} of {all} tensors loaded", self.loaded.len())?;
        for (what, names) in self.remarks() {
            write!(f, "; {what}: {}", names.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::normal;
    use crate::{
        BeitConfig, BeitEncoder, BeitModelConfig, DisentanglingDecoder, MaeDecoder,
        MaeDecoderConfig, VisionTransformer, VitMaeConfig, VitModelConfig,
    };
    use tch::Device;

    fn sizes(side: usize) -> VitConfig {
        VitConfig::new(side, 4, 16, 2, 2)
    }

    /// A network of an encoder and a decoder with `outputs` outputs.
    fn network(config: &VitConfig, outputs: usize) -> (Parameters, VisionTransformer) {
        let mut parameters = Parameters::new(1, Device::Cpu);
        let encoder = VisionTransformer::new(parameters.root(), config).unwrap();
        let decoder = MaeDecoderConfig::new(config.dim, 8, 1, 2, outputs);
        MaeDecoder::new(parameters.root(), &decoder, encoder.grid()).unwrap();
        (parameters, encoder)
    }

    /// A folder of that network with other weights.
    fn folder(config: &VitConfig) -> ModelFolder {
        let (parameters, _) = network(config, config.patch_values());
        let value = |p: &crate::Parameter| (p.name.clone(), normal(&p.name, &p.tensor.size()));
        let tensors = parameters.iter().map(value).collect();
        let decoder = MaeDecoderConfig::new(config.dim, 8, 1, 2, config.patch_values());
        let described = ModelConfig::VitMae(VitMaeConfig::new(config, &decoder, 0.75, true));
        ModelFolder::new("folder".into(), described, tensors)
    }

    fn value(parameters: &Parameters, name: &str) -> Tensor {
        parameters.get(name).unwrap().tensor.detach()
    }

    #[test]
    fn everything_of_the_same_network_is_taken_over() {
        let config = sizes(16);
        let (parameters, encoder) = network(&config, config.patch_values());
        let folder = folder(&config);
        let begun = folder.begin(&encoder, &parameters).unwrap();
        assert_eq!(begun.loaded.len(), parameters.iter().len());
        assert!(begun.remarks().is_empty(), "{begun}");
        for parameter in &parameters {
            assert_eq!(parameter.tensor.detach(), folder.tensors()[&parameter.name]);
        }
        // Encoders and decoders built before also have the loaded values.
        assert_eq!(begun.to_string(), format!("{0} of {0} tensors loaded", begun.loaded.len()));
    }

    #[test]
    fn positions_come_to_the_grid_of_the_network() {
        let folder = folder(&sizes(16));
        let config = sizes(24);
        let (parameters, encoder) = network(&config, config.patch_values());
        let begun = folder.begin(&encoder, &parameters).unwrap();
        assert_eq!(begun.interpolated, ["decoder_pos_embed", "pos_embed"]);
        let (from, to) = (sizes(16).grid().unwrap(), config.grid().unwrap());
        for name in ["pos_embed", "decoder_pos_embed"] {
            let wanted = interpolate_positions(&folder.tensors()[name], from, to);
            assert_eq!(value(&parameters, name), wanted, "{name}");
        }
        assert_eq!(begun.loaded.len(), parameters.iter().len());
    }

    #[test]
    fn what_does_not_fit_keeps_its_start_and_is_named() {
        // The encoder alone, with a classifier, for a decoder that predicts a teacher's features.
        let config = sizes(16);
        let mut tensors = folder(&config).shared_tensors(|name| !name.contains("decoder"));
        tensors.remove("mask_token");
        tensors.insert("head.weight".to_owned(), normal("head", &[3, 16]));
        let described = ModelConfig::Vit(VitModelConfig::new(&config, Some(3)));
        let vit = ModelFolder::new("vit".into(), described, tensors);
        let (parameters, encoder) = network(&config, 7);
        let before = value(&parameters, "decoder_pred.weight").copy();
        let begun = vit.begin(&encoder, &parameters).unwrap();
        assert_eq!(begun.unexpected, ["head.weight"]);
        assert!(begun.missing.iter().all(|n| n.starts_with("decoder") || n == "mask_token"));
        assert_eq!(value(&parameters, "decoder_pred.weight"), before);
        assert_eq!(value(&parameters, "norm.weight"), vit.tensors()["norm.weight"]);

        let begun = folder(&config).begin(&encoder, &parameters).unwrap();
        let names: Vec<&str> = begun.misshaped.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["decoder_pred.weight", "decoder_pred.bias"]);
        assert!(begun.to_string().contains("decoder_pred.bias ([48] there, [7] here)"), "{begun}");
        assert_eq!(value(&parameters, "decoder_pred.weight"), before);
    }

    #[test]
    fn each_of_two_heads_takes_the_one_of_a_masked_autoencoder() {
        let config = sizes(16);
        let mut parameters = Parameters::new(1, Device::Cpu);
        let encoder = VisionTransformer::new(parameters.root(), &config).unwrap();
        let decoder = MaeDecoderConfig::new(16, 8, 1, 2, config.patch_values());
        DisentanglingDecoder::double(parameters.root(), &decoder, encoder.grid()).unwrap();
        let folder = folder(&config);
        let begun = folder.begin(&encoder, &parameters).unwrap();
        assert!(begun.remarks().is_empty(), "{begun}");
        for name in ["decoder_embed1.weight", "decoder_embed2.weight"] {
            assert_eq!(value(&parameters, name), folder.tensors()["decoder_embed.weight"]);
        }
    }

    #[test]
    fn another_network_is_refused_and_nothing_changes() {
        let folder = folder(&sizes(16));
        let wider = VitConfig { heads: 4, mlp_dim: 96, ..VitConfig::new(16, 4, 24, 3, 2) };
        let (parameters, encoder) = network(&wider, 48);
        let before = value(&parameters, "norm.bias").copy();
        let refused = folder.begin(&encoder, &parameters).unwrap_err().to_string();
        let said = "dim 24 against the folder's 16, depth 3 against the folder's 2, heads 4 against \
                    the folder's 2, mlp_dim 96 against the folder's 64";
        assert!(refused.ends_with(said), "{refused}");
        assert_eq!(value(&parameters, "norm.bias"), before);

        let mut parameters = Parameters::new(0, Device::Cpu);
        let beit = BeitConfig::new(sizes(16));
        let encoder = BeitEncoder::new(parameters.root(), &beit).unwrap();
        let refused = folder.begin(&encoder, &parameters).unwrap_err().to_string();
        assert!(
            refused.contains("a masked autoencoder, but the network has the encoder of a BEiT")
        );
        // A BEiT starts from a BEiT's weights.
        let value = |p: &crate::Parameter| (p.name.clone(), normal(&p.name, &p.tensor.size()));
        let tensors = parameters.iter().map(value).collect();
        let described = ModelConfig::Beit(BeitModelConfig::new(&beit, None));
        let folder = ModelFolder::new("beit".into(), described, tensors);
        let begun = folder.begin(&encoder, &parameters).unwrap();
        assert!(begun.remarks().is_empty(), "{begun}");
        let mut larger = Parameters::new(0, Device::Cpu);
        let encoder = BeitEncoder::new(larger.root(), &BeitConfig::new(sizes(24))).unwrap();
        let begun = folder.begin(&encoder, &larger).unwrap();
        assert!(begun.interpolated[0].ends_with("relative_position_bias_table"), "{begun}");
        assert!(begun.missing.is_empty() && begun.misshaped.is_empty(), "{begun}");
        let refused = folder.begin(&network(&sizes(16), 48).1, &network(&sizes(16), 48).0);
        assert!(refused.unwrap_err().to_string().contains("it holds a BEiT"));
    }
}
