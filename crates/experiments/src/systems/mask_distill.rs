//! A Unified View of Masked Image Modeling (Peng et al., arXiv 2210.10615): MaskDistill.
//!
//! A student that sees every position, masked patches as one learned token, predicts a teacher's
//! normalised features of the whole image; its only head is a linear layer. Equations and
//! deviations: `docs/systems/maskdistill.md`.

use std::path::Path;

use anyhow::Result;
use bauta_backbones::{
    BeitConfig, BeitEncoder, BeitModelConfig, Encode, Linear, Parameters, Preprocessing, Scope,
    patch_tokens,
};
use bauta_eval::Scores;
use bauta_recipe::MaskDistill as Settings;
use bauta_targets::FeatureTarget;
use bauta_train::{Loss, Objective, ObjectiveError};
use tch::Tensor;

use crate::images::{Images, MaskedImages, Student, Teachers};
use crate::run::{Run, System};
use crate::settings::feature_target;

/// The five slots: teacher, normalisation and loss in the target, student and head.
pub struct MaskDistill {
    student: Student<BeitEncoder>,
    head: Linear,
    target: FeatureTarget,
}

impl Objective for MaskDistill {
    type Input = MaskedImages;

    fn loss(&mut self, input: &MaskedImages) -> Result<Loss, ObjectiveError> {
        let MaskedImages { pixels, indices, drop_path, .. } = input;
        let images = self.student.normalize(pixels);
        let seen = Encode::mask_tokens(indices).dropping(drop_path.as_ref());
        let tokens = self.student.encoder.encode(&images, seen)?;
        let prediction = self.head.forward(&indices.gather_masked(&patch_tokens(&tokens)));
        let target = self.target.masked(pixels, indices)?;
        let loss = Loss::from(self.target.loss(&prediction, &target)?);
        Ok(loss.beside(self.target.of_mean(&prediction, target)))
    }

    fn parameters(&self) -> &Parameters {
        &self.student.parameters
    }

    fn config(&self) -> serde_json::Value {
        let outputs = self.target.teacher().dim();
        let config = BeitModelConfig::new(self.student.encoder.config(), Some(outputs));
        serde_json::to_value(config).expect("a configuration is plain values")
    }

    fn preprocessing(&self) -> Option<Preprocessing> {
        self.student.preprocessing()
    }

    fn tensors(&self, input: &MaskedImages) -> Vec<(&'static str, Tensor)> {
        input.tensors()
    }
}

impl System for MaskDistill {
    type Settings = Settings;

    fn run(settings: &Settings, run: &mut Run<'_>) -> Result<Scores> {
        let images = run.images(&settings.data, &settings.eval)?;
        let teacher = run.teacher(&settings.teacher)?;
        let mut system = Self::new(settings, &images, teacher.as_deref())?;
        run.start_from(settings.model.init.as_deref(), "pretrain", |init| {
            system.student.begin(init)
        })?;
        let plan = system.student.sample_plan()?;
        let (visible, masked) = (plan.visible_count(), plan.masked_count());
        let cost = system.student.encoder.config().step_cost(visible, masked)
            + system.head.step_cost(masked);
        let phase = run.phase("pretrain", images.batches_per_epoch()).costing(cost);
        let masking = system.student.masking().dropping(settings.model.drop_path, 0);
        let inputs = images.inputs(Vec::new(), masking.prepare())?;
        run.train_watched(&images, phase, &mut system, inputs, |it, x| it.student.features(x))?;

        let untrained = Self::new(settings, &images, teacher.as_deref())?.student;
        let student = &system.student;
        run.look(&images, student)?;
        run.probe(&images, student.represent(), untrained.represent(), vec![])
    }
}

impl MaskDistill {
    /// Builds student and head at their initial weights, and the target that teaches them.
    ///
    /// # Errors
    /// When the sizes do not fit together, or the teacher is not there.
    pub fn new(settings: &Settings, images: &Images, teacher: Option<&Path>) -> Result<Self> {
        let model = settings.model.vit();
        let config = BeitConfig {
            vit: images.vit_config(&model),
            layer_scale: settings.model.layer_scale,
            absolute_positions: settings.model.absolute_positions,
        };
        let build = |scope: Scope<'_>| BeitEncoder::new(scope, &config);
        let mut student = Student::new(images, &settings.mask, images.parameters(), build)?;
        let teachers =
            Teachers { images, table: &settings.teacher, model: &model, weights: teacher };
        let target = feature_target(teachers.named(student.grid())?, &settings.target.features);
        let (outputs, init) = (target.teacher().dim(), BeitEncoder::INIT);
        let mut root = student.parameters.root();
        let head = Linear::starting(root.sub("lm_head"), config.vit.dim, outputs, init, true);
        Ok(Self { student, head, target })
    }
}
