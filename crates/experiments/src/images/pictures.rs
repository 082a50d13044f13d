//! `pictures/`: what a trained model makes of hidden patches, where it looks, and what it
//! finds alike.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use bauta_backbones::{ImageEncoder, TokenIndices};
use bauta_data::{Batch, Loader, LoaderConfig};
use bauta_eval::{
    AttentionMaps, Picture, PictureLayout, Projection, Reconstructions, contact_sheet, host_tensor,
    join_batches, nearest,
};
use bauta_files::write_whole;
use bauta_masking::MaskPlan;
use bauta_report::{Body, PictureFile, Section, scatter};
use tch::Tensor;

use super::{Features, Images, Student};
use crate::run::Run;

/// Test images among which neighbours are sought and whose features are projected.
const CROWD: usize = 2000;

/// Neighbours shown of each image, and images shown.
const NEIGHBOURS: usize = 7;
const QUERIES: usize = 12;

/// What a system predicts of u8 pixels [B, C, H, W] under a mask: pictures [B, C, H, W] in [0, 1].
pub type Predict<'a> = &'a dyn Fn(&Tensor, &TokenIndices) -> Result<Tensor>;

impl Images {
    /// The first test images that the pictures show, with their masks of epoch 0, the same
    /// for every run of one seed; none where the recipe wants no pictures.
    ///
    /// # Errors
    /// When images cannot be read, or the strategy cannot mask them.
    pub fn shown<E: ImageEncoder>(
        &self,
        student: &Student<E>,
    ) -> Result<Option<(Tensor, TokenIndices)>> {
        let count = self.eval.pictures.count.min(self.splits.test.len());
        if count == 0 {
            return Ok(None);
        }
        let batch = self.first(count)?;
        let plan = MaskPlan::draw(&*student.strategy, self.loader.seed, 0, &batch.indices)?;
        let indices = TokenIndices::new(&plan, self.device);
        Ok(Some((host_tensor(&batch.pixels), indices)))
    }

    fn first(&self, count: usize) -> Result<Batch> {
        let config = LoaderConfig::new(count, self.loader.height, self.loader.width);
        let loader = Loader::for_evaluation(Arc::clone(&self.splits.test), config)?;
        Ok(loader.batches(0..1, |batch| batch).next().context("the test split is empty")??)
    }
}

impl Run<'_> {
    /// Draws `reconstructions.png`: what a system predicts of the first test images' hidden
    /// patches.
    ///
    /// # Errors
    /// When images cannot be read or a picture not be written.
    pub fn reconstruct<E: ImageEncoder>(
        &mut self,
        images: &Images,
        student: &Student<E>,
        predict: Predict<'_>,
    ) -> Result<()> {
        self.measures()?;
        let Some((pixels, indices)) = images.shown(student)? else { return Ok(()) };
        let predicted = tch::no_grad(|| predict(&pixels, &indices))?;
        let shown = Reconstructions::new(&pixels, &predicted, &indices.mask(), student.grid())?;
        self.picture(
            "reconstructions",
            &shown.paint(&PictureLayout::default()),
            "Images: original, what the encoder saw, reconstruction of the hidden patches (visible \
             ones pasted back; standardised predictions are brought back with each patch's true \
             mean and deviation).",
        )
    }

    /// Draws where a student looks, `attention.png`, and what it finds alike.
    ///
    /// # Errors
    /// As [`Self::reconstruct`].
    pub fn look<E: ImageEncoder>(&mut self, images: &Images, student: &Student<E>) -> Result<()> {
        self.measures()?;
        if !images.splits.held_out() {
            let text = "No images are held out: the pictures show images that were trained on.";
            let body = vec![Body::Text(text.to_owned())];
            self.section(Section { title: "Pictures".to_owned(), body });
        }
        if let Some((pixels, _)) = images.shown(student)? {
            let attention = tch::no_grad(|| student.attention(&pixels))?;
            let maps = AttentionMaps::new(&pixels, &attention, student.grid())?;
            self.picture(
                "attention",
                &maps.paint(&PictureLayout::default()),
                "Images: where the last block's class token looks, mean of the heads, spread \
                 to the full range in each image.",
            )?;
        }
        self.neighbours(images, &student.represent())
    }

    /// Draws `neighbours.png` and, where images have labels, `projection.svg`: what features
    /// find alike among the first test images.
    ///
    /// # Errors
    /// As [`Self::reconstruct`].
    pub fn neighbours(&mut self, images: &Images, features: &Features<'_>) -> Result<()> {
        let test = &images.splits.test;
        let count = images.eval.pictures.count.min(test.len());
        if count == 0 {
            return Ok(());
        }
        let _no_grad = tch::no_grad_guard();
        let batch = images.first(CROWD.max(count).min(test.len()))?;
        let pixels = host_tensor(&batch.pixels);
        let chunks = pixels.split(500, 0);
        let found: Tensor = join_batches(chunks.iter().map(features))?;
        let samples = batch.indices.len();
        if samples > NEIGHBOURS {
            let neighbours = nearest(&found, QUERIES.min(samples), NEIGHBOURS)?;
            let layout = PictureLayout { columns: 1, min_height: 64, ..PictureLayout::default() };
            self.picture(
                "neighbours",
                &contact_sheet(&pixels, &neighbours, &layout)?,
                &format!(
                    "Images, each followed by those of the first {samples} whose features are the \
                     most alike (standardised, by cosine)."
                ),
            )?;
        }
        if let Some(labels) = &batch.labels
            && samples > 1
        {
            let projection = Projection::new(&found)?;
            let svg =
                scatter(&projection.coordinates(), labels, test.classes(), projection.explained)?;
            let path = self.pictures()?.join("projection.svg");
            write_whole(&path, svg.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
            let caption = format!(
                "Features of the first {samples} images on their two principal components, \
                 by class."
            );
            self.shown("projection.svg", caption);
        }
        Ok(())
    }

    /// Writes a picture of this name and shows it in the report.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn picture(&mut self, name: &str, picture: &Picture, caption: &str) -> Result<()> {
        let file = format!("{name}.png");
        let path = self.pictures()?.join(&file);
        picture.write_png(&path)?;
        self.watched(name, &fs::read(&path)?)?;
        self.shown(&file, caption.to_owned());
        Ok(())
    }

    pub(crate) fn shown(&mut self, file: &str, caption: String) {
        let file = PictureFile { file: format!("pictures/{file}"), caption };
        self.section(Section {
            title: "Pictures".to_owned(),
            body: vec![Body::Pictures(vec![file])],
        });
    }

    pub(crate) fn pictures(&self) -> Result<PathBuf> {
        let pictures = self.folder().join("pictures");
        fs::create_dir_all(&pictures)
            .with_context(|| format!("cannot make the folder {}", pictures.display()))?;
        Ok(pictures)
    }
}
