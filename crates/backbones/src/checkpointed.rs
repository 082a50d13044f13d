//! Transformer blocks whose inner values are recomputed in the backward pass.
//!
//! For its gradient, a block keeps about sixteen times the size of its input. A checkpointed block
//! keeps only the input, at the cost of a second forward pass. The last block of a stack is not
//! checkpointed: its backward pass follows at once, while no other block holds inner values.

use bauta_libtorch::{Checkpointing, checkpoint};
use tch::Tensor;

use crate::{Block, DropPath, LayerNorm, Linear};

/// A part of a network that can have several handles to the same weights.
pub(crate) trait Shared {
    /// Another handle to the same weights.
    fn share(&self) -> Self;

    /// The weights.
    fn weights(&self) -> Vec<Tensor>;
}

impl Shared for Linear {
    fn share(&self) -> Self {
        let bias = self.bias.as_ref().map(Tensor::shallow_clone);
        Self { weight: self.weight.shallow_clone(), bias }
    }

    fn weights(&self) -> Vec<Tensor> {
        let all = [Some(&self.weight), self.bias.as_ref()];
        all.into_iter().flatten().map(Tensor::shallow_clone).collect()
    }
}

impl Shared for LayerNorm {
    fn share(&self) -> Self {
        Self {
            weight: self.weight.shallow_clone(),
            bias: self.bias.shallow_clone(),
            dim: self.dim,
            eps: self.eps,
        }
    }

    fn weights(&self) -> Vec<Tensor> {
        vec![self.weight.shallow_clone(), self.bias.shallow_clone()]
    }
}

impl Block {
    /// Applies `forward` to the block and `x`, [B, N, D], and keeps only `x` for the backward pass,
    /// which applies `forward` again.
    ///
    /// `forward` must depend only on the block, on its tensor argument and on captured tensors that
    /// need no gradient.
    ///
    /// # Panics
    /// When `forward` panics.
    pub fn checkpointed(
        &self,
        x: &Tensor,
        forward: impl Fn(&Self, &Tensor) -> Tensor + Send + 'static,
    ) -> Tensor {
        let forward = move |block: &Self, inputs: &[Tensor]| forward(block, &inputs[0]);
        checkpointed(self, &[x], forward)
    }
}

