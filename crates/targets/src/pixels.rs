//! Pixels as targets, raw or standardised within each patch (MAE §3 and §4.1).

use bauta_backbones::TokenIndices;
use bauta_masking::Grid;
use tch::{Kind, Reduction, Tensor};

use crate::{Target, TargetError, patchify, unpatchify};

/// Added to a patch's variance, inside the root.
const EPS: f64 = 1e-6;

/// Mean squared error on the pixels of masked patches.
#[derive(Clone, Debug)]
pub struct PixelTarget {
    grid: Grid,
    channels: usize,
    normalize: bool,
}

impl PixelTarget {
    /// Predicts the pixels of the (normalised) image as they are.
    pub fn raw(grid: Grid, channels: usize) -> Self {
        Self { grid, channels, normalize: false }
    }

    /// Predicts pixels standardised by their own patch's mean and *unbiased* variance
    /// (the reference's `norm_pix_loss`, used by MAE's headline models).
    pub fn normalized(grid: Grid, channels: usize) -> Self {
        Self { grid, channels, normalize: true }
    }

    /// Whether pixels are standardised within each patch.
    pub fn is_normalized(&self) -> bool {
        self.normalize
    }

    /// Targets of all patches, in image order: images [B, C, H, W] to [B, L, P].
    ///
    /// # Errors
    /// [`TargetError::Shape`] when the images do not fit the grid.
    pub fn all(&self, images: &Tensor) -> Result<Tensor, TargetError> {
        Ok(self.normalized_patches(patchify(images, self.grid)?))
    }

    /// Turns predictions of all patches, [B, L, P] in image order, into images [B, C, H, W].
    ///
    /// Standardised predictions are brought back with each patch's true mean and
    /// deviation, taken from `images`; so this is for pictures, not for scores.
    ///
    /// # Errors
    /// [`TargetError::Shape`] when images or predictions do not fit the grid.
    pub fn to_images(&self, predictions: &Tensor, images: &Tensor) -> Result<Tensor, TargetError> {
        if !self.normalize {
            return unpatchify(predictions, self.grid, self.channels);
        }
        let (mean, deviation) = statistics(&patchify(images, self.grid)?);
        unpatchify(&(predictions * deviation + mean), self.grid, self.channels)
    }

    fn normalized_patches(&self, patches: Tensor) -> Tensor {
        if !self.normalize {
            return patches;
        }
        let (mean, deviation) = statistics(&patches);
        (patches - mean) / deviation
    }
}

impl Target for PixelTarget {
    fn masked(&self, images: &Tensor, indices: &TokenIndices) -> Result<Tensor, TargetError> {
        let patches = patchify(images, self.grid)?;
        Ok(self.normalized_patches(indices.gather_masked(&patches)))
    }

    fn loss(&self, prediction: &Tensor, target: &Tensor) -> Result<Tensor, TargetError> {
        if prediction.size() != target.size() {
            let expected = format!("predictions {:?}", target.size());
            return Err(TargetError::Shape { found: prediction.size(), expected });
        }
        // Every sample masks M patches, so the reference's sum(l · mask) / sum(mask)
        // is the plain mean.
        Ok(prediction.to_kind(Kind::Float).mse_loss(target, Reduction::Mean))
    }
}

/// Mean and √(unbiased variance + eps) of each patch, both [..., 1].
fn statistics(patches: &Tensor) -> (Tensor, Tensor) {
    let (variance, mean) = patches.var_mean_dim([-1_i64].as_slice(), true, true);
    (mean, (variance + EPS).sqrt())
}
