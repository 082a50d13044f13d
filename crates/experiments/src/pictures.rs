//! `pictures/reconstructions.png`: what the trained model makes of hidden patches.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use bauta_backbones::TokenIndices;
use bauta_data::{Loader, LoaderConfig};
use bauta_eval::{PictureLayout, Reconstructions};
use bauta_masking::MaskPlan;
use bauta_recipe::Recipe;
use tch::Kind;

use crate::data::Splits;
use crate::systems::{ImageSystem, pixels};

/// Draws the first test images: original, masked, reconstruction.
///
/// The masks are those of epoch 0, the same for every run of one seed.
///
/// # Errors
/// When images cannot be read or the picture not be written.
pub fn reconstructions<S: ImageSystem>(
    recipe: &Recipe,
    splits: &Splits,
    system: &S,
    folder: &Path,
) -> Result<()> {
    let count = recipe.eval.pictures.count.min(splits.test.len());
    if count == 0 {
        return Ok(());
    }
    let size = recipe.data.image_size;
    let config = LoaderConfig::new(count, size.height(), size.width());
    let loader = Loader::for_evaluation(Arc::clone(&splits.test), config)?;
    let batch = loader.batches(0..1, |batch| batch).next().context("the test split is empty")??;
    let strategy = system.strategy();
    let plan = MaskPlan::draw(&*strategy, recipe.seed, 0, &batch.indices)?;
    let indices = TokenIndices::new(&plan, system.parameters().device());
    let pixels = pixels(&batch);
    let predicted = tch::no_grad(|| system.reconstruct(&pixels, &indices))?;
    let originals = pixels.to_kind(Kind::Float) / 255.0;
    let pictures = folder.join("pictures");
    fs::create_dir_all(&pictures)
        .with_context(|| format!("cannot make the folder {}", pictures.display()))?;
    let reconstructions =
        Reconstructions::new(&originals, &predicted, &indices.mask(), strategy.grid())?;
    let sheet = reconstructions.paint(&PictureLayout::default());
    Ok(sheet.write_png(&pictures.join("reconstructions.png"))?)
}
