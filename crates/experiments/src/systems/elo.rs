//! Evolving Losses for Unsupervised Video Representation Learning (Piergiovanni, Angelova and
//! Ryoo, CVPR 2020, arXiv 2002.12177).
//!
//! Each modality has a network that learns from many self-supervised tasks at once; the RGB network
//! also learns from the others by distillation. The weights of tasks and distillation sites are
//! searched: a candidate trains networks for a while, and is judged without labels, by how well the
//! sizes of the clusters of held-out clips follow Zipf's law. The best weights train the final
//! networks, of which the RGB network is kept. Equations and deviations: `docs/systems/elo.md`.

mod clips;
mod drawing;
mod judge;
mod maker;
mod measures;
mod search;
mod sections;

use std::collections::HashMap;

use anyhow::Result;
use bauta_backbones::Parameters;
use bauta_backbones::checkpoint::Mismatch;
use bauta_eval::Scores;
use bauta_recipe::{Elo as Settings, LEAST_WEIGHT};
use bauta_targets::pretext::{Pretext, RunningScale, SoundingClips};
use bauta_train::{Loss, Objective, ObjectiveError, Ranks, Standing};
use tch::Tensor;

use self::clips::Clips;
use crate::run::{Run, RunPhase, System};

/// Steps over which the size of a loss is measured.
const SCALE_STEPS: u32 = 20;

/// The networks of all modalities, and how much each task weighs.
pub struct Elo {
    parameters: Parameters,
    networks: Pretext,
    weights: Vec<f64>,
    scale: RunningScale,
    ranks: Ranks,
    config: serde_json::Value,
}

impl Objective for Elo {
    type Input = SoundingClips;

    fn loss(&mut self, input: &SoundingClips) -> Result<Loss, ObjectiveError> {
        let clips = input.to_device(self.parameters.device());
        let wanted: Vec<bool> = self.weights.iter().map(|weight| *weight >= LEAST_WEIGHT).collect();
        let losses = self.networks.losses(&clips, &wanted)?;
        // All processes divide by the same, or their gradients would be of different losses.
        let several = self.ranks.count() > 1 && self.scale.measures(&wanted);
        let scaled = self.scale.scale_by(losses, |own| match several {
            true => self.ranks.mean_of(&own),
            false => Ok(own),
        });
        let scaled = scaled?.into_iter();
        let weighted = self.networks.tasks().iter().zip(&self.weights).zip(scaled);
        Ok(Loss::sum(
            weighted.filter_map(|((task, weight), loss)| Some((task.name(), *weight, loss?))),
        ))
    }

    fn after_step(&mut self, _step: u64) -> Result<(), ObjectiveError> {
        self.scale.after_step();
        Ok(())
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn config(&self) -> serde_json::Value {
        self.config.clone()
    }

    fn tensors(&self, input: &SoundingClips) -> Vec<(&'static str, Tensor)> {
        let own = [("pixels", Some(&input.pixels)), ("sound", input.sound.as_ref())];
        let there = own.into_iter().filter_map(|(name, x)| Some((name, x?.shallow_clone())));
        there.collect()
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        self.scale.state()
    }

    fn load_state(&mut self, saved: &HashMap<String, Tensor>) -> Result<(), Mismatch> {
        self.scale.load_state(saved)
    }
}

impl System for Elo {
    type Settings = Settings;

    fn run(settings: &Settings, run: &mut Run<'_>) -> Result<Scores> {
        let clips = Clips::open(settings, run)?;
        measures::check(&clips, settings)?;
        run.trained_on = clips.in_words();
        let found = search::search(settings, &clips, run)?;
        let compared = settings.eval.baselines && clips.are_labelled();
        let equal = match compared && found.weights.iter().any(|w| *w < 1.0) {
            true => Self::with_equal_weights(settings, &clips, run)?,
            false => None,
        };
        let mut last = Self::new(settings, &clips, found.weights.clone(), 0)?;
        let phase = run.phase("final", clips.steps_per_epoch());
        run.train(&phase, &mut last, clips.inputs(0))?;
        run.measures()?;
        measures::measure(&last, equal.as_ref(), &found, &clips, settings, run)
    }
}

impl Elo {
    /// Networks at the initial weights of a draw, 0 for those that are kept.
    fn new(settings: &Settings, clips: &Clips, weights: Vec<f64>, draw: u64) -> Result<Self> {
        let mut parameters = Parameters::drawn(clips.seed(), draw, clips.device());
        let networks = Pretext::new(parameters.root(), *clips.sizes())?;
        let scale = RunningScale::new(weights.len(), SCALE_STEPS, clips.device());
        let names = networks.tasks().iter().map(|task| task.name());
        let named: HashMap<&str, f64> = names.zip(weights.iter().copied()).collect();
        let config = serde_json::json!({
            "model_type": "bauta-elo", "model": settings.model, "lambda": named,
        });
        let ranks = clips.ranks().clone();
        Ok(Self { parameters, networks, weights, scale, ranks, config })
    }

    /// The baseline whose weights are all 1, trained; `None` if it diverged.
    fn with_equal_weights(
        settings: &Settings,
        clips: &Clips,
        run: &mut Run<'_>,
    ) -> Result<Option<Self>> {
        let mut equal = Self::new(settings, clips, vec![1.0; clips.task_names().len()], 0)?;
        let phase = run.phase("equal-weights", clips.steps_per_epoch()).keeping();
        let is_past = run.is_over(phase.name())? || run.standing("final")? != Standing::Ahead;
        let trained = match is_past && !run.kept(phase.name()).is_dir() {
            true => false,
            false => match equal.train(&phase, clips, run) {
                Err(error) if search::has_diverged(&error) => {
                    run.abandon(phase.name())?;
                    false
                }
                done => done.map(|()| true)?,
            },
        };
        if !trained {
            run.explain(["Training with equal weights diverged, so it is no baseline.".to_owned()]);
        }
        Ok(trained.then_some(equal))
    }

    /// Trains a phase that is followed by others, or loads what it left when it was over before.
    fn train(&mut self, phase: &RunPhase, clips: &Clips, run: &mut Run<'_>) -> Result<()> {
        if run.is_over(phase.name())? {
            let weights = run.kept(phase.name()).join("model.safetensors");
            return Ok(self.parameters.load(&weights)?);
        }
        run.train(phase, self, clips.inputs(0))
    }
}
