//! Masked Autoencoders Are Scalable Vision Learners (He et al., arXiv 2111.06377).
//!
//! Cut the image into patches; mask most of them at random; encode the visible ones; append mask
//! tokens and decode; predict the masked patches' pixels. Equations and deviations:
//! `docs/systems/mae.md`.

use anyhow::Result;
use bauta_backbones::{
    Encode, MaeDecoder, Parameters, Preprocessing, VisionTransformer, VitMaeConfig,
};
use bauta_eval::Scores;
use bauta_recipe::Mae as Settings;
use bauta_targets::PixelTarget;
use bauta_train::{Loss, Objective, ObjectiveError};
use tch::Tensor;

use crate::images::{Images, MaskedImages, Student};
use crate::run::{Run, System};

/// The masked autoencoder: encoder, decoder and target.
pub struct Mae {
    /// Encoder, masks and normalisation.
    pub student: Student<VisionTransformer>,
    decoder: MaeDecoder,
    target: PixelTarget,
    config: VitMaeConfig,
}

impl Objective for Mae {
    type Input = MaskedImages;

    fn loss(&mut self, input: &MaskedImages) -> Result<Loss, ObjectiveError> {
        let images = self.student.normalize(&input.pixels);
        let latent = self.student.encoder.encode(&images, Encode::visible(&input.indices))?;
        let prediction = self.decoder.predict_masked(&latent, &input.indices)?;
        let target = self.target.masked(&images, &input.indices)?;
        Ok(Loss::from(self.target.loss(&prediction, &target)?).beside(self.target.of_mean(target)))
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

impl System for Mae {
    type Settings = Settings;

    fn run(settings: &Settings, run: &mut Run<'_>) -> Result<Scores> {
        let images = run.images(&settings.data, &settings.eval)?;
        let mut mae = Self::new(settings, &images)?;
        run.start_from(settings.model.init.as_deref(), "pretrain", |init| mae.student.begin(init))?;
        let cost = mae.student.step_cost(mae.decoder.config())?;
        let phase = run.phase("pretrain", images.batches_per_epoch()).costing(cost);
        let inputs = images.inputs(Vec::new(), mae.student.masking().prepare())?;
        run.train_watched(&images, phase, &mut mae, inputs, |mae, x| mae.student.features(x))?;

        let (student, untrained) = (&mae.student, Self::new(settings, &images)?.student);
        run.reconstruct(&images, student, &student.predictor(&mae.decoder, &mae.target))?;
        run.look(&images, student)?;
        run.probe(&images, student.represent(), untrained.represent(), vec![])
    }
}

impl Mae {
    /// Builds encoder, decoder and target at their initial weights.
    ///
    /// # Errors
    /// When the sizes do not fit together.
    pub fn new(settings: &Settings, images: &Images) -> Result<Self> {
        let mut student = Student::vit(images, &settings.model, &settings.mask, 0)?;
        let decoder =
            student.decoder(&settings.decoder, student.encoder.config().patch_values())?;
        let target = images.pixel_target(&settings.target, student.grid());
        let (encoder, ratio) = (student.encoder.config(), settings.mask.last_ratio());
        let config = VitMaeConfig::new(encoder, decoder.config(), ratio, target.is_normalized());
        Ok(Self { student, decoder, target, config })
    }
}
