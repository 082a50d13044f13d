//! What i-MAE makes of mixtures: latents, predictions, pictures.

use anyhow::Result;
use bauta_backbones::TokenIndices;
use bauta_eval::{Picture, PictureLayout, mixture_sheet};
use bauta_targets::{by_weight, mix};
use tch::{Kind, Tensor};

use super::IMae;

/// λ of the pictures, that of the paper's demonstration.
const SHOWN: f64 = 0.3;

impl IMae {
    /// Latents [B, 1 + V, Dd] of the branches, of normalised mixtures [B, C, H, W].
    pub(super) fn disentangle(
        &self,
        mixture: &Tensor,
        indices: &TokenIndices,
    ) -> Result<Vec<Tensor>> {
        Ok(self.decoder.disentangle(&self.encoder.forward_visible(mixture, indices)?))
    }

    /// Pictures [B, C, H, W] in [0, 1] of what each branch predicts of a mixture λ of
    /// normalised images, whose true patches' statistics standardised predictions take.
    pub(super) fn predict(
        &self,
        [first, second]: [&Tensor; 2],
        lambda: f64,
        indices: &TokenIndices,
    ) -> Result<Vec<Tensor>> {
        let latents = self.disentangle(&mix(first, second, lambda)?, indices)?;
        let predictions = self.decoder.predict_all(&latents, indices)?;
        let branches = predictions.iter().zip(by_weight(first, second, lambda));
        let picture = |(prediction, source): (&Tensor, &Tensor)| -> Result<Tensor> {
            Ok(self.normalization.to_pixels(&self.target.to_images(prediction, source)?))
        };
        branches.map(picture).collect()
    }

    /// Mixtures of each image with the next, of u8 pixels [B, C, H, W], and what becomes of both.
    pub(super) fn sheet(&self, pixels: &Tensor, indices: &TokenIndices) -> Result<Picture> {
        let originals = [pixels.shallow_clone(), pixels.roll([-1], [0])];
        let [first, second] = originals.each_ref().map(|o| self.normalization.normalize(o));
        let predicted = self.predict([&first, &second], SHOWN, indices)?;
        let [first, second] = originals.map(|pixels| pixels.to_kind(Kind::Float) / 255.0);
        let mixtures = mix(&first, &second, SHOWN)?;
        let branches: Vec<_> = by_weight(first, second, SHOWN).into_iter().zip(predicted).collect();
        let layout = PictureLayout { columns: 2, min_height: 64, ..PictureLayout::default() };
        let grid = self.encoder.grid();
        Ok(mixture_sheet(&mixtures, &branches, &indices.mask(), grid, &layout)?)
    }
}
