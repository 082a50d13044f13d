//! Exploring Target Representations for Masked Autoencoders (Liu et al., arXiv 2209.03917).
//!
//! A masked autoencoder predicts a frozen teacher's features of the whole image. The first teacher
//! may be anything, even a copy of the student's own random initialisation; after each stage the
//! student becomes the teacher, and a new student starts. Equations and deviations:
//! `docs/systems/dbot.md`.

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use bauta_backbones::{
    Encode, MaeDecoder, Parameters, Preprocessing, VisionTransformer, VitMaeConfig,
};
use bauta_eval::Scores;
use bauta_recipe::{DBot as Settings, Stages};
use bauta_targets::FeatureTarget;
use bauta_train::{Loss, Objective, ObjectiveError, Start};
use tch::Tensor;

use crate::images::{Images, MaskedImages, Student, Teachers};
use crate::run::{Run, System};
use crate::settings::feature_target;

/// One stage: a student, its decoder, and the teacher's target.
pub struct DBot {
    student: Student<VisionTransformer>,
    decoder: MaeDecoder,
    target: FeatureTarget,
    config: VitMaeConfig,
}

impl Objective for DBot {
    type Input = MaskedImages;

    fn loss(&mut self, input: &MaskedImages) -> Result<Loss, ObjectiveError> {
        let MaskedImages { pixels, indices, drop_path, decoder_drop_path } = input;
        let images = self.student.normalize(pixels);
        let seen = Encode::visible(indices).dropping(drop_path.as_ref());
        let latent = self.student.encoder.encode(&images, seen)?;
        let skipped = decoder_drop_path.as_ref();
        let prediction = self.decoder.predict_masked_and_class(&latent, indices, skipped)?;
        let target = self.target.masked(pixels, indices)?;
        let loss = Loss::from(self.target.loss(&prediction, &target)?);
        Ok(loss.beside(self.target.of_mean(&prediction, target)))
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

    fn tensors(&self, input: &MaskedImages) -> Vec<(&'static str, Tensor)> {
        input.tensors()
    }
}

impl System for DBot {
    type Settings = Settings;

    fn run(settings: &Settings, run: &mut Run<'_>) -> Result<Scores> {
        let images = run.images(&settings.data, &settings.eval)?;
        let first = run.teacher(&settings.teacher)?;
        let (stages, mut students, mut teacher) =
            (settings.stages.count, Vec::new(), first.clone());
        for stage in 0..stages {
            let (name, last) = (format!("stage-{}", stage + 1), stage + 1 == stages);
            let model = if last { run.last() } else { run.kept(&name) };
            let mut dbot = Self::new(settings, &images, stage, teacher.as_deref())
                .with_context(|| format!("stage {} of {stages}", stage + 1))?;
            // Training loads the last stage if it is over, and counts what the report says of it.
            if !last && run.is_over(&name)? {
                let weights = model.join("model.safetensors");
                dbot.parameters().load(&weights).with_context(|| {
                    format!("the student of {name} is incomplete; start the run again")
                })?;
            } else {
                dbot.train(settings, &images, run, stage)?;
            }
            students.push((format!("stage_{}", stage + 1), dbot.student));
            teacher = Some(model);
        }

        let beginning = Self::new(settings, &images, 0, first.as_deref())?.student;
        let (_, student) = students.pop().context("there is one stage at least")?;
        let earlier = students.iter().map(|(name, earlier)| (name.clone(), earlier.represent()));
        let (trained, untrained) = (student.represent(), beginning.represent());
        run.look(&images, &student)?;
        run.probe(&images, trained, untrained, earlier.collect())
    }
}

impl DBot {
    /// Trains the student of a stage, counted from 0.
    fn train(
        &mut self,
        settings: &Settings,
        images: &Images,
        run: &mut Run<'_>,
        stage: u32,
    ) -> Result<()> {
        let cost = self.student.step_cost(self.decoder.config())?;
        let name = format!("stage-{}", stage + 1);
        // These weights replace the random ones at the start of a stage.
        run.start_from(settings.model.init.as_deref(), &name, |init| self.student.begin(init))?;
        let phase = run.phase(&name, images.batches_per_epoch());
        let Stages { count, reset_optimizer, .. } = settings.stages;
        let phase = phase.costing(cost).one_of(count).starting(match reset_optimizer {
            false if stage > 0 => Start::WithMoments,
            _ => Start::Fresh,
        });
        let last = stage + 1 == settings.stages.count;
        let phase = if last { phase } else { phase.keeping() };
        let (rate, depth) = (settings.model.drop_path, settings.decoder.depth);
        let begun = u64::from(stage) * u64::from(run.train.epochs);
        let masking = self.student.masking().dropping(rate, depth).from_epoch(begun);
        // A later stage continues the epochs of the previous one: other crops, other masks.
        let first = u64::from(stage) * phase.inputs();
        let mut inputs = images.inputs(Vec::new(), masking.prepare())?;
        let inputs = |steps: Range<u64>| inputs(first + steps.start..first + steps.end);
        run.train_watched(images, phase, self, inputs, |dbot, pixels| dbot.student.features(pixels))
    }

    /// Builds the student of a stage, counted from 0, and the target that teaches it.
    ///
    /// # Errors
    /// When the sizes do not fit together, or the teacher is not there.
    pub fn new(
        settings: &Settings,
        images: &Images,
        stage: u32,
        teacher: Option<&Path>,
    ) -> Result<Self> {
        // Each stage draws a new student; the random teacher has the initial weights of the first.
        let model = settings.model.vit();
        let mut student = Student::vit(images, &model, &settings.mask, u64::from(stage))?;
        let teachers =
            Teachers { images, table: &settings.teacher, model: &model, weights: teacher };
        let teacher = match stage {
            0 => teachers.named(student.grid())?,
            // A former student; teacher.image_size is that of the first teacher.
            _ => Box::new(teachers.of_folder(student.grid(), None)?),
        };
        let target = feature_target(teacher, &settings.target.features);
        let decoder = student.decoder(&settings.decoder, target.teacher().dim())?;
        let encoder = student.encoder.config();
        let config =
            VitMaeConfig::of_features(encoder, decoder.config(), settings.mask.last_ratio());
        Ok(Self { student, decoder, target, config })
    }
}
