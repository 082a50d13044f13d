//! `pictures/`: what the trained model makes of hidden patches, where it looks,
//! and what it finds alike.

mod scatter;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use bauta_backbones::TokenIndices;
use bauta_data::{Batch, Loader, LoaderConfig, Source};
use bauta_eval::{
    AttentionMaps, PictureLayout, Projection, Reconstructions, contact_sheet, join_batches, nearest,
};
use bauta_files::write_whole;
use bauta_masking::MaskPlan;
use bauta_recipe::Recipe;
use tch::{Kind, Tensor};

use crate::data::Splits;
use crate::systems::{ImageSystem, pixels};

/// Test images among which neighbours are sought and whose features are projected.
const CROWD: usize = 2000;

/// Neighbours shown of each image, and images shown.
const NEIGHBOURS: usize = 7;
const QUERIES: usize = 12;

/// Draws `reconstructions.png` (of systems that predict pixels), the system's own pictures and
/// `attention.png` of the first test images, `neighbours.png` and, where images have labels,
/// `projection.svg`.
///
/// The masks are those of epoch 0, the same for every run of one seed.
///
/// # Errors
/// When images cannot be read or a picture not be written.
pub fn draw<S: ImageSystem>(
    recipe: &Recipe,
    splits: &Splits,
    system: &S,
    folder: &Path,
) -> Result<()> {
    let count = recipe.eval.pictures.count.min(splits.test.len());
    if count == 0 {
        return Ok(());
    }
    let pictures = folder.join("pictures");
    fs::create_dir_all(&pictures)
        .with_context(|| format!("cannot make the folder {}", pictures.display()))?;
    let _no_grad = tch::no_grad_guard();
    let crowd = first_images(recipe, &splits.test, CROWD.max(count).min(splits.test.len()))?;
    let batch = first_images(recipe, &splits.test, count)?;
    reconstructions(recipe, system, &batch, &pictures)?;
    alike(splits, system, &crowd, &pictures)
}

fn first_images(recipe: &Recipe, source: &Arc<dyn Source>, count: usize) -> Result<Batch> {
    let size = recipe.data.image_size;
    let config = LoaderConfig::new(count, size.height(), size.width());
    let loader = Loader::for_evaluation(Arc::clone(source), config)?;
    Ok(loader.batches(0..1, |batch| batch).next().context("the test split is empty")??)
}

fn reconstructions<S: ImageSystem>(
    recipe: &Recipe,
    system: &S,
    batch: &Batch,
    pictures: &Path,
) -> Result<()> {
    let strategy = system.strategy();
    let plan = MaskPlan::draw(&*strategy, recipe.seed, 0, &batch.indices)?;
    let indices = TokenIndices::new(&plan, system.parameters().device());
    let pixels = pixels(batch);
    let originals = pixels.to_kind(Kind::Float) / 255.0;
    let layout = PictureLayout::default();
    let grid = strategy.grid();
    if let Some(predicted) = system.reconstruct(&pixels, &indices)? {
        let reconstructions = Reconstructions::new(&originals, &predicted, &indices.mask(), grid)?;
        reconstructions.paint(&layout).write_png(&pictures.join("reconstructions.png"))?;
    }
    for (name, picture) in system.own_pictures(&pixels, &indices)? {
        picture.write_png(&pictures.join(format!("{name}.png")))?;
    }
    let maps = AttentionMaps::new(&originals, &system.attention(&pixels)?, grid)?;
    Ok(maps.paint(&layout).write_png(&pictures.join("attention.png"))?)
}

fn alike<S: ImageSystem>(
    splits: &Splits,
    system: &S,
    batch: &Batch,
    pictures: &Path,
) -> Result<()> {
    let pixels = pixels(batch);
    let chunks = pixels.split(500, 0);
    let features: Tensor = join_batches(chunks.iter().map(|chunk| system.features(chunk)))?;
    let samples = features.size()[0] as usize;
    if samples > NEIGHBOURS {
        let neighbours = nearest(&features, QUERIES.min(samples), NEIGHBOURS)?;
        let layout = PictureLayout { columns: 1, min_height: 64, ..PictureLayout::default() };
        let images = pixels.to_kind(Kind::Float) / 255.0;
        contact_sheet(&images, &neighbours, &layout)?
            .write_png(&pictures.join("neighbours.png"))?;
    }
    if let Some(labels) = &batch.labels
        && samples > 1
    {
        let svg = scatter::draw(&Projection::new(&features)?, labels, splits.test.classes())?;
        let path = pictures.join("projection.svg");
        write_whole(&path, svg.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
