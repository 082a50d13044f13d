//! i-MAE's decoder: linear heads separate mixed images in the latent, before one decoder
//! reconstructs each of them (i-MAE §3, "two-way reconstruction").
//!
//! The heads are the decoder's embeddings, one per image. Everything after them is shared, so the
//! branches are processed together, as one batch.

use std::collections::HashMap;

use bauta_masking::Grid;
use tch::Tensor;

use crate::decoder_body::DecoderBody;
use crate::{Linear, MaeDecoderConfig, ModelError, Scope, TokenIndices};

/// One or two disentangling heads on a shared decoder.
#[derive(Debug)]
pub struct DisentanglingDecoder {
    config: MaeDecoderConfig,
    heads: Vec<Linear>,
    body: DecoderBody,
}

impl DisentanglingDecoder {
    /// A decoder with one head, `decoder_embed`: the parameters are those of MAE's decoder.
    ///
    /// # Errors
    /// [`ModelError::Config`] for sizes that do not fit.
    pub fn single(
        scope: Scope<'_>,
        config: &MaeDecoderConfig,
        grid: Grid,
    ) -> Result<Self, ModelError> {
        Self::new(scope, config, grid, &["decoder_embed"])
    }

    /// A decoder with two heads, `decoder_embed1` for the subordinate image and `decoder_embed2`
    /// for the dominant one.
    ///
    /// # Errors
    /// As [`Self::single`].
    pub fn double(
        scope: Scope<'_>,
        config: &MaeDecoderConfig,
        grid: Grid,
    ) -> Result<Self, ModelError> {
        Self::new(scope, config, grid, &["decoder_embed1", "decoder_embed2"])
    }

    fn new(
        mut scope: Scope<'_>,
        config: &MaeDecoderConfig,
        grid: Grid,
        names: &[&str],
    ) -> Result<Self, ModelError> {
        let head = |name: &&str| Linear::new(scope.sub(name), config.encoder_dim, config.dim, true);
        let heads = names.iter().map(head).collect();
        let body = DecoderBody::new(scope, config, grid)?;
        Ok(Self { config: config.clone(), heads, body })
    }

    /// The sizes.
    pub fn config(&self) -> &MaeDecoderConfig {
        &self.config
    }

    /// Number of heads, 1 or 2.
    pub fn branches(&self) -> usize {
        self.heads.len()
    }

    /// The latent of each branch: maps [B, 1 + V, D] to one [B, 1 + V, Dd] per head, the
    /// subordinate image's first.
    ///
    /// # Panics
    /// When the latent is of another width.
    pub fn disentangle(&self, latent: &Tensor) -> Vec<Tensor> {
        self.heads.iter().map(|head| head.forward(latent)).collect()
    }

    /// Predicts only the masked tokens of each branch: latents [B, 1 + V, Dd] of some branches to
    /// as many [B, M, P].
    ///
    /// # Errors
    /// [`ModelError::Shape`] when a latent does not belong to the plan.
    pub fn predict_masked(
        &self,
        latents: &[Tensor],
        indices: &TokenIndices,
    ) -> Result<Vec<Tensor>, ModelError> {
        self.side_by_side(latents, indices, DecoderBody::predict_masked)
    }

    /// Predicts every token of each branch, in image order: latents [B, 1 + V, Dd] of some
    /// branches to as many [B, L, P]. The predictions of visible tokens are meaningless.
    ///
    /// # Errors
    /// As [`Self::predict_masked`].
    pub fn predict_all(
        &self,
        latents: &[Tensor],
        indices: &TokenIndices,
    ) -> Result<Vec<Tensor>, ModelError> {
        self.side_by_side(latents, indices, DecoderBody::predict_all)
    }

    fn side_by_side(
        &self,
        latents: &[Tensor],
        indices: &TokenIndices,
        predict: impl Fn(&DecoderBody, &Tensor, &TokenIndices) -> Tensor,
    ) -> Result<Vec<Tensor>, ModelError> {
        latents.iter().try_for_each(|latent| self.body.check(latent, indices))?;
        Ok(match latents {
            [] => Vec::new(),
            [one] => vec![predict(&self.body, one, indices)],
            several => {
                let all = Tensor::cat(several, 0);
                let predicted = predict(&self.body, &all, &indices.repeated(several.len()));
                predicted.chunk(several.len() as i64, 0)
            }
        })
    }
}

