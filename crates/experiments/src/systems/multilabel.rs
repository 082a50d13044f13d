//! Learning to Learn and Predict: A Meta-Learning Approach for Multi-Label Classification
//! (Wu, Xiong and Wang, EMNLP-IJCNLP 2019, arXiv 1909.04176).
//!
//! A classifier gives every label a probability. Its loss weighs the labels by a *training policy*,
//! its decisions compare each probability with the threshold of a *prediction policy*. Both come
//! from a recurrent meta-learner, which sees their values of the previous step, and is rewarded for
//! the classifier's results on held-out documents. It learns on classifiers that are discarded, one
//! per episode; then it directs the training of the final one, without learning.

mod documents;
mod episode;
mod inputs;
mod measures;
mod sections;
mod settings;

use std::collections::HashMap;

use anyhow::Result;
use bauta_backbones::Parameters;
use bauta_backbones::checkpoint::Mismatch;
use bauta_eval::Scores;
use bauta_multilabel::{Action, Classifier, MetaLearner, inverse_frequency, weighted_loss};
use bauta_recipe::{LearntPolicies, Multilabel as Settings};
use bauta_train::{Loss, Objective, ObjectiveError};
use tch::Tensor;

use self::documents::Texts;
use self::inputs::{Labelled, Step};
use crate::run::{Run, RunPhase, System};

/// A classifier, and the meta-learner that directs its training.
pub struct Multilabel {
    parameters: Parameters,
    classifier: Classifier,
    learner: MetaLearner,
    mode: Mode,
    config: serde_json::Value,
    /// The action between a step's loss and its reward.
    acted: Option<(Action, Option<Labelled>)>,
}

/// Where the weights of the labels come from.
enum Mode {
    /// From policies that are sampled, rewarded and learnt.
    Learn,
    /// From the policies' means.
    Apply,
    /// From these weights, `[N]`.
    Given(Tensor),
}

impl Objective for Multilabel {
    type Input = Step;

    fn loss(&mut self, input: &Step) -> Result<Loss, ObjectiveError> {
        let input = input.to_device(self.parameters.device());
        let noise = matches!(self.mode, Mode::Learn).then_some(&input.noise);
        let action = self.learner.act(noise);
        let weights = if let Mode::Given(weights) = &self.mode { weights } else { &action.weights };
        let logits = self.classifier.forward(&input.train.words, Some(&input.keep));
        let loss = weighted_loss(&logits, &input.train.truth, weights);
        self.acted = Some((action, input.reward));
        Ok(loss.into())
    }

    /// The reward: the classifier's results on held-out documents, now that it has been trained
    /// with the action's weights.
    fn after_step(&mut self, step: u64) -> Result<(), ObjectiveError> {
        match self.acted.take() {
            Some((action, Some(reward))) => {
                let logits = tch::no_grad(|| self.classifier.forward(&reward.words, None));
                self.learner.learn(action, &logits, &reward.truth)?;
            }
            Some((action, None)) => self.learner.pass(&action, step),
            None => {}
        }
        Ok(())
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn config(&self) -> serde_json::Value {
        self.config.clone()
    }

    fn tensors(&self, input: &Step) -> Vec<(&'static str, Tensor)> {
        vec![("truth", input.train.truth.shallow_clone())]
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        self.learner.saved()
    }

    fn load_state(&mut self, saved: &HashMap<String, Tensor>) -> Result<(), Mismatch> {
        self.learner.load(saved)
    }
}

impl System for Multilabel {
    type Settings = Settings;

    fn run(settings: &Settings, run: &mut Run<'_>) -> Result<Scores> {
        let texts = Texts::open(settings, run)?;
        run.trained_on = texts.in_words();
        let build = |episode: u32, mode, phase: &RunPhase| {
            Self::new(settings, &texts, episode, mode, phase)
        };
        // Whatever is learnt, the final classifier has the same initial weights and batches.
        let episodes = settings.policies.episodes;
        let learning = settings.policies.learn != LearntPolicies::None;
        let mut teacher: Option<Self> = None;
        for episode in (0..episodes).filter(|_| learning) {
            let phase = run.phase(&format!("learn-{}", episode + 1), texts.steps_per_epoch());
            let mut system = build(episode, Mode::Learn, &phase)?;
            if let Some(teacher) = &teacher {
                system.learner.adopt(&teacher.learner);
            }
            system.train(&phase.keeping(), &texts, run, episode)?;
            teacher = Some(system);
        }
        let mut weighted = None;
        if settings.eval.baselines {
            let phase = run.phase("inverse-frequency", texts.steps_per_epoch());
            let weights = inverse_frequency(&texts.corpus.prevalence());
            let mode = Mode::Given(Tensor::from_slice(&weights).to_device(run.device));
            let mut system = build(episodes, mode, &phase)?;
            system.train(&phase.keeping(), &texts, run, episodes)?;
            weighted = Some(system);
        }
        let phase = run.phase("final", texts.steps_per_epoch());
        let mut last = build(episodes, Mode::Apply, &phase)?;
        if let Some(teacher) = &teacher {
            last.learner.adopt(&teacher.learner);
        }
        last.train(&phase, &texts, run, episodes)?;
        run.measures()?;
        measures::measure(&last, teacher.as_ref(), weighted.as_ref(), &texts, settings, run)
    }
}
