//! `fills.png`: images, their partners, the mask, and what the network sees.

use std::sync::Arc;

use anyhow::{Context, Result};
use bauta_data::{Loader, LoaderConfig};
use bauta_eval::{Exhibit, PictureLayout, fill_sheet, host_tensor};

use super::views::Viewing;
use crate::images::Images;
use crate::run::Run;

/// Draws the first test images masked as in a step of training, if a recipe masks them.
pub(super) fn fills(viewing: &Viewing, images: &Images, run: &mut Run<'_>) -> Result<()> {
    run.measures_together()?;
    let count = images.eval.pictures.count.min(images.splits.test.len());
    let Some(masking) = viewing.masking.as_ref().filter(|_| count > 0) else { return Ok(()) };
    let LoaderConfig { height, width, .. } = images.loader;
    let test = Arc::clone(&images.splits.test);
    let loader = Loader::for_evaluation(test, LoaderConfig::new(count, height, width))?;
    let batch = loader.first()?.context("no test image can be decoded")?;
    let pixels = host_tensor(&batch.pixels).to_device(viewing.device);
    let (fill, shown) = viewing.fill(masking, &pixels, 0);
    let normalization = images.normalization()?;
    let mixed = shown.apply(&fill, &normalization.normalize(&pixels));
    let mixed = normalization.to_pixels(&mixed);
    let drawn = normalization.drawn(&pixels);
    let partners = fill.partner(&drawn);
    let layout = PictureLayout { columns: 2, ..PictureLayout::default() };
    let sheet = fill_sheet([&drawn, &partners], &fill.masked, &mixed, &layout)?;
    let own = 100.0 * fill.own;
    let caption = format!(
        "Images: itself, its partner, the mask (white is its own, {own:.0} % of the pixels), and \
         what the network sees."
    );
    run.show(Exhibit::new("fills.png", &sheet, caption)?)
}
