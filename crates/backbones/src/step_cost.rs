//! Cost of one sample's training step, computed from the sizes: the operations of its matrix
//! products, and the values kept from the forward pass for the backward pass.
//!
//! A product of [n, k] and [k, m] counts 2nkm operations. Linear layers and the two products of
//! attention are counted; norms, activations, softmax and additions are not. The backward pass of a
//! product is two products of the same cost, one for each factor that needs a gradient. What a
//! kernel computes twice to save memory counts once: these are the model's operations.
//!
//! Kept values are the inputs of products and norms, what attention reads again, and an
//! activation's input. The values of losses, of gathered rows and of the step itself are not
//! counted.

use std::ops::Add;

use crate::{BeitConfig, BlockConfig, Linear, MaeDecoderConfig, VitConfig};

/// Operations and kept values of one sample's training step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepCost {
    /// Floating-point operations of the forward pass.
    pub forward: u64,
    /// Floating-point operations of the backward pass.
    pub backward: u64,
    /// Values that the forward pass keeps for the backward pass.
    pub kept: u64,
    /// Operations of the forward pass that are repeated when blocks are checkpointed
    /// ([`Block::checkpointed`](crate::Block::checkpointed)).
    pub again: u64,
    /// Values of `kept` that are not kept in that case.
    pub spared: u64,
}

impl StepCost {
    /// Operations of both passes.
    pub fn total(self) -> u64 {
        self.forward + self.backward
    }

    /// The cost of the forward pass alone, for a network that is not trained.
    pub fn frozen(self) -> Self {
        Self { forward: self.forward, ..Self::default() }
    }

    /// The cost of `count` such samples.
    pub fn times(self, count: usize) -> Self {
        let count = count as u64;
        Self {
            forward: count * self.forward,
            backward: count * self.backward,
            kept: count * self.kept,
            again: count * self.again,
            spared: count * self.spared,
        }
    }

    /// The cost of a linear layer on `rows` rows, whose input also needs a gradient.
    pub fn linear(rows: usize, inputs: usize, outputs: usize) -> Self {
        Self { kept: (rows * inputs) as u64, ..Self::trained(product(rows, inputs, outputs)) }
    }

    /// The same on data, which need no gradient.
    pub(crate) fn linear_of_data(rows: usize, inputs: usize, outputs: usize) -> Self {
        Self { kept: (rows * inputs) as u64, ..Self::of_data(product(rows, inputs, outputs)) }
    }

    /// Products whose factors both need a gradient, by the operations of the forward pass.
    pub(crate) fn trained(forward: u64) -> Self {
        Self { forward, backward: 2 * forward, ..Self::default() }
    }

    /// Products with data, which need no gradient.
    pub(crate) fn of_data(forward: u64) -> Self {
        Self { forward, backward: forward, ..Self::default() }
    }
}

impl Add for StepCost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            forward: self.forward + other.forward,
            backward: self.backward + other.backward,
            kept: self.kept + other.kept,
            again: self.again + other.again,
            spared: self.spared + other.spared,
        }
    }
}

impl VitConfig {
    /// The cost of encoding `patches` embedded patches and the class token.
    pub fn step_cost(&self, patches: usize) -> StepCost {
        StepCost::linear_of_data(patches, self.patch_values(), self.dim)
            + self.block().step_cost(self.depth, 1 + patches)
    }
}

impl BeitConfig {
    /// The cost of encoding `visible` embedded patches, `masked` mask tokens and the class token.
    pub fn step_cost(&self, visible: usize, masked: usize) -> StepCost {
        let vit = &self.vit;
        StepCost::linear_of_data(visible, vit.patch_values(), vit.dim)
            + vit.block().step_cost(vit.depth, 1 + visible + masked)
    }
}

impl BlockConfig {
    /// The cost of `depth` blocks of these sizes on `tokens` tokens.
    pub fn step_cost(&self, depth: usize, tokens: usize) -> StepCost {
        let Self { dim, mlp_dim, heads, .. } = *self;
        let qkv_and_proj = product(tokens, dim, 4 * dim);
        let scores_and_values = 2 * product(tokens, tokens, dim);
        let mlp = 2 * product(tokens, dim, mlp_dim);
        let forward = qkv_and_proj + scores_and_values + mlp;
        let input = tokens * dim;
        // Inputs of both norms, of qkv, proj and fc1; queries, keys and values; one sum per row of
        // scores; the MLP's hidden values before and after the activation.
        let kept = 8 * input + tokens * heads + 2 * tokens * mlp_dim;
        // The last block of a stack is not checkpointed; the others keep their input.
        let (all, others) = (depth as u64, depth.saturating_sub(1) as u64);
        StepCost {
            kept: all * kept as u64,
            again: others * forward,
            spared: others * (kept - input) as u64,
            ..StepCost::trained(all * forward)
        }
    }
}

