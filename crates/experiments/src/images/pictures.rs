//! `pictures/`: a trained model's reconstructions, attention and nearest neighbours.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result};
use bauta_backbones::{ImageEncoder, TokenIndices};
use bauta_data::{Batch, Loader, LoaderConfig};
use bauta_eval::{Exhibit, host_tensor, join_batches};
use bauta_files::write_whole;
use bauta_masking::MaskPlan;
use bauta_report::{Body, PictureFile, Section};
use tch::Tensor;

use super::{Features, Images, Student};
use crate::run::Run;

/// Number of test images among which neighbours are sought and whose features are projected.
const CROWD: usize = 2000;

/// Predicts pictures [B, C, H, W] in [0, 1] from u8 pixels [B, C, H, W] under a mask.
pub type Predict<'a> = &'a dyn Fn(&Tensor, &TokenIndices) -> Result<Tensor>;

impl Images {
    /// The first test images that the pictures show, with their masks of epoch 0, the same for
    /// every run of one seed; `None` if the recipe asks for no pictures.
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
        loader.first()?.context("no test image can be decoded")
    }
}

impl Run<'_> {
    /// Draws `reconstructions.png`: a system's predictions of the masked patches of the first test
    /// images.
    ///
    /// # Errors
    /// When images cannot be read or a picture cannot be written.
    pub fn reconstruct<E: ImageEncoder>(
        &mut self,
        images: &Images,
        student: &Student<E>,
        predict: Predict<'_>,
    ) -> Result<()> {
        self.measures_together()?;
        let Some((pixels, indices)) = images.shown(student)? else { return Ok(()) };
        let predicted = tch::no_grad(|| predict(&pixels, &indices))?;
        let (mask, drawn) = (indices.mask(), student.drawn(&pixels));
        self.show(Exhibit::reconstructions(&drawn, &predicted, &mask, student.grid())?)
    }

    /// Draws a student's attention, `attention.png`, and its nearest neighbours.
    ///
    /// # Errors
    /// As [`Self::reconstruct`].
    pub fn look<E: ImageEncoder>(&mut self, images: &Images, student: &Student<E>) -> Result<()> {
        self.measures_together()?;
        if !images.splits.held_out() {
            let text = "No images are held out: the pictures show images that were trained on.";
            let body = vec![Body::Text(text.to_owned())];
            self.section(Section { title: "Pictures".to_owned(), body });
        }
        if let Some((pixels, _)) = images.shown(student)? {
            let [attention, patches] = tch::no_grad(|| student.looks(&pixels))?;
            let drawn = student.drawn(&pixels);
            self.show(Exhibit::attention(&drawn, &attention, &patches, student.grid())?)?;
        }
        self.neighbours(images, &student.represent())
    }

    /// Draws `neighbours.png`, the first test images with those that are nearest by features, and,
    /// if images have labels, `projection.svg`.
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
        if let Some(exhibit) = Exhibit::neighbours(&images.normalization()?.drawn(&pixels), &found)?
        {
            self.show(exhibit)?;
        }
        if let Some(labels) = &batch.labels
            && let Some(exhibit) = Exhibit::projection(&found, labels, test.classes())?
        {
            self.show(exhibit)?;
        }
        Ok(())
    }

    /// Writes a picture, and shows it in the report and, as PNG, in TensorBoard.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn show(&mut self, exhibit: Exhibit) -> Result<()> {
        let Exhibit { file, bytes, caption } = exhibit;
        let pictures = self.folder().join("pictures");
        let path = pictures.join(file);
        fs::create_dir_all(&pictures)
            .and_then(|()| write_whole(&path, &bytes))
            .with_context(|| format!("cannot write {}", path.display()))?;
        if let Some(name) = file.strip_suffix(".png") {
            self.watched(name, &bytes)?;
        }
        let file = PictureFile { file: format!("pictures/{file}"), caption };
        let body = vec![Body::Pictures(vec![file])];
        self.section(Section { title: "Pictures".to_owned(), body });
        Ok(())
    }
}
