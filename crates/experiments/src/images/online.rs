//! Training on images with regular measurements of features: `eval.every`.

use std::ops::Range;

use anyhow::Result;
use bauta_data::{Inputs, LoaderConfig};
use bauta_eval::{EVALUATION_BATCH, EncodeError, Evaluator, KnnEvaluator, OnlineEvaluation};
use bauta_train::Objective;
use tch::Tensor;

use super::Images;
use crate::run::{Run, RunPhase};

impl Run<'_> {
    /// Trains a phase as [`Run::train`] does, and every `eval.every` epochs measures the
    /// objective's features of images with the current weights.
    ///
    /// # Errors
    /// As [`Run::train`], and when there are fewer training images than neighbours.
    pub fn train_watched<O: Objective>(
        &mut self,
        images: &Images,
        phase: RunPhase,
        objective: &mut O,
        inputs: impl FnMut(Range<u64>) -> Inputs<O::Input>,
        features: impl Fn(&O, &Tensor) -> Result<Tensor>,
    ) -> Result<()> {
        let (eval, splits) = (&images.eval, &images.splits);
        let labelled = splits.are_labelled() && splits.held_out();
        let mut knn = None;
        if labelled && eval.every > 0 {
            let known = knn.insert(KnnEvaluator::new(eval.knn.k, eval.knn.temperature)?);
            known.labelled(&[splits.train.len()])?;
        }
        let loader = LoaderConfig { batch_size: EVALUATION_BATCH, ..images.loader.clone() };
        let sources = [&splits.train, &splits.test];
        let online = OnlineEvaluation::new(sources, knn, loader, images.device, self.stop);
        self.train_measured(&phase.measured_every(eval.every), objective, inputs, |objective| {
            online.measure(&|pixels| features(objective, pixels).map_err(EncodeError::from))
        })
    }
}
