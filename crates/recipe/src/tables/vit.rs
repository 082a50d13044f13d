//! The `model` table: vision transformers, one type for each set of keys that systems read.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::limits::{check_weights, count, within_limit};
use crate::reading::{Violation, below_one, ensure, must_be, positive};

/// A vision transformer with 2-D sin-cos positions (MAE's encoder).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vit {
    /// Patch side in pixels.
    pub patch_size: usize,
    /// Width of a token, D.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads; must divide `dim`.
    pub heads: usize,
    /// Hidden width of a block's MLP, as a multiple of `dim`.
    #[serde(default = "mlp_ratio")]
    pub mlp_ratio: f64,
    /// Model folder whose weights training starts from, a run's checkpoint or an imported one,
    /// relative to the current folder; random weights if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
}

/// A [`Vit`] whose branches are skipped at random in training (stochastic depth).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DroppingVit {
    /// Patch side in pixels.
    pub patch_size: usize,
    /// Width of a token, D.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads; must divide `dim`.
    pub heads: usize,
    /// Hidden width of a block's MLP, as a multiple of `dim`.
    #[serde(default = "mlp_ratio")]
    pub mlp_ratio: f64,
    /// Model folder whose weights training starts from, a run's checkpoint or an imported one,
    /// relative to the current folder; random weights if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Stochastic depth: the probability that a sample skips the last block's branches; it falls
    /// linearly to 0 at the first block.
    #[serde(default)]
    pub drop_path: f64,
}

/// BEiT's vision transformer, whose attention has relative positions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beit {
    /// Patch side in pixels.
    pub patch_size: usize,
    /// Width of a token, D.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads; must divide `dim`.
    pub heads: usize,
    /// Hidden width of a block's MLP, as a multiple of `dim`.
    #[serde(default = "mlp_ratio")]
    pub mlp_ratio: f64,
    /// Model folder whose weights training starts from, a run's checkpoint or an imported one,
    /// relative to the current folder; random weights if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Stochastic depth: the probability that a sample skips the last block's branches; it falls
    /// linearly to 0 at the first block.
    #[serde(default)]
    pub drop_path: f64,
    /// Initial factor of every residual branch (LayerScale); none if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_scale: Option<f64>,
    /// Whether tokens carry learned positions in addition to the relative biases.
    #[serde(default)]
    pub absolute_positions: bool,
}

fn mlp_ratio() -> f64 {
    4.0
}

impl Vit {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for sizes that do not fit a transformer with 2-D sin-cos positions.
    pub fn check(&self) -> Result<(), Violation> {
        check_blocks(self.patch_size, self.dim, self.depth, self.mlp_ratio)?;
        check_sin_cos("model.dim", self.dim)?;
        check_heads("model.heads", self.heads, "model.dim", self.dim)
    }
}

impl DroppingVit {
    /// The same transformer without stochastic depth.
    pub fn vit(&self) -> Vit {
        let Self { patch_size, dim, depth, heads, mlp_ratio, .. } = *self;
        Vit { patch_size, dim, depth, heads, mlp_ratio, init: self.init.clone() }
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// As [`Vit::check`], and for a rate outside [0, 1).
    pub fn check(&self) -> Result<(), Violation> {
        self.vit().check()?;
        below_one("model.drop_path", self.drop_path)
    }
}

impl Beit {
    /// A plain vision transformer of the same sizes.
    pub fn vit(&self) -> Vit {
        let Self { patch_size, dim, depth, heads, mlp_ratio, .. } = *self;
        Vit { patch_size, dim, depth, heads, mlp_ratio, init: self.init.clone() }
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for sizes, a rate or a scale that do not fit a transformer; the width only
    /// needs to be a multiple of the heads.
    pub fn check(&self) -> Result<(), Violation> {
        check_blocks(self.patch_size, self.dim, self.depth, self.mlp_ratio)?;
        check_heads("model.heads", self.heads, "model.dim", self.dim)?;
        below_one("model.drop_path", self.drop_path)?;
        self.layer_scale.map_or(Ok(()), |scale| positive("model.layer_scale", scale))
    }
}

pub(super) fn check_blocks(
    patch_size: usize,
    dim: usize,
    depth: usize,
    mlp_ratio: f64,
) -> Result<(), Violation> {
    count("model.patch_size", patch_size)?;
    count("model.dim", dim)?;
    count("model.depth", depth)?;
    positive("model.mlp_ratio", mlp_ratio)?;
    within_limit("model.mlp_ratio", mlp_ratio)?;
    ensure(mlp_ratio * dim as f64 >= 1.0, &["model.mlp_ratio", "model.dim"], || {
        format!("model.mlp_ratio is {mlp_ratio}; times model.dim {dim} it must be at least 1")
    })?;
    check_weights("model", dim, depth, mlp_ratio)
}

/// Checks that sines and cosines of two coordinates can share the width equally.
pub(super) fn check_sin_cos(key: &str, dim: usize) -> Result<(), Violation> {
    count(key, dim)?;
    let rule = "a multiple of 4, which 2-D sin-cos positions need";
    must_be(dim.is_multiple_of(4), key, dim, rule)
}

/// Checks that the heads can share the width equally.
pub(super) fn check_heads(
    heads_key: &str,
    heads: usize,
    dim_key: &str,
    dim: usize,
) -> Result<(), Violation> {
    count(dim_key, dim)?;
    count(heads_key, heads)?;
    ensure(dim.is_multiple_of(heads), &[heads_key, dim_key], || {
        format!("{heads_key} is {heads}; it must divide {dim_key} {dim}")
    })
}
