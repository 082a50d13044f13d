//! What systems with a teacher share: the slots of MaskDistill's unified view (arXiv
//! 2210.10615 §2) as a recipe names them, and batches with stochastic depth.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use bauta_backbones::{
    DropPath, EfficientNetLite0, FeatureStride, ImageEncoder, ImageNormalization, ModelFolder,
    Parameters, VisionTransformer, VitConfig,
};
use bauta_data::Batch;
use bauta_masking::{Grid, MaskStrategy};
use bauta_recipe::{Loss, Normalization, Teacher as TeacherTable, TeacherKind};
use bauta_streams::Purpose;
use bauta_targets::{
    ConvolutionalTeacher, EncoderTeacher, FeatureLoss, FeatureTarget,
    Normalization as TargetNormalization, PixelTeacher, Teacher,
};
use bauta_train::draw_drop_path;
use tch::Device;

use super::{Ingredients, MaskedBatch};

/// The teacher, normalisation and loss that a recipe names, on the student's grid.
///
/// # Errors
/// When the teacher is not there, or its tokens cannot be those of the student.
pub fn feature_target(ingredients: &Ingredients<'_>, grid: Grid) -> Result<FeatureTarget> {
    let recipe = ingredients.recipe;
    let table = recipe.teacher.as_ref().context("the recipe names no teacher")?;
    let target = recipe.target.features.as_ref().context("target.features is missing")?;
    let teacher: Box<dyn Teacher> = match table.kind {
        // Later stages are taught by the student of the stage before.
        _ if ingredients.stage > 0 => Box::new(of_folder(ingredients, table, grid)?),
        TeacherKind::Pixels => {
            let (patch, normalization) = (recipe.model.patch_size, ingredients.normalization()?);
            Box::new(PixelTeacher::new(grid, patch, normalization))
        }
        TeacherKind::Random => Box::new(random(ingredients, table, grid)?),
        TeacherKind::Folder | TeacherKind::Recipe => Box::new(of_folder(ingredients, table, grid)?),
        TeacherKind::EfficientnetLite0 => Box::new(convolutional(ingredients, table, grid)?),
    };
    let normalization = match target.normalization {
        Normalization::None => TargetNormalization::None,
        Normalization::Standardize => TargetNormalization::Standardize,
        Normalization::LayerNorm => TargetNormalization::LayerNorm,
        Normalization::L2 => TargetNormalization::L2,
    };
    let loss = match target.loss {
        Loss::Mse => FeatureLoss::Mse,
        Loss::SmoothL1 => FeatureLoss::SmoothL1 { beta: target.beta },
        Loss::Cosine => FeatureLoss::Cosine,
    };
    Ok(FeatureTarget::new(teacher, normalization, loss))
}

/// The student's own initial encoder: parameters start by seed and name (dBOT §3.1).
fn random(
    ingredients: &Ingredients<'_>,
    table: &TeacherTable,
    grid: Grid,
) -> Result<EncoderTeacher> {
    let config = ingredients.vit_config();
    let config = VitConfig { depth: table.depth.unwrap_or(config.depth), ..config };
    let mut parameters = Parameters::new(ingredients.recipe.seed, ingredients.device);
    let encoder = VisionTransformer::new(parameters.root(), &config)?;
    parameters.train_only(|_| false);
    let encoder = Box::new(encoder);
    Ok(EncoderTeacher::new(encoder, ingredients.normalization()?, table.final_norm, grid)?)
}

/// The encoder of a model folder, at the image size that gives it the student's grid.
fn of_folder(
    ingredients: &Ingredients<'_>,
    table: &TeacherTable,
    grid: Grid,
) -> Result<EncoderTeacher> {
    let path = ingredients.teacher.context("the teacher's folder is not known")?;
    let teacher = || format!("the teacher {}", path.display());
    let folder = ModelFolder::read(path).with_context(teacher)?;
    let size = table.image_size.map(|side| [side, side]);
    let encoder = encoder(&folder, ingredients.device, size, grid).with_context(teacher)?;
    let normalization = match ModelFolder::preprocessing(path)? {
        Some(said) => {
            ImageNormalization::new(&said.image_mean, &said.image_std, ingredients.device)?
        }
        None => ingredients.normalization()?,
    };
    EncoderTeacher::new(encoder, normalization, table.final_norm, grid).with_context(teacher)
}

