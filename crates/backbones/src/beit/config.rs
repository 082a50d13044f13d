//! Sizes of a BEiT v2-style encoder (MaskDistill §3).

use crate::VitConfig;

/// Sizes of an encoder with mask tokens and relative positions.
#[derive(Clone, Debug, PartialEq)]
pub struct BeitConfig {
    /// Sizes common to all vision transformers. `qkv_bias` adds a bias to queries and values only,
    /// and is required.
    pub vit: VitConfig,
    /// Initial value of the factors on a block's two branches; no factors if not given. In the
    /// reference 0.1 up to B, 1e-5 in L and H.
    pub layer_scale: Option<f64>,
    /// Whether tokens also have learned positions; in the reference they do not.
    pub absolute_positions: bool,
}

impl BeitConfig {
    /// An encoder of these sizes, with branches initially scaled by 0.1 and no absolute positions.
    pub fn new(vit: VitConfig) -> Self {
        Self { vit, layer_scale: Some(0.1), absolute_positions: false }
    }
}
