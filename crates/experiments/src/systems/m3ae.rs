//! Multimodal Masked Autoencoders Learn Transferable Representations (Geng et al.,
//! arXiv 2205.14204).
//!
//! An image's patches and its caption's words are one sequence; mask most of both; encode what is
//! visible; append mask vectors and decode; predict the masked patches' pixels and the masked
//! words. Images and captions alone go through the same weights. Equations and deviations:
//! `docs/systems/m3ae.md`.

mod batches;
mod features;
mod measures;
mod pairs;
mod pictures;

use anyhow::Result;
use bauta_backbones::{ImageNormalization, Parameters, StepCost};
use bauta_eval::Scores;
use bauta_multimodal::{ImageTokens, PairAutoencoder, PairConfig, TextTokens};
use bauta_recipe::M3ae as Settings;
use bauta_targets::{PixelTarget, patchify, sum_of, word_loss};
use bauta_train::{Loss, Objective, ObjectiveError};
use tch::Tensor;

use self::batches::PairBatch;
use self::pairs::Pairs;
use crate::images::Features;
use crate::run::{Run, System};
use crate::settings::pooling;

/// The masked autoencoder of images and texts, and its targets.
pub struct M3ae {
    parameters: Parameters,
    network: PairAutoencoder,
    target: PixelTarget,
    normalization: ImageNormalization,
    settings: Settings,
}

impl Objective for M3ae {
    type Input = PairBatch;

    fn loss(&mut self, input: &PairBatch) -> Result<Loss, ObjectiveError> {
        let (mut pixels, mut words) = (Vec::new(), Vec::new());
        for group in &input.groups {
            let images =
                group.image.as_ref().map(|(pixels, _)| self.normalization.normalize(pixels));
            let patches = images.as_ref().map(|images| self.patches(images)).transpose()?;
            let image = patches.as_ref().zip(group.image.as_ref());
            let image = image
                .map(|(patches, (_, indices))| ImageTokens { patches, indices: Some(indices) });
            let text = group.text.as_ref().map(|(ids, words)| TextTokens { ids, words });
            let decoded = self.network.decode(&self.network.encode(image, text)?)?;
            if let (Some(images), Some((_, indices)), Some(decoded)) =
                (&images, &group.image, decoded.image())
            {
                let predicted = self.network.pixels(&indices.gather_masked(decoded));
                let loss = self.target.loss(&predicted, &self.target.masked(images, indices)?)?;
                pixels.push(loss * (indices.batch() as f64 / input.images as f64));
            }
            if let (Some((ids, indices)), Some(decoded)) = (&group.text, decoded.text()) {
                let logits = self.network.words(&indices.gather_hidden(decoded));
                let loss = word_loss(&logits, &indices.hidden_ids(ids), indices.shares())?;
                words.push(loss / input.samples as f64);
            }
        }
        let (target, device) = (&self.settings.target, self.parameters.device());
        let parts = [
            ("pixels", target.image_weight, sum_of(&pixels, device)),
            ("words", target.text_weight, sum_of(&words, device)),
        ];
        Ok(Loss::sum(parts))
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({ "model_type": "m3ae", "network": self.network.config() })
    }

    fn tensors(&self, input: &PairBatch) -> Vec<(&'static str, Tensor)> {
        input.tensors()
    }
}

impl System for M3ae {
    type Settings = Settings;

    fn run(settings: &Settings, run: &mut Run<'_>) -> Result<Scores> {
        let pairs = Pairs::open(settings, run)?;
        let mut m3ae = Self::new(settings, &pairs)?;
        let cost = m3ae.step_cost(&pairs)?;
        let phase = run.phase("pretrain", pairs.images.batches_per_epoch()).costing(cost);
        run.train(&phase, &mut m3ae, pairs.inputs()?)?;

        pictures::show(&m3ae, &pairs, run)?;
        measures::measure(&m3ae, &Self::new(settings, &pairs)?, &pairs, run)
    }
}

impl M3ae {
    /// Builds network and targets at their initial weights.
    ///
    /// # Errors
    /// When the sizes do not fit together.
    fn new(settings: &Settings, pairs: &Pairs) -> Result<Self> {
        let Settings { model, decoder, .. } = settings;
        let (grid, channels) = (settings.grid()?, pairs.images.splits.train.channels());
        let values = model.patch_size * model.patch_size * channels;
        let config = PairConfig::new(grid, values, model.dim)
            .with_text(pairs.pieces.size(), settings.data.text_length)
            .with_decoder(decoder.dim, decoder.depth, decoder.heads);
        let config = PairConfig { depth: model.depth, heads: model.heads, ..config };
        let mut parameters = pairs.images.parameters();
        let network = PairAutoencoder::new(parameters.root(), &config)?;
        let target = pairs.images.pixel_target(&settings.target.pixels(), grid);
        let normalization = pairs.images.normalization()?;
        Ok(Self { parameters, network, target, normalization, settings: settings.clone() })
    }

    /// The patches of normalised images, [B, C, H, W] to [B, L, P].
    fn patches(&self, images: &Tensor) -> Result<Tensor> {
        Ok(patchify(images, self.network.config().grid)?)
    }

    /// The features [B, D] of whole images, u8 pixels [B, C, H, W].
    fn represent(&self) -> Features<'_> {
        Box::new(|pixels| {
            let patches = self.patches(&self.normalization.normalize(pixels))?;
            let image = ImageTokens { patches: &patches, indices: None };
            let latent = self.network.encode(Some(image), None)?;
            Ok(pooling(self.settings.eval.features).pool(latent.tokens()))
        })
    }

    /// The cost of one pair's share of a step, with a caption of mean length.
    fn step_cost(&self, pairs: &Pairs) -> Result<StepCost> {
        let (patches, [seen, hidden]) = (pairs.visible_patches()?, pairs.mean_words());
        Ok(self.network.config().step_cost(patches, seen, hidden))
    }
}