fn encoder(
    folder: &ModelFolder,
    device: Device,
    size: Option<[usize; 2]>,
    grid: Grid,
) -> Result<Box<dyn ImageEncoder>> {
    let frozen = |size| -> Result<Box<dyn ImageEncoder>> {
        let (mut parameters, encoder) = folder.image_encoder(device, size)?;
        parameters.train_only(|_| false);
        Ok(encoder)
    };
    let found = frozen(size)?;
    if size.is_some() || found.grid() == grid {
        return Ok(found);
    }
    let [height, width] = found.image_size();
    let patch = [height / found.grid().height(), width / found.grid().width()];
    frozen(Some([grid.height() * patch[0], grid.width() * patch[1]]))
}

fn convolutional(
    ingredients: &Ingredients<'_>,
    table: &TeacherTable,
    grid: Grid,
) -> Result<ConvolutionalTeacher> {
    let path: &Path = ingredients.teacher.context("the teacher's file is not known")?;
    let (_parameters, network) = EfficientNetLite0::read(path, ingredients.device)?;
    let Some(stride) = table.stride.and_then(FeatureStride::of_pixels) else {
        bail!("teacher.stride is none of 4, 8, 16 and 32");
    };
    let image = ingredients.recipe.data.image_size;
    let size = table.image_size.map_or([image.height(), image.width()], |side| [side, side]);
    ensure!(
        ingredients.statistics.mean.len() == 3,
        "EfficientNet-Lite0 sees colours, the images are grey; take another teacher.kind"
    );
    Ok(ConvolutionalTeacher::new(network, ingredients.device, stride, size, grid)?)
}

/// A batch with its masks and the branches that its samples skip.
#[derive(Debug)]
pub struct DroppingBatch {
    /// Images and masks.
    pub masked: MaskedBatch,
    /// Factors [depth, 2, B] of the encoder's branches; none where nothing is skipped.
    encoder: Option<Vec<f32>>,
    /// The same of the decoder's.
    decoder: Option<Vec<f32>>,
}

/// How branches are skipped.
#[derive(Clone, Copy, Debug)]
pub struct Skipping {
    /// Rate of the last block's branches; less below it.
    pub rate: f64,
    /// Blocks of the encoder.
    pub encoder_depth: usize,
    /// Blocks of the decoder, 0 where there is none.
    pub decoder_depth: usize,
}

impl DroppingBatch {
    /// Draws masks and skipped branches from the samples' own streams.
    pub fn draw(batch: Batch, strategy: &dyn MaskStrategy, skipping: Skipping, seed: u64) -> Self {
        let draw = |purpose, depth| {
            (skipping.rate > 0.0 && depth > 0).then(|| {
                draw_drop_path(purpose, depth, skipping.rate, seed, batch.epoch, &batch.indices)
            })
        };
        let encoder = draw(bauta_train::DROP_PATH, skipping.encoder_depth);
        let decoder = draw(Purpose::named("decoder drop path"), skipping.decoder_depth);
        Self { masked: MaskedBatch::draw(batch, strategy, seed), encoder, decoder }
    }

    /// The encoder's and the decoder's branches, on a device.
    pub fn drop_paths(&self, skipping: Skipping, device: Device) -> [Option<DropPath>; 2] {
        let batch = self.masked.batch.indices.len();
        let of = |factors: &Option<Vec<f32>>, depth| {
            factors.as_ref().map(|factors| DropPath::new(factors, depth, batch, device))
        };
        [of(&self.encoder, skipping.encoder_depth), of(&self.decoder, skipping.decoder_depth)]
    }
}
