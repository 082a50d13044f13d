//! Latents, predictions and pictures of mixtures.

use anyhow::Result;
use bauta_backbones::{Encode, TokenIndices};
use bauta_eval::{Exhibit, PictureLayout, mixture_sheet};
use bauta_targets::{by_weight, mix, next_in_batch};
use tch::Tensor;

use super::IMae;
use crate::images::Images;
use crate::run::Run;

/// λ of the pictures, that of the paper's demonstration.
const SHOWN: f64 = 0.3;

impl IMae {
    /// Latents [B, 1 + V, Dd] of the branches, for normalised mixtures [B, C, H, W].
    pub(super) fn disentangle(
        &self,
        mixture: &Tensor,
        indices: &TokenIndices,
    ) -> Result<Vec<Tensor>> {
        let latent = self.student.encoder.encode(mixture, Encode::visible(indices))?;
        Ok(self.decoder.disentangle(&latent))
    }

    /// Pictures [B, C, H, W] in [0, 1] of each branch's prediction for a mixture λ of normalised
    /// images; standardised predictions take the statistics of the true patches.
    fn predict(
        &self,
        [first, second]: [&Tensor; 2],
        lambda: f64,
        indices: &TokenIndices,
    ) -> Result<Vec<Tensor>> {
        let latents = self.disentangle(&mix(first, second, lambda)?, indices)?;
        let predictions = self.decoder.predict_all(&latents, indices)?;
        let branches = predictions.iter().zip(by_weight(first, second, lambda));
        let picture = |(prediction, source): (&Tensor, &Tensor)| -> Result<Tensor> {
            Ok(self.student.to_pixels(&self.target.to_images(prediction, source)?))
        };
        branches.map(picture).collect()
    }

    /// Predictions for u8 pixels [B, C, H, W] that are not mixed, by the branch of the dominant
    /// image, or the only one.
    pub(super) fn predict_pure(&self, pixels: &Tensor, indices: &TokenIndices) -> Result<Tensor> {
        let images = self.student.normalize(pixels);
        let mut predicted = self.predict([&images; 2], 1.0, indices)?;
        Ok(predicted.swap_remove(predicted.len() - 1))
    }
}

/// Draws `mixtures.png`: each of the first test images mixed with the next, and the predictions of
/// both.
pub(super) fn mixtures(system: &IMae, images: &Images, run: &mut Run<'_>) -> Result<()> {
    let student = &system.student;
    let Some((pixels, indices)) = images.shown(student)? else { return Ok(()) };
    let _no_grad = tch::no_grad_guard();
    let drawn = student.drawn(&pixels);
    let sources = [&drawn, &next_in_batch(&drawn)];
    let [first, second] =
        [&pixels, &next_in_batch(&pixels)].map(|pixels| student.normalize(pixels));
    let predicted = system.predict([&first, &second], SHOWN, &indices)?;
    let layout = PictureLayout { columns: 2, min_height: 64, ..PictureLayout::default() };
    let sheet =
        mixture_sheet(sources, SHOWN, &predicted, &indices.mask(), student.grid(), &layout)?;
    run.show(Exhibit::new(
        "mixtures.png",
        &sheet,
        "Images, each mixed with the next by the shares 0.3 and 0.7: what the encoder saw, \
         the mixture, the subordinate image and its reconstruction, the dominant image and its \
         (visible patches are the true image's).",
    )?)
}
