//! What a training step on a clip costs in matrix products, as [`Flops`] counts them.

use super::{DecoderClassToken, VideoConfig, VideoDecoderConfig};
use crate::Flops;
use crate::flops::{blocks, linear};

impl VideoConfig {
    /// Encoding `patches` embedded patches, and the class token if there is one.
    pub fn flops(&self, patches: usize) -> Flops {
        let embed = linear(patches, self.patch_values(), self.vit.dim);
        Flops::of_data(embed) + blocks(&self.vit.block(), self.vit.depth, self.leading() + patches)
    }
}

impl VideoDecoderConfig {
    /// Decoding `visible` and `masked` tokens and a class token, and predicting the masked.
    pub fn flops(&self, visible: usize, masked: usize) -> Flops {
        let embedded = visible + usize::from(self.class_token == DecoderClassToken::Encoder);
        let embed = linear(embedded, self.mae.encoder_dim, self.mae.dim);
        let predict = linear(masked, self.mae.dim, self.mae.outputs);
        Flops::trained(embed + predict)
            + blocks(&self.mae.block(), self.mae.depth, 1 + visible + masked)
    }
}
