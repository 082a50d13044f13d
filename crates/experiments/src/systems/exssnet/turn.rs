//! The turns of a method: how each starts and ends.

use std::rc::Rc;

use anyhow::Result;
use bauta_recipe::ExSsNet as Settings;
use bauta_supermask::{Elastic, Learner};

use super::ExSsNet;
use super::results::Results;
use super::settings::{self, Method};
use super::stream::Stream;
use crate::run::Run;

impl ExSsNet {
    /// A method before its first task; `results` are those of the methods before it.
    pub(super) fn new(
        settings: &Settings,
        run: &Run<'_>,
        stream: &Rc<Stream>,
        method: Method,
        results: Results,
    ) -> Result<Self> {
        let config = settings::learner(settings, stream, method)?;
        let learner = Learner::new(config, run.seed, run.device)?;
        let strength = settings.learning.elastic;
        let elastic = method.is_elastic().then(|| Elastic::new(strength, &learner));
        let (stream, turn, steps_per_epoch) = (Rc::clone(stream), 0..0, 1);
        Ok(Self { learner, elastic, method, stream, turn, steps_per_epoch, results })
    }

    /// Begins a turn; one that `is_new` in this run can start from earlier scores.
    pub(super) fn begin(&mut self, settings: &Settings, is_new: bool) -> Result<()> {
        let task = self.turn.start;
        match self.method {
            Method::Joint => return Ok(self.learner.begin_together(self.turn.len())?),
            Method::Individual => self.learner.begin_anew(task as u64),
            _ => {}
        }
        self.learner.begin(task)?;
        if let Some(rule) = self.method.transfer(settings).filter(|_| is_new && task > 0) {
            let [images, labels] = self.stream.looked_at(task, settings.learning.samples)?;
            let classes = self.stream.tasks[task].classes;
            let neighbours = settings.learning.neighbours;
            let found = self.learner.transfer(rule, [&images, &labels], classes, neighbours)?;
            tracing::info!("task {}: {found:?}", task + 1);
        }
        Ok(())
    }

    /// Ends a turn: keeps its mask, and tests all tasks so far.
    pub(super) fn finish(&mut self, settings: &Settings) -> Result<()> {
        self.learner.finish();
        let (first, last) = (self.turn.start, self.turn.end - 1);
        if let Some(elastic) = &mut self.elastic {
            let [images, labels] = self.stream.looked_at(first, settings.learning.samples)?;
            elastic.hold(&self.learner, first, [&images, &labels])?;
        }
        // With one network per task, only that of the current task exists.
        let tested = if self.method == Method::Individual { first..=last } else { 0..=last };
        for task in tested {
            let accuracy = self.stream.test(&self.learner, task)?;
            self.results.tested(
                self.method.name(),
                [last, task],
                self.stream.tasks.len(),
                accuracy,
            );
        }
        Ok(())
    }
}