/// Applies `forward` to a part and `inputs`, and keeps only these for the backward pass.
pub(crate) fn checkpointed<P: Shared + Send + 'static>(
    part: &P,
    inputs: &[&Tensor],
    forward: impl Fn(&P, &[Tensor]) -> Tensor + Send + 'static,
) -> Tensor {
    let held = part.share();
    checkpoint(inputs, &part.weights(), move |inputs| forward(&held, inputs))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Whether the block at `place` of `depth` should be checkpointed now.
pub fn is_checkpointed(place: usize, depth: usize) -> bool {
    place + 1 < depth && Checkpointing::is_on()
}

/// Passes tokens [B, N, D] through all blocks; `drop` gives the branches that samples skip.
pub(crate) fn through_blocks(blocks: &[Block], x: Tensor, drop: Option<&DropPath>) -> Tensor {
    blocks.iter().enumerate().fold(x, |x, (place, block)| {
        let factors = drop.and_then(|drop| drop.of_block(place));
        if is_checkpointed(place, blocks.len()) {
            block.checkpointed(&x, move |block, x| block.forward_dropping(x, factors.as_ref()))
        } else {
            block.forward_dropping(&x, factors.as_ref())
        }
    })
}

#[cfg(test)]
mod tests {
    use bauta_libtorch::Autocast;
    use bauta_masking::{MaskPlan, RandomMask};
    use tch::{Device, Kind};

    use super::*;
    use crate::tests::normal;
    use crate::{
        BeitConfig, BeitEncoder, Encode, MaeDecoder, MaeDecoderConfig, Parameters, TokenIndices,
        VisionTransformer, VitConfig,
    };

    /// The gradients of a network's loss for all its parameters, some of which are frozen.
    fn gradients(
        parameters: &Parameters,
        checkpointed: bool,
        bf16: bool,
        loss: impl Fn() -> Tensor,
    ) -> Vec<Tensor> {
        let loss = {
            let _autocast = bf16.then(|| Autocast::bf16(Device::Cpu).unwrap());
            let _checkpointing = checkpointed.then(Checkpointing::on);
            loss()
        };
        let wanted: Vec<Tensor> =
            parameters.trainable().map(|parameter| parameter.tensor.shallow_clone()).collect();
        let found = Tensor::run_backward(&[&loss], &wanted, false, false);
        [loss.detach()].into_iter().chain(found).collect()
    }

    fn same(parameters: &Parameters, loss: impl Fn() -> Tensor) {
        for bf16 in [false, true] {
            let [found, wanted] =
                [true, false].map(|checkpointed| gradients(parameters, checkpointed, bf16, &loss));
            assert_eq!(found, wanted, "bf16: {bf16}");
            assert!(wanted.iter().any(|gradient| gradient.abs().max().double_value(&[]) > 1e-4));
        }
    }

    /// A plan for two samples of 2 × 2 tokens, and factors for three blocks that skip some
    /// branches.
    fn drawn() -> (TokenIndices, DropPath) {
        let config = VitConfig::new(8, 4, 16, 3, 2);
        let strategy = RandomMask::new(config.grid().unwrap(), 0.5).unwrap();
        let plan = MaskPlan::draw(&strategy, 1, 0, &[0, 1]).unwrap();
        let factors = [1.0, 1.0, 1.0, 1.0, 0.0, 1.5, 1.5, 0.0, 1.5, 1.5, 0.0, 1.5];
        (TokenIndices::new(&plan, Device::Cpu), DropPath::new(&factors, 3, 2, Device::Cpu))
    }

    #[test]
    fn an_autoencoder_has_the_gradients_that_it_has_without() {
        let (indices, drop) = drawn();
        let config = VitConfig::new(8, 4, 16, 3, 2);
        let mut parameters = Parameters::new(0, Device::Cpu);
        let encoder = VisionTransformer::new(parameters.root(), &config).unwrap();
        let decoder = MaeDecoderConfig::new(16, 8, 3, 2, 48);
        let decoder = MaeDecoder::new(parameters.root(), &decoder, encoder.grid()).unwrap();
        let images = normal("images", &[2, 3, 8, 8]);
        let loss = || {
            let how = Encode::visible(&indices).dropping(Some(&drop));
            let latent = encoder.encode(&images, how).unwrap();
            let predicted = decoder.predict_masked(&latent, &indices).unwrap();
            (predicted.to_kind(Kind::Float) * normal("weights", &[2, 2, 48])).sum(Kind::Float)
        };
        same(&parameters, loss);
        parameters.train_only(|name| !name.contains("blocks.1."));
        same(&parameters, loss);
    }

    #[test]
    fn a_bias_that_all_blocks_share_has_its_gradient() {
        let (indices, drop) = drawn();
        let vit = VitConfig::new(8, 4, 16, 3, 2);
        let config = BeitConfig { layer_scale: Some(0.5), ..BeitConfig::new(vit) };
        let mut parameters = Parameters::new(0, Device::Cpu);
        let encoder = BeitEncoder::new(parameters.root(), &config).unwrap();
        let images = normal("images", &[2, 3, 8, 8]);
        same(&parameters, || {
            let how = Encode::mask_tokens(&indices).dropping(Some(&drop));
            let latent = encoder.encode(&images, how).unwrap();
            (latent.to_kind(Kind::Float) * normal("weights", &[2, 5, 16])).sum(Kind::Float)
        });
    }

    #[test]
    fn the_last_block_of_a_stack_is_kept() {
        assert!(!is_checkpointed(0, 2));
        let _on = Checkpointing::on();
        assert_eq!([0, 1, 2].map(|place| is_checkpointed(place, 3)), [true, true, false]);
    }
}
