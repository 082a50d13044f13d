//! Teachers, as a recipe's `teacher` table names them (MaskDistill's unified view,
//! arXiv 2210.10615 §2).

use std::path::Path;

use super::Images;
use anyhow::{Context, Result, bail, ensure};
use bauta_backbones::{
    EfficientNetLite0, FeatureStride, ModelFolder, VisionTransformer, VitConfig,
};
use bauta_data::SampleType;
use bauta_eval::folder::normalization;
use bauta_masking::Grid;
use bauta_recipe::{Teacher as Table, TeacherKind, Vit};
use bauta_targets::{ConvolutionalTeacher, EncoderTeacher, PixelTeacher, Teacher};

/// What teachers are built from.
pub struct Teachers<'a> {
    /// The images that the teacher sees.
    pub images: &'a Images,
    /// The recipe's table.
    pub table: &'a Table,
    /// The student's sizes, for a teacher with its initial weights.
    pub model: &'a Vit,
    /// The teacher's weights, if there are any: a model folder or a file.
    pub weights: Option<&'a Path>,
}

impl Teachers<'_> {
    /// The teacher that the recipe names, whose tokens are those of the student's grid.
    ///
    /// # Errors
    /// When the teacher is missing, or its tokens cannot be those of the student.
    pub fn named(&self, grid: Grid) -> Result<Box<dyn Teacher>> {
        Ok(match self.table.kind {
            TeacherKind::Pixels => {
                let normalization = self.images.normalization()?;
                Box::new(PixelTeacher::new(grid, self.model.patch_size, normalization))
            }
            TeacherKind::Random => Box::new(self.random(grid)?),
            TeacherKind::Folder | TeacherKind::Recipe => {
                Box::new(self.of_folder(grid, self.table.image_size)?)
            }
            TeacherKind::EfficientnetLite0 => Box::new(self.convolutional(grid)?),
        })
    }

    /// The student's own initial encoder: parameters are initialised by seed and name (dBOT §3.1).
    fn random(&self, grid: Grid) -> Result<EncoderTeacher> {
        let config = self.images.vit_config(self.model);
        let config = VitConfig { depth: self.table.depth.unwrap_or(config.depth), ..config };
        let mut parameters = self.images.parameters();
        let encoder = VisionTransformer::new(parameters.root(), &config)?;
        parameters.train_only(|_| false);
        let (encoder, normalization) = (Box::new(encoder), self.images.normalization()?);
        Ok(EncoderTeacher::new(encoder, normalization, self.table.final_norm, grid)?)
    }

    /// The encoder of a model folder, for square images of side `image_size`; if not given, at the
    /// image size that gives it the student's grid.
    ///
    /// # Errors
    /// As [`Self::named`].
    pub fn of_folder(&self, grid: Grid, image_size: Option<usize>) -> Result<EncoderTeacher> {
        let path = self.weights.context("the teacher's folder is not known")?;
        let teacher = || format!("the teacher {}", path.display());
        let folder = ModelFolder::read(path).with_context(teacher)?;
        let size = image_size.map(|side| [side, side]);
        let device = self.images.device;
        let encoder = folder.frozen_encoder(device, size, grid).with_context(teacher)?;
        let train = &self.images.splits.train;
        let normalization =
            normalization(path, &train.statistics(), train.sample_type(), device)?.0;
        let final_norm = self.table.final_norm;
        let keys = "set teacher.image_size or model.patch_size";
        EncoderTeacher::new(encoder, normalization, final_norm, grid)
            .with_context(|| format!("the teacher {} does not fit: {keys}", path.display()))
    }

    fn convolutional(&self, grid: Grid) -> Result<ConvolutionalTeacher> {
        let path = self.weights.context("the teacher's file is not known")?;
        let (_parameters, network) = EfficientNetLite0::read(path, self.images.device)?;
        let Some(stride) = self.table.stride.and_then(FeatureStride::of_pixels) else {
            bail!("teacher.stride must be one of 4, 8, 16 and 32");
        };
        let own = [self.images.loader.height, self.images.loader.width];
        let size = self.table.image_size.map_or(own, |side| [side, side]);
        ensure!(
            self.images.splits.train.channels() == 3
                && self.images.splits.train.sample_type() == SampleType::Uint8,
            "EfficientNet-Lite0 takes RGB images of 8 bits (3 channels, uint8); choose another \
             teacher.kind"
        );
        Ok(ConvolutionalTeacher::new(network, self.images.device, stride, size, grid)?)
    }
}
