//! One classifier of a run: built anew, trained for an episode, or loaded from a finished one.

use std::path::Path;

use anyhow::{Context, Result};
use bauta_multilabel::{Classifier, MetaLearner, MultilabelError};
use bauta_recipe::Multilabel as Settings;

use super::documents::Texts;
use super::settings::{classifier_config, meta_config};
use super::{Mode, Multilabel};
use crate::run::{Run, RunPhase};

impl Multilabel {
    /// A new classifier for this episode, and an untrained meta-learner.
    ///
    /// # Errors
    /// When a size is out of range.
    pub(super) fn new(
        settings: &Settings,
        texts: &Texts,
        episode: u32,
        mode: Mode,
        phase: &RunPhase,
    ) -> Result<Self, MultilabelError> {
        let mut parameters = texts.parameters(episode);
        let prevalence = texts.corpus.prevalence();
        let sizes = classifier_config(&settings.model, texts.width, prevalence);
        let classifier = Classifier::new(parameters.root(), &sizes)?;
        let labels = texts.corpus.labels.len();
        let meta = meta_config(&settings.policies, labels, phase.inputs());
        let learner = MetaLearner::new(parameters.root().sub("meta"), &meta)?;
        let config = serde_json::json!({
            "model_type": "multilabel", "model": settings.model, "labels": texts.corpus.labels,
        });
        Ok(Self { parameters, classifier, learner, mode, config, acted: None })
    }

    /// Trains a phase, or loads its result if it was over before.
    pub(super) fn train(
        &mut self,
        phase: &RunPhase,
        texts: &Texts,
        run: &mut Run<'_>,
        episode: u32,
    ) -> Result<()> {
        let name = phase.phase.name.clone();
        if name != "final" && run.is_over(&name)? {
            return self.load(&run.kept(&name));
        }
        let learns = matches!(self.mode, Mode::Learn);
        run.train(phase, self, texts.inputs(self.classifier.width(), episode, learns)?)
    }

    fn load(&mut self, folder: &Path) -> Result<()> {
        let weights = folder.join("model.safetensors");
        self.parameters
            .load(&weights)
            .with_context(|| format!("{} is incomplete; start the run again", weights.display()))
    }
}
