//! MixMask: Revisiting Masking Strategy for Siamese ConvNets (Vishniakov, Xing and Shen,
//! arXiv 2210.11456).
//!
//! Two views of an image should be close. Mask some cells of the first view, and fill them with the
//! same cells of another image of the batch; the mixed image should be close to the second views of
//! both of its sources, to each by its share. Equations and deviations: `docs/systems/mixmask.md`.

mod pictures;
mod settings;
mod views;

use anyhow::Result;
use bauta_backbones::{ImageNormalization, Parameters, Preprocessing, ResNetFolder};
use bauta_eval::Scores;
use bauta_recipe::MixMask as Settings;
use bauta_siamese::{Siamese, soft_distance, unmix, unmix_partner_of};
use bauta_train::{Loss, Objective, ObjectiveError, serde_json};
use tch::Tensor;

pub use self::settings::viewing;
use self::views::Shown;
pub use self::views::{SECOND_VIEW, Viewing, Views};
use crate::images::{Features, Images};
use crate::run::{Run, System};

/// A siamese network, and how its first views are masked.
pub struct MixMask {
    network: Siamese,
    normalization: ImageNormalization,
    preprocessing: Preprocessing,
    /// The weight of the own image's term, if it is not the fraction of its pixels.
    own_weight: Option<f64>,
}

impl Objective for MixMask {
    type Input = Views;

    fn loss(&mut self, input: &Views) -> Result<Loss, ObjectiveError> {
        let network = &self.network;
        let [x, y] = input.pixels.each_ref().map(|pixels| self.normalization.normalize(pixels));
        let seen = network.see(&x)?;
        let other = network.config().symmetric.then(|| network.see(&y)).transpose()?;
        let key = network.keys(&y, other.as_ref(), &input.shuffle)?;
        let mirrored = other.is_some().then(|| network.keys(&x, Some(&seen), &input.shuffle));
        let mirrored = mirrored.transpose()?;
        let keys: Vec<&Tensor> = [&key].into_iter().chain(&mirrored).collect();
        let distance = |queries: &Tensor| network.distance(queries, &keys);

        let mut clean = network.distance(&seen.query, &[&key]);
        if let (Some(other), Some(mirrored)) = (&other, &mirrored) {
            clean += network.distance(&other.query, &[mirrored]);
        }
        let mut parts = vec![("clean", 1.0, clean)];
        if let Some((fill, shown)) = &input.fill {
            let mixed = network.see(&shown.apply(fill, &x))?.query;
            if let Shown::Partner = shown {
                let [own, partner] = soft_distance(distance, &mixed, &fill.partner_of);
                let share = self.own_weight.unwrap_or(fill.own);
                parts.extend([("own", share, own), ("partner", 1.0 - share, partner)]);
            } else {
                parts.push(("erased", 1.0, distance(&mixed)));
            }
            // With weight 0 it is logged, and changes nothing.
            parts.push(("lambda", 0.0, network.scalar(fill.own)));
        }
        if let Some(plan) = &input.unmix {
            let mixed = network.see(&unmix(plan, &x))?.query;
            let back = unmix_partner_of(mixed.size()[0], mixed.device());
            let [own, partner] = soft_distance(distance, &mixed, &back);
            let share = plan.own();
            parts.extend([("unmix_own", share, own), ("unmix_partner", 1.0 - share, partner)]);
        }
        let terms: f64 = parts.iter().map(|(_, weight, _)| weight * keys.len() as f64).sum();
        let uninformed = network.uninformed(terms);
        self.network.remember(&keys);
        Ok(Loss::sum(parts).beside_uninformed(uninformed))
    }

    fn after_step(&mut self, _step: u64) -> Result<(), ObjectiveError> {
        Ok(self.network.after_step()?)
    }

    fn parameters(&self) -> &Parameters {
        self.network.parameters()
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({ "model_type": "bauta-resnet", "siamese": self.network.config() })
    }

    fn preprocessing(&self) -> Option<Preprocessing> {
        Some(self.preprocessing.clone())
    }

    fn tensors(&self, input: &Views) -> Vec<(&'static str, Tensor)> {
        input.tensors()
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        self.network.state()
    }

    fn load_state(
        &mut self,
        saved: &std::collections::HashMap<String, Tensor>,
    ) -> Result<(), bauta_backbones::checkpoint::Mismatch> {
        self.network.load_state(saved)
    }
}

impl System for MixMask {
    type Settings = Settings;

    fn run(settings: &Settings, run: &mut Run<'_>) -> Result<Scores> {
        settings::check_share(settings.siamese.splits, run.train.batch_size, run.share())?;
        let mut images = run.images(&settings.data, &settings.eval)?;
        images.features = "mean over places of the last feature map".to_owned();
        let mut system = Self::new(settings, &images)?;
        run.start_from(settings.model.init.as_deref(), "pretrain", |init| {
            Ok(system.network.begin(&ResNetFolder::read(init)?)?)
        })?;
        let phase = run.phase("pretrain", images.batches_per_epoch());
        let phase = phase.costing(settings::step_cost(system.network.config(), settings, &images));
        let viewing = settings::viewing(settings, &images)?;
        let inputs = images.inputs(vec![SECOND_VIEW], viewing.clone().prepare())?;
        run.train_watched(&images, phase, &mut system, inputs, |system, x| system.features(x))?;

        let untrained = Self::new(settings, &images)?;
        pictures::fills(&viewing, &images, run)?;
        run.neighbours(&images, &system.represent())?;
        run.probe(&images, system.represent(), untrained.represent(), vec![])
    }
}

impl MixMask {
    /// Builds the network at its initial weights.
    ///
    /// # Errors
    /// When sizes do not fit together.
    pub fn new(settings: &Settings, images: &Images) -> Result<Self> {
        let config = settings::network(settings, images.splits.train.channels());
        let (seed, device) = (images.loader.seed, images.device);
        Ok(Self {
            network: Siamese::new(config, seed, device)?,
            normalization: images.normalization()?,
            preprocessing: images.preprocessing()?,
            own_weight: settings.mask.as_ref().and_then(|mask| mask.own_weight),
        })
    }

    /// Features [B, D] of u8 pixels [B, C, H, W].
    fn features(&self, pixels: &Tensor) -> Result<Tensor> {
        Ok(self.network.features(&self.normalization.normalize(pixels))?)
    }

    fn represent(&self) -> Features<'_> {
        Box::new(|pixels| self.features(pixels))
    }
}