/// Renames a masked autoencoder's weights for a decoder with `branches` branches: with two, each
/// head is a copy of `decoder_embed` (i-MAE's continued pre-training).
pub fn mae_weights_for_branches(
    weights: &HashMap<String, Tensor>,
    branches: usize,
) -> HashMap<String, Tensor> {
    let mut renamed = HashMap::new();
    for (name, tensor) in weights {
        match name.strip_prefix("decoder_embed.") {
            Some(field) if branches > 1 => {
                renamed.extend((1..=branches).map(|branch| {
                    (format!("decoder_embed{branch}.{field}"), tensor.shallow_clone())
                }))
            }
            _ => drop(renamed.insert(name.clone(), tensor.shallow_clone())),
        }
    }
    renamed
}

#[cfg(test)]
mod tests {
    use bauta_masking::MaskPlan;
    use tch::{Device, Kind};

    use super::*;
    use crate::{MaeDecoder, Parameters, VisionTransformer, VitConfig, tests::normal};

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn sizes() -> (VitConfig, MaeDecoderConfig) {
        let encoder =
            VitConfig { image_height: 16, image_width: 24, ..VitConfig::new(0, 4, 32, 2, 2) };
        let decoder = MaeDecoderConfig::new(32, 16, 2, 2, encoder.patch_values());
        (encoder, decoder)
    }

    fn indices(noise: impl Fn(i32) -> i32) -> TokenIndices {
        let noise: Vec<f32> = (0..48).map(|i| noise(i) as f32).collect();
        TokenIndices::new(&MaskPlan::from_noise(&noise, 2, 0.75).unwrap(), Device::Cpu)
    }

    fn tensors(parameters: &Parameters) -> HashMap<String, Tensor> {
        parameters.iter().map(|p| (p.name.clone(), p.tensor.shallow_clone())).collect()
    }

