//! What a training step costs in matrix products, counted from the sizes.
//!
//! A product of [n, k] and [k, m] counts 2nkm operations. Counted are the linear
//! layers and the two products of attention; norms, activations, softmax and
//! additions are not. The backward pass of a product is two products of the
//! same cost, one for each factor that wants a gradient. What a kernel computes
//! twice to save memory counts once: these are the model's operations.

use std::ops::Add;

use crate::{BeitConfig, BlockConfig, Linear, MaeDecoderConfig, VitConfig};

/// Floating-point operations of the matrix products in one sample's training step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flops {
    /// Of the forward pass.
    pub forward: u64,
    /// Of the backward pass.
    pub backward: u64,
}

impl Flops {
    /// Of both passes.
    pub fn total(self) -> u64 {
        self.forward + self.backward
    }

    /// Of the forward pass alone, of a network that is not trained.
    pub fn frozen(self) -> Self {
        Self { backward: 0, ..self }
    }

    /// Of so many of the same.
    pub fn times(self, count: usize) -> Self {
        let count = count as u64;
        Self { forward: count * self.forward, backward: count * self.backward }
    }

    /// Products whose factors both want a gradient.
    pub fn trained(forward: u64) -> Self {
        Self { forward, backward: 2 * forward }
    }

    /// Products with data, which wants none.
    pub(crate) fn of_data(forward: u64) -> Self {
        Self { forward, backward: forward }
    }
}

impl Add for Flops {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { forward: self.forward + other.forward, backward: self.backward + other.backward }
    }
}

impl VitConfig {
    /// Encoding `patches` embedded patches and the class token.
    pub fn flops(&self, patches: usize) -> Flops {
        let embed = linear(patches, self.patch_values(), self.dim);
        Flops::of_data(embed) + blocks(&self.block(), self.depth, 1 + patches)
    }
}

impl BeitConfig {
    /// Encoding `visible` embedded patches, `masked` mask tokens and the class token.
    pub fn flops(&self, visible: usize, masked: usize) -> Flops {
        let vit = &self.vit;
        let embed = linear(visible, vit.patch_values(), vit.dim);
        Flops::of_data(embed) + blocks(&vit.block(), vit.depth, 1 + visible + masked)
    }
}

impl BlockConfig {
    /// So many blocks of these sizes on so many tokens.
    pub fn flops(&self, depth: usize, tokens: usize) -> Flops {
        blocks(self, depth, tokens)
    }
}

impl Linear {
    /// Applying the layer to so many rows.
    pub fn flops(&self, rows: usize) -> Flops {
        let size = self.weight.size();
        Flops::trained(linear(rows, size[1] as usize, size[0] as usize))
    }
}

impl MaeDecoderConfig {
    /// Decoding `visible` and `masked` tokens and the class token, and predicting the masked.
    pub fn flops(&self, visible: usize, masked: usize) -> Flops {
        let embed = linear(1 + visible, self.encoder_dim, self.dim);
        let predict = linear(masked, self.dim, self.outputs);
        Flops::trained(embed + predict) + blocks(&self.block(), self.depth, 1 + visible + masked)
    }

    /// Embedding `visible` encoded tokens and the class token, and nothing after that.
    pub fn embed_flops(&self, visible: usize) -> Flops {
        Flops::trained(linear(1 + visible, self.encoder_dim, self.dim))
    }
}

pub(crate) fn blocks(block: &BlockConfig, depth: usize, tokens: usize) -> Flops {
    let BlockConfig { dim, mlp_dim, .. } = *block;
    let qkv_and_proj = linear(tokens, dim, 4 * dim);
    let scores_and_values = 2 * linear(tokens, tokens, dim);
    let mlp = 2 * linear(tokens, dim, mlp_dim);
    Flops::trained(depth as u64 * (qkv_and_proj + scores_and_values + mlp))
}

/// [rows, inputs] times [inputs, outputs].
pub(crate) fn linear(rows: usize, inputs: usize, outputs: usize) -> u64 {
    2 * rows as u64 * inputs as u64 * outputs as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_equal_those_made_by_hand() {
        // 8 × 8 pixels of three channels in four patches of 48 values; 8 wide, 2 blocks.
        let encoder = VitConfig { mlp_dim: 16, ..VitConfig::new(8, 4, 8, 2, 2) };
        // One visible patch: 1·48·8 = 384 multiplications to embed it. Two tokens in a block:
        // qkv 2·8·24 = 384, scores and values 2·2·2·8 = 64, proj 2·8·8 = 128, MLP 2·2·8·16 = 512.
        let block = 384 + 64 + 128 + 512;
        let wanted = Flops { forward: 2 * (384 + 2 * block), backward: 2 * (384 + 4 * block) };
        assert_eq!(encoder.flops(1), wanted);

        // 4 wide, one block, MLP 16; embeds two tokens (2·8·4), decodes five, predicts three.
        let decoder = MaeDecoderConfig::new(8, 4, 1, 1, 48);
        let block = 5 * 4 * 12 + 2 * 5 * 5 * 4 + 5 * 4 * 4 + 2 * 5 * 4 * 16;
        let forward = 2 * (64 + block + 3 * 4 * 48);
        assert_eq!(decoder.flops(1, 3), Flops { forward, backward: 2 * forward });
    }

    #[test]
    fn a_dense_student_costs_its_blocks_in_full_and_its_embedding_in_part() {
        let vit = VitConfig::base(224, 16);
        let beit = BeitConfig::new(vit.clone());
        let embed = |patches| linear(patches, 768, 768);
        let (whole, masked) = (vit.flops(196), beit.flops(118, 78));
        assert_eq!(beit.flops(196, 0), whole);
        assert_eq!(masked.forward, whole.forward - embed(78));
        assert_eq!(masked.backward, whole.backward - embed(78));
    }

    #[test]
    fn vit_b_costs_what_is_published() {
        // Swin's table 1 (arXiv 2103.14030) counts 17.5 billion multiplications for DeiT-B.
        let forward = VitConfig::base(224, 16).flops(196).forward as f64;
        assert!((forward / 2.0 / 17.5e9 - 1.0).abs() < 0.01, "{forward}");
    }
}
