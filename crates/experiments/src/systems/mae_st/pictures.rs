//! Pictures of masked and predicted clips.

use anyhow::Result;
use bauta_backbones::Encode;
use bauta_eval::{ClipReconstructions, Exhibit};

use super::{Clips, MaeSt, MaskedClips};
use crate::run::Run;

/// Milliseconds that a frame of the moving picture is shown for.
const DELAY: u16 = 250;

/// Draws `reconstructions.png`, all frames of some test clips, and `moving.png`, an animation.
pub(super) fn reconstruct(mae: &MaeSt, clips: &Clips, run: &mut Run<'_>) -> Result<()> {
    run.measures()?;
    let Some(shown) = clips.shown()? else { return Ok(()) };
    let shown = tch::no_grad(|| mae.predict(&shown))?;
    run.show(Exhibit::new(
        "reconstructions.png",
        &shown.sheet(48),
        "Clips, three rows each: the frames that are predicted, what the encoder saw of them, \
         and the reconstruction of the hidden patches (visible ones pasted back; standardised \
         predictions are brought back with each patch's true mean and standard deviation).",
    )?)?;
    let moving = "The same as a moving picture.";
    run.show(Exhibit::moving("moving.png", &shown.frames(96), DELAY, moving)?)
}

impl MaeSt {
    /// Predictions for clips under their masks.
    fn predict(&self, input: &MaskedClips) -> Result<ClipReconstructions> {
        let (pixels, indices) = (&input.pixels, &input.indices);
        let clips = self.normalization.normalize(pixels);
        let latent = self.encoder.encode(&clips, Encode::visible(indices))?;
        let predicted = self.decoder.predict_all(&latent, indices)?;
        let frames = self.normalization.to_pixels(&self.target.to_frames(&predicted, &clips)?);
        let patch = self.encoder.config().vit.patch_size;
        let mask = self.target.mask_of_frames(&indices.mask(), patch);
        Ok(ClipReconstructions::new(&self.target.choose(pixels), &frames, &mask)?)
    }
}