    fn distance(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    /// Number of trained scalars of encoder and decoder.
    fn trained(
        config: &VitConfig,
        (dim, depth, heads): (usize, usize, usize),
        branches: usize,
    ) -> (usize, Vec<String>) {
        let mut parameters = Parameters::sketch();
        let encoder = VisionTransformer::new(parameters.root(), config).unwrap();
        let decoder = MaeDecoderConfig::new(config.dim, dim, depth, heads, config.patch_values());
        let build =
            if branches == 2 { DisentanglingDecoder::double } else { DisentanglingDecoder::single };
        build(parameters.root(), &decoder, encoder.grid()).unwrap();
        let count = parameters.trainable().map(|p| p.tensor.numel()).sum();
        let embeddings = parameters.iter().map(|p| p.name.clone());
        (count, embeddings.filter(|name| name.starts_with("decoder_embed")).collect())
    }

    #[test]
    fn parameter_counts_are_those_of_the_reference() {
        let (base, large) = (VitConfig::base(224, 16), VitConfig::large(224, 16));
        let small = VitConfig::new(64, 8, 384, 12, 6);
        assert_eq!(trained(&base, (512, 8, 16), 1).0, 111_655_680);
        // The reference counts 112,443,136, including the parent class's unused `decoder_embed`.
        let (double, names) = trained(&base, (512, 8, 16), 2);
        assert_eq!(double, 112_049_408);
        assert_eq!(
            names,
            ["decoder_embed1", "decoder_embed2"]
                .map(|head| ["weight", "bias"].map(|field| format!("{head}.{field}")))
                .concat()
        );
        assert_eq!(trained(&large, (512, 8, 16), 1).0, 329_239_296);
        assert_eq!(trained(&small, (192, 6, 6), 1).0, 24_149_568);
    }

    #[test]
    fn one_head_is_the_masked_autoencoders_decoder() {
        let (encoder, decoder) = sizes();
        let grid = encoder.grid().unwrap();
        let mut parameters = [(); 2].map(|()| Parameters::new(3, Device::Cpu));
        let [a, b] = &mut parameters;
        let mae = MaeDecoder::new(a.root(), &decoder, grid).unwrap();
        let single = DisentanglingDecoder::single(b.root(), &decoder, grid).unwrap();
        let (latent, indices) = (normal("latent", &[2, 7, 32]), indices(|i| i * 29 % 48));
        let branches = single.disentangle(&latent);
        assert_eq!(branches[0], mae.embed(&latent));
        for (found, wanted) in [
            (single.predict_all(&branches, &indices), mae.predict_all(&latent, &indices)),
            (single.predict_masked(&branches, &indices), mae.predict_masked(&latent, &indices)),
        ] {
            assert_eq!(found.unwrap(), [wanted.unwrap()]);
        }
    }

    #[test]
    fn heads_with_the_same_weights_predict_the_same_and_only_then() {
        let (encoder, decoder) = sizes();
        let grid = encoder.grid().unwrap();
        let mut parameters = [(); 2].map(|()| Parameters::new(3, Device::Cpu));
        let [a, b] = &mut parameters;
        let mae = MaeDecoder::new(a.root(), &decoder, grid).unwrap();
        let double = DisentanglingDecoder::double(b.root(), &decoder, grid).unwrap();
        let (latent, indices) = (normal("latent", &[2, 7, 32]), indices(|i| i * 29 % 48));
        let predict = || {
            let predicted = double.predict_masked(&double.disentangle(&latent), &indices).unwrap();
            <[Tensor; 2]>::try_from(predicted).unwrap()
        };
        let [first, second] = predict();
        assert!(distance(&first, &second) > 1e-3);
        parameters[1].assign(&mae_weights_for_branches(&tensors(&parameters[0]), 2)).unwrap();
        let latents = double.disentangle(&latent);
        assert_eq!(latents[0], latents[1]);
        let [first, second] = predict();
        // The two branches differ only by rounding, which depends on a row's position in the batch.
        assert!(distance(&first, &second) < 1e-6);
        let alone = [0, 1].map(|branch| {
            double.predict_masked(&latents[branch..=branch], &indices).unwrap().remove(0)
        });
        assert_eq!(alone[0], alone[1], "one by one exactly");
        assert!(distance(&first, &mae.predict_masked(&latent, &indices).unwrap()) < 1e-5);
        // A branch does not depend on the other branch's head.
        let head = &parameters[1].get("decoder_embed2.weight").unwrap().tensor;
        let _ = tch::no_grad(|| head.shallow_clone().zero_());
        let [unchanged, changed] = predict();
        assert_eq!(unchanged, first);
        assert!(distance(&changed, &first) > 1e-3);
    }

    #[test]
    fn branches_side_by_side_are_branches_one_by_one() {
        let (encoder, decoder) = sizes();
        let mut parameters = Parameters::new(3, Device::Cpu);
        let grid = encoder.grid().unwrap();
        let double = DisentanglingDecoder::double(parameters.root(), &decoder, grid).unwrap();
        // The two samples have different plans.
        let indices = indices(|i| if i < 24 { i * 7 % 24 } else { i * 11 % 24 });
        let latents = double.disentangle(&normal("latent", &[2, 7, 32]));
        let together = double.predict_all(&latents, &indices).unwrap();
        for (latent, together) in latents.chunks(1).zip(&together) {
            let alone = double.predict_all(latent, &indices).unwrap();
            assert!(distance(&alone[0], together) < 1e-5);
        }
        let strange = [Tensor::zeros([2, 5, 16], CPU)];
        assert!(double.predict_masked(&strange, &indices).is_err());
    }

    #[test]
    fn repeated_plans_keep_their_bookkeeping() {
        let plan = indices(|i| i * 29 % 48);
        let twice = plan.repeated(2);
        assert_eq!((twice.batch(), twice.tokens()), (4, 24));
        // Σ mask = N (L − K); kept and removed tokens are a permutation; restoring undoes the
        // shuffle.
        assert_eq!(twice.mask().sum(Kind::Float).double_value(&[]), 4.0 * 18.0);
        let shuffled = Tensor::cat(&[twice.visible(), twice.masked()], 1);
        let order = shuffled.sort(1, false).0;
        assert_eq!(order, Tensor::arange(24, (Kind::Int64, Device::Cpu)).expand([4, 24], false));
        let x = normal("x", &[4, 24, 3]);
        let apart = [twice.gather_visible(&x), twice.gather_masked(&x)];
        assert_eq!(twice.restore_order(&Tensor::cat(&apart, 1)), x);
    }
}
