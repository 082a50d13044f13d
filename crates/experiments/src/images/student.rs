//! The student of an image system: its parts and its features of whole images.

use std::sync::Arc;

use anyhow::Result;
use bauta_backbones::{
    Encode, ImageEncoder, ImageNormalization, MaeDecoder, MaeDecoderConfig, ModelError, Parameters,
    Pooling, Preprocessing, Scope, StepCost, TokenIndices, VisionTransformer, patch_tokens,
};
use bauta_eval::image_features;
use bauta_masking::{Grid, MaskPlan, MaskStrategy};
use bauta_recipe::{Decoder, Mask, Vit};
use bauta_targets::PixelTarget;
use tch::Tensor;

use super::{Features, Images, Masking};
use crate::settings;

/// An encoder that learns from masked images and computes features of whole ones.
pub struct Student<E> {
    /// The trained parameters; decoders and heads add theirs.
    pub parameters: Parameters,
    /// The encoder.
    pub encoder: E,
    /// The mask strategy of the last epoch of training, which pictures use too.
    pub strategy: Arc<dyn MaskStrategy>,
    strategies: Arc<[Arc<dyn MaskStrategy>]>,
    normalization: ImageNormalization,
    preprocessing: Preprocessing,
    pooling: Pooling,
    seed: u64,
}

impl<E: ImageEncoder> Student<E> {
    /// Builds an encoder on `parameters`, for these images, with the strategies that mask tokens.
    ///
    /// # Errors
    /// When the sizes do not fit together.
    pub fn new(
        images: &Images,
        mask: &Mask,
        mut parameters: Parameters,
        build: impl FnOnce(Scope<'_>) -> Result<E, ModelError>,
    ) -> Result<Self> {
        let encoder = build(parameters.root())?;
        let strategies: Arc<[_]> = mask.build_all(encoder.grid(), images.epochs)?.into();
        Ok(Self {
            strategy: Arc::clone(&strategies[strategies.len() - 1]),
            strategies,
            normalization: images.normalization()?,
            preprocessing: images.preprocessing()?,
            pooling: settings::pooling(images.eval.features),
            seed: images.loader.seed,
            parameters,
            encoder,
        })
    }

    /// The token grid of an image.
    pub fn grid(&self) -> Grid {
        self.encoder.grid()
    }

    /// Turns u8 pixels [B, C, H, W] into normalised images on the device.
    pub fn normalize(&self, pixels: &Tensor) -> Tensor {
        self.normalization.normalize(pixels)
    }

    /// Turns normalised images back into pictures in [0, 1].
    pub fn to_pixels(&self, images: &Tensor) -> Tensor {
        self.normalization.to_pixels(images)
    }

    /// Pixels [B, C, H, W] as they are drawn: u8 of one channel or three.
    pub fn drawn(&self, pixels: &Tensor) -> Tensor {
        self.normalization.drawn(pixels)
    }

    /// How pictures are preprocessed for its model folders.
    pub fn preprocessing(&self) -> Option<Preprocessing> {
        Some(self.preprocessing.clone())
    }

    /// How batches are masked in training.
    pub fn masking(&self) -> Masking {
        Masking {
            strategies: Arc::clone(&self.strategies),
            first_epoch: 0,
            seed: self.seed,
            device: self.parameters.device(),
            drop_path: 0.0,
            depth: self.encoder.depth(),
            decoder_depth: 0,
        }
    }

    /// The plan of one sample in the middle of training, for quantities that depend on the number
    /// of masked tokens alone.
    ///
    /// # Errors
    /// When the strategy cannot mask this grid.
    pub fn sample_plan(&self) -> Result<MaskPlan> {
        Ok(MaskPlan::draw(&*self.strategies[self.strategies.len() / 2], self.seed, 0, &[0])?)
    }

    /// Features of whole images: u8 pixels [B, C, H, W] to [B, D].
    ///
    /// # Errors
    /// When the images are of another size.
    pub fn features(&self, pixels: &Tensor) -> Result<Tensor> {
        Ok(image_features(&self.encoder, &self.normalization, self.pooling, pixels)?)
    }

    /// [`Self::features`] as a function.
    pub fn represent(&self) -> Features<'_> {
        Box::new(|pixels| self.features(pixels))
    }

    /// Attention weights of the encoder's last block on u8 pixels [B, C, H, W]:
    /// [B, heads, 1 + L, 1 + L], the class token first; and the features of the patches, [B, L, D].
    ///
    /// # Errors
    /// When the images are of another size.
    pub fn looks(&self, pixels: &Tensor) -> Result<[Tensor; 2]> {
        let images = self.normalize(pixels);
        let patches = patch_tokens(&self.encoder.encode(&images, Encode::whole())?);
        Ok([self.encoder.last_attention(&images)?, patches])
    }
}

impl Student<VisionTransformer> {
    /// A vision transformer that encodes the visible tokens alone, as in MAE. Draw 0 of its initial
    /// weights is that of all other networks of the run.
    ///
    /// # Errors
    /// When the sizes do not fit together.
    pub fn vit(images: &Images, model: &Vit, mask: &Mask, draw: u64) -> Result<Self> {
        let config = images.vit_config(model);
        let parameters = Parameters::drawn(images.loader.seed, draw, images.device);
        Self::new(images, mask, parameters, |scope| VisionTransformer::new(scope, &config))
    }

    /// Adds the decoder of a recipe's table, which predicts `outputs` values per token.
    ///
    /// # Errors
    /// When the sizes do not fit together.
    pub fn decoder(&mut self, table: &Decoder, outputs: usize) -> Result<MaeDecoder> {
        let (config, grid) = (self.decoder_config(table, outputs), self.grid());
        Ok(MaeDecoder::new(self.parameters.root(), &config, grid)?)
    }

    /// The sizes of that decoder.
    pub fn decoder_config(&self, table: &Decoder, outputs: usize) -> MaeDecoderConfig {
        let dim = self.encoder.config().dim;
        MaeDecoderConfig::new(dim, table.dim, table.depth, table.heads, outputs)
    }

    /// A function from u8 pixels [B, C, H, W] to an MAE decoder's predictions: pictures
    /// [B, C, H, W] in [0, 1], in which only the masked tokens are meaningful; an error when images
    /// or indices are of another size.
    pub fn predictor(
        &self,
        decoder: &MaeDecoder,
        target: &PixelTarget,
    ) -> impl Fn(&Tensor, &TokenIndices) -> Result<Tensor> {
        move |pixels, indices| {
            let images = self.normalize(pixels);
            let latent = self.encoder.encode(&images, Encode::visible(indices))?;
            let prediction = decoder.predict_all(&latent, indices)?;
            Ok(self.to_pixels(&target.to_images(&prediction, &images)?))
        }
    }

    /// The cost of one sample's training step, with this decoder.
    ///
    /// # Errors
    /// As [`Self::sample_plan`].
    pub fn step_cost(&self, decoder: &MaeDecoderConfig) -> Result<StepCost> {
        let plan = self.sample_plan()?;
        let (visible, masked) = (plan.visible_count(), plan.masked_count());
        Ok(self.encoder.config().step_cost(visible) + decoder.step_cost(visible, masked))
    }
}
