//! i-MAE: Are Latent Representations in Masked Autoencoders Linearly Separable?
//! (Zhang and Shen, arXiv 2210.11470).
//!
//! Mix two images; mask most patches of the mixture; encode the visible ones; disentangle the
//! latent with one linear head per image; decode each with the same decoder; compare each latent
//! with a frozen masked autoencoder's latent of that image alone. Equations and deviations:
//! `docs/systems/i-mae.md`.

mod measures;
mod mixed;
mod pictures;
mod teacher;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Context, Result};
use bauta_backbones::{
    DisentanglingDecoder, Encode, Parameters, Preprocessing, VisionTransformer, VitMaeConfig,
};
use bauta_eval::Scores;
use bauta_recipe::{Branches, IMae as Settings, MixtureInit, TeacherInput};
use bauta_targets::{
    PixelTarget, TargetError, by_weight, latent_loss, latent_loss_of_mean, mix, two_way_loss,
    two_way_loss_of_mean,
};
use bauta_train::{Loss, Objective, ObjectiveError};
use tch::Tensor;

use self::mixed::{MixedImages, Mixing};
use self::teacher::FrozenAutoencoder;
use crate::images::{Images, MaskedImages, Student};
use crate::run::{Run, System};

/// Encoder, disentangling heads on one decoder, target, and the frozen teacher.
pub struct IMae {
    student: Student<VisionTransformer>,
    decoder: DisentanglingDecoder,
    target: PixelTarget,
    teacher: Option<FrozenAutoencoder>,
    teacher_input: TeacherInput,
    latent_weight: f64,
    config: VitMaeConfig,
}

impl Objective for IMae {
    type Input = MixedImages;

    fn loss(&mut self, input: &MixedImages) -> Result<Loss, ObjectiveError> {
        let MixedImages { masked: MaskedImages { pixels, indices, .. }, partners, lambda } = input;
        let [first, second] = [pixels, partners].map(|pixels| self.student.normalize(pixels));
        let mixture = mix(&first, &second, *lambda)?;
        let sources = by_weight(&first, &second, *lambda);

        let latent = self.student.encoder.encode(&mixture, Encode::visible(indices))?;
        let latents = self.decoder.disentangle(&latent);
        let predictions = self.decoder.predict_masked(&latents, indices)?;
        let images = two_way_loss(&self.target, &predictions, sources, indices)?;

        let of_mean = two_way_loss_of_mean(&self.target, &sources[..latents.len()], indices);
        let Some(teacher) = self.distilled() else { return Ok(Loss::from(images).beside(of_mean)) };
        let taught = match self.teacher_input {
            TeacherInput::Sources => teacher.latents(&sources[..latents.len()], indices)?,
            TeacherInput::Mixture => teacher.latent_for_all(&mixture, indices, latents.len())?,
        };
        let distance = latent_loss(&latents, &taught)?;
        let weight = self.latent_weight;
        let of_mean = move || Ok(of_mean()? + latent_loss_of_mean(&taught) * weight);
        Ok(Loss::sum([("image", 1.0, images), ("latent", weight, distance)])
            .beside::<TargetError>(of_mean))
    }

    fn parameters(&self) -> &Parameters {
        &self.student.parameters
    }

    fn config(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).expect("a configuration is plain values")
    }

    fn preprocessing(&self) -> Option<Preprocessing> {
        self.student.preprocessing()
    }

    fn tensors(&self, input: &MixedImages) -> Vec<(&'static str, Tensor)> {
        input.tensors()
    }
}

impl System for IMae {
    type Settings = Settings;

    fn run(settings: &Settings, run: &mut Run<'_>) -> Result<Scores> {
        let images = run.images(&settings.data, &settings.eval)?;
        let mixture = &settings.mixture;
        let partners = images.partners(mixture.same_class)?;
        let teacher = settings.teacher.as_ref().map(|teacher| run.teacher(teacher)).transpose()?;
        let teacher = teacher.flatten();
        let build = |init| Self::new(settings, &images, teacher.as_deref(), init);
        let mut system = build(mixture.init)?;
        let begin = |init: &_| system.student.begin(init);
        run.start_from(settings.model.init.as_deref(), "pretrain", begin)?;
        let phase = run.phase("pretrain", images.batches_per_epoch()).costing(system.step_cost()?);
        let mixing = Mixing { masking: system.student.masking(), lambda: mixture.lambda };
        let inputs = images.inputs(vec![partners], mixing.prepare())?;
        run.train_watched(&images, phase, &mut system, inputs, |it, x| it.student.features(x))?;

        let untrained = build(MixtureInit::Random)?;
        let continues = mixture.init == MixtureInit::Teacher;
        let begun = continues.then(|| build(mixture.init)).transpose()?;
        let begun = begun.iter().map(|begun| ("mae".to_owned(), begun.student.represent()));
        let (student, random) = (&system.student, untrained.student.represent());
        run.reconstruct(&images, student, &|pixels, indices| system.predict_pure(pixels, indices))?;
        pictures::mixtures(&system, &images, run)?;
        run.look(&images, student)?;
        let mut scores = run.probe(&images, student.represent(), random, begun.collect())?;
        scores.extend(measures::measure(&system, &untrained, &images, run)?);
        Ok(scores)
    }
}

impl IMae {
    /// Builds encoder, heads and decoder, with the teacher's weights or random ones.
    fn new(
        settings: &Settings,
        images: &Images,
        teacher: Option<&Path>,
        init: MixtureInit,
    ) -> Result<Self> {
        let Settings { mixture, model, decoder, mask, .. } = settings;
        let mut student = Student::vit(images, model, mask, 0)?;
        let outputs = student.encoder.config().patch_values();
        let (decoder_config, grid) = (student.decoder_config(decoder, outputs), student.grid());
        let root = student.parameters.root();
        let decoder = match mixture.branches {
            Branches::Single => DisentanglingDecoder::single(root, &decoder_config, grid)?,
            Branches::Double => DisentanglingDecoder::double(root, &decoder_config, grid)?,
        };
        let target = images.pixel_target(&settings.target, grid);
        let (encoder, normalized) = (student.encoder.config(), target.is_normalized());
        let config = VitMaeConfig {
            decoder_branches: decoder.branches(),
            ..VitMaeConfig::new(encoder, &decoder_config, mask.last_ratio(), normalized)
        };

        let teacher = teacher.map(|folder| FrozenAutoencoder::open(folder, images)).transpose()?;
        if let Some(teacher) = &teacher {
            let distilled = (mixture.latent_weight > 0.0).then_some(&decoder_config);
            teacher.check(&student.encoder, distilled)?;
        }
        if init == MixtureInit::Teacher {
            let teacher = teacher.as_ref().context("mixture.init \"teacher\" needs a [teacher]")?;
            teacher.begin(&student.parameters, &config)?;
        }
        let (teacher_input, latent_weight) = (mixture.teacher_input, mixture.latent_weight);
        Ok(Self { student, decoder, target, teacher, teacher_input, latent_weight, config })
    }
}
