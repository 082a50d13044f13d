//! Cost of a training step on a clip, as a [`StepCost`].

use super::{DecoderClassToken, VideoConfig, VideoDecoderConfig};
use crate::StepCost;

impl VideoConfig {
    /// The cost of encoding `patches` embedded patches, and the class token if there is one.
    pub fn step_cost(&self, patches: usize) -> StepCost {
        let vit = &self.vit;
        StepCost::linear_of_data(patches, self.patch_values(), vit.dim)
            + vit.block().step_cost(vit.depth, self.leading() + patches)
    }
}

impl VideoDecoderConfig {
    /// The cost of decoding `visible` and `masked` tokens and a class token, and predicting the
    /// masked ones.
    pub fn step_cost(&self, visible: usize, masked: usize) -> StepCost {
        let embedded = visible + usize::from(self.class_token == DecoderClassToken::Encoder);
        StepCost::linear(embedded, self.mae.encoder_dim, self.mae.dim)
            + StepCost::linear(masked, self.mae.dim, self.mae.outputs)
            + self.mae.block().step_cost(self.mae.depth, 1 + visible + masked)
    }
}
