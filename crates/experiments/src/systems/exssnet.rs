//! Exclusive Supermask Subnetwork Training for Continual Learning
//! (Yadav and Bansal, arXiv 2210.10209).
//!
//! One network for all tasks, and for each task a mask: learn scores, the largest of which make the
//! mask (phase A); then train the weights that it keeps and no earlier mask does (phase B). The
//! outputs of earlier tasks never change. Baselines are the same loop without one or the other.
//! Steps and deviations: `docs/systems/exssnet.md`.

mod images;
mod report;
mod results;
mod settings;
mod stream;
mod texts;
mod turn;

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use anyhow::Result;
use bauta_backbones::{Parameters, checkpoint::Mismatch};
use bauta_eval::Scores;
use bauta_recipe::ExSsNet as Settings;
use bauta_supermask::{Elastic, Learner};
use bauta_train::{Gradients, Loss, Objective, ObjectiveError, Standing};
use tch::Tensor;

use self::results::Results;
use self::settings::{Method, Stage};
use self::stream::{Stream, TaskBatch};
use crate::run::{Run, System};

/// One method on the stream of tasks.
pub struct ExSsNet {
    learner: Learner,
    /// With EWC: the weights that are held, and how strongly.
    elastic: Option<Elastic>,
    method: Method,
    stream: Rc<Stream>,
    /// The tasks that are learnt currently.
    turn: Range<usize>,
    steps_per_epoch: u64,
    results: Results,
}

impl Objective for ExSsNet {
    type Input = TaskBatch;

    fn loss(&mut self, input: &TaskBatch) -> Result<Loss, ObjectiveError> {
        let logits = self.learner.logits(input.task, &self.stream.entering(input))?;
        let loss = logits.cross_entropy_for_logits(&input.labels);
        Ok(match &self.elastic {
            None => loss.into(),
            Some(elastic) => {
                let held = elastic.penalty(&self.learner);
                Loss::sum([("cross_entropy", 1.0, loss), ("elastic", 1.0, held)])
            }
        })
    }

    fn adjust_gradients(&mut self, gradients: &mut Gradients<'_>) -> Result<(), ObjectiveError> {
        gradients.iter_mut().for_each(|(name, gradient)| self.learner.restrict(name, gradient));
        Ok(())
    }

    fn after_step(&mut self, step: u64) -> Result<(), ObjectiveError> {
        if (step + 1).is_multiple_of(self.steps_per_epoch) {
            let accuracy = self.stream.validate(&self.learner, &self.turn)?;
            self.learner.validate(&accuracy);
            self.results.validated(self.method.name(), self.turn.start, &accuracy);
        }
        Ok(())
    }

    fn parameters(&self) -> &Parameters {
        self.learner.parameters()
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({ "model_type": "exssnet", "learner": self.learner.config() })
    }

    fn tensors(&self, input: &TaskBatch) -> Vec<(&'static str, Tensor)> {
        vec![("inputs", input.inputs.shallow_clone()), ("labels", input.labels.shallow_clone())]
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        let held = self.elastic.iter().flat_map(Elastic::state);
        self.learner.state().into_iter().chain(held).chain(self.results.state()).collect()
    }

    fn load_state(&mut self, saved: &HashMap<String, Tensor>) -> Result<(), Mismatch> {
        let rest = self.results.load_state(saved);
        let rest = match &self.elastic {
            Some(elastic) => elastic.load_state(&rest)?,
            None => rest,
        };
        self.learner.load_state(&rest)
    }
}

impl System for ExSsNet {
    type Settings = Settings;

    fn run(settings: &Settings, run: &mut Run<'_>) -> Result<Scores> {
        let stream = Rc::new(Stream::open(settings, run)?);
        let mut results = Results::default();
        let mut learners = Vec::new();
        for method in Method::of(settings) {
            let mut system = Self::new(settings, run, &stream, method, results)?;
            system.learn(settings, run)?;
            results = system.results;
            learners.push(system.learner);
        }
        run.measures()?;
        let learner = learners.last().expect("the recipe's own method is one");
        report::write(settings, run, &stream, learner, &results)
    }
}

impl ExSsNet {
    /// Learns all tasks, each in the phases of the method. Phases that were over before the run was
    /// resumed are restored with the state of a later phase.
    fn learn(&mut self, settings: &Settings, run: &mut Run<'_>) -> Result<()> {
        for turn in self.method.turns(self.stream.tasks.len()) {
            let batches = self.stream.batches_per_epoch(&turn);
            let phases = self.method.phases(settings, &run.train, &turn, batches);
            let standing = |run: &mut Run<'_>, place: usize| run.standing(phases[place].0.name());
            if standing(run, phases.len() - 1)? == Standing::Earlier {
                turn.for_each(|_| self.learner.expect_finished());
                continue;
            }
            let is_new = standing(run, 0)? == Standing::Ahead;
            (self.turn, self.steps_per_epoch) = (turn.clone(), batches);
            self.begin(settings, is_new)?;
            // A later phase continues the epochs of the previous one.
            let mut first = 0;
            for (phase, stage) in &phases {
                match stage {
                    Stage::Masks => self.learner.learn_masks(),
                    Stage::Weights(editing) => self.learner.learn_weights(*editing),
                }
                let mut inputs = self.stream.inputs(&turn)?;
                run.train(phase, self, |steps| inputs(first + steps.start..first + steps.end))?;
                self.learner.restore_best();
                first += phase.inputs();
            }
            self.finish(settings)?;
        }
        Ok(())
    }
}