impl Linear {
    /// The cost of applying the layer to `rows` rows.
    pub fn step_cost(&self, rows: usize) -> StepCost {
        let size = self.weight.size();
        StepCost::linear(rows, size[1] as usize, size[0] as usize)
    }
}

impl MaeDecoderConfig {
    /// The cost of decoding `visible` and `masked` tokens and the class token, and predicting the
    /// masked ones.
    pub fn step_cost(&self, visible: usize, masked: usize) -> StepCost {
        self.embed_cost(visible)
            + StepCost::linear(masked, self.dim, self.outputs)
            + self.block().step_cost(self.depth, 1 + visible + masked)
    }

    /// The cost of embedding `visible` encoded tokens and the class token, and nothing after that.
    pub fn embed_cost(&self, visible: usize) -> StepCost {
        StepCost::linear(1 + visible, self.encoder_dim, self.dim)
    }
}

/// Operations of [rows, inputs] times [inputs, outputs].
fn product(rows: usize, inputs: usize, outputs: usize) -> u64 {
    2 * rows as u64 * inputs as u64 * outputs as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_equal_those_made_by_hand() {
        // 8 × 8 pixels of three channels in four patches of 48 values; 8 wide, 2 blocks.
        let encoder = VitConfig { mlp_dim: 16, ..VitConfig::new(8, 4, 8, 2, 2) };
        // One visible patch: 1·48·8 = 384 multiplications to embed it. Two tokens in a block: qkv
        // 2·8·24 = 384, scores and values 2·2·2·8 = 64, proj 2·8·8 = 128, MLP 2·2·8·16 = 512.
        let block = 384 + 64 + 128 + 512;
        // The block's kept values: five inputs of 2·8, qkv of 2·24, sums 2·2, hidden values
        // 2·(2·16).
        let kept = 5 * 16 + 48 + 4 + 64;
        let wanted = StepCost {
            forward: 2 * (384 + 2 * block),
            backward: 2 * (384 + 4 * block),
            kept: 48 + 2 * kept,
            again: 2 * block,
            spared: kept - 16,
        };
        assert_eq!(encoder.step_cost(1), wanted);

        // 4 wide, one block, MLP 16; embeds two tokens (2·8·4), decodes five, predicts three.
        let decoder = MaeDecoderConfig::new(8, 4, 1, 1, 48);
        let block = 5 * 4 * 12 + 2 * 5 * 5 * 4 + 5 * 4 * 4 + 2 * 5 * 4 * 16;
        let forward = 2 * (64 + block + 3 * 4 * 48);
        let kept = 2 * 8 + 3 * 4 + (8 * 20 + 5 + 2 * 5 * 16);
        let wanted = StepCost { forward, backward: 2 * forward, kept, ..StepCost::default() };
        assert_eq!(decoder.step_cost(1, 3), wanted);
    }

    #[test]
    fn a_dense_student_costs_its_blocks_in_full_and_its_embedding_in_part() {
        let vit = VitConfig::base(224, 16);
        let beit = BeitConfig::new(vit.clone());
        let embed = |patches| product(patches, 768, 768);
        let (whole, masked) = (vit.step_cost(196), beit.step_cost(118, 78));
        assert_eq!(beit.step_cost(196, 0), whole);
        assert_eq!(masked.forward, whole.forward - embed(78));
        assert_eq!(masked.backward, whole.backward - embed(78));
    }

    #[test]
    fn vit_b_costs_what_is_published() {
        // Table 1 of Swin (arXiv 2103.14030) lists 17.5 billion multiplications for DeiT-B.
        let forward = VitConfig::base(224, 16).step_cost(196).forward as f64;
        assert!((forward / 2.0 / 17.5e9 - 1.0).abs() < 0.01, "{forward}");
    }
}
