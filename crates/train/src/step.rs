//! One optimiser step: forward, backward, clip, AdamW, average.
//!
//! A step reads nothing back from the device; losses and norms gather there
//! until somebody reads them. A step whose loss or gradient is not finite
//! changes no weight, nor does any after it.

use std::path::{Path, PathBuf};

use bauta_data::DataError;
use bauta_libtorch::{Autocast, global_norm, scale_all};
use tch::{Kind, Tensor};

use crate::{Checkpoints, Ema, Objective, Optimizer, Precision, Progress, TrainConfig, TrainError};

/// Makes optimiser steps and keeps their losses and norms on the device.
///
/// [`fit`](crate::fit) drives it through a run; whoever times a step drives it alone.
pub struct StepMaker<'a, O> {
    objective: &'a O,
    config: &'a TrainConfig,
    optimizer: Optimizer,
    ema: Option<Ema>,
    parameters: Vec<Tensor>,
    /// 1 from the first step on whose loss or gradient is not finite.
    found_inf: Tensor,
    losses: Vec<Tensor>,
    norms: Vec<Tensor>,
}

impl<'a, O: Objective> StepMaker<'a, O> {
    /// Starts at the objective's present weights, with a fresh optimiser and average.
    pub fn new(objective: &'a O, config: &'a TrainConfig) -> Self {
        let all = objective.parameters();
        let optimizer = Optimizer::new(all, config.adamw);
        Self {
            objective,
            config,
            parameters: optimizer.parameters(),
            optimizer,
            ema: config.ema.map(|decay| Ema::new(all, decay)),
            found_inf: Tensor::zeros([] as [i64; 0], (Kind::Float, all.device())),
            losses: Vec::new(),
            norms: Vec::new(),
        }
    }

    /// Makes step number `step` on the next `accumulate` inputs, without waiting for the device.
    ///
    /// # Errors
    /// [`TrainError::DataEnded`] when the inputs end, and whatever input, loss
    /// or optimiser run into.
    pub fn make(
        &mut self,
        inputs: &mut impl Iterator<Item = Result<O::Input, DataError>>,
        lr: f64,
        step: u64,
    ) -> Result<(), TrainError> {
        let (loss, gradients) = self.gradients(inputs, step)?;
        let norm = global_norm(&gradients)?;
        let bad = (&loss + &norm).isfinite().logical_not().to_kind(Kind::Float);
        self.found_inf = self.found_inf.maximum(&bad);
        if let Some(limit) = self.config.clip_grad {
            scale_all(&gradients, &(limit / (&norm + 1e-6)).clamp_max(1.0))?;
        }
        self.optimizer.step(&gradients, lr, &self.found_inf)?;
        if let Some(ema) = &mut self.ema {
            ema.update()?;
        }
        self.losses.push(loss);
        self.norms.push(norm);
        Ok(())
    }

    /// The losses and gradient norms of the steps since the last read; waits for the device.
    ///
    /// # Panics
    /// When no step was made since.
    pub fn read(&mut self) -> (Vec<f64>, Vec<f64>) {
        let both = [std::mem::take(&mut self.losses), std::mem::take(&mut self.norms)];
        let [losses, norms] = both.map(|scalars| {
            Vec::<f64>::try_from(Tensor::stack(&scalars, 0).to_kind(Kind::Double))
                .expect("a vector of doubles")
        });
        (losses, norms)
    }

    /// The average of the weights, where the configuration wants one.
    pub fn ema(&self) -> Option<&Ema> {
        self.ema.as_ref()
    }

    /// Goes on from a checkpoint of this stage, or from the one that ended the stage before.
    pub(crate) fn load(&mut self, checkpoint: &Path) -> Result<Progress, TrainError> {
        let progress = Checkpoints::progress(checkpoint)?;
        let stage = self.config.stage;
        let begins = stage.index > 0
            && progress.stage + 1 == stage.index
            && progress.step == stage.first_step;
        if begins {
            if stage.keep_optimizer {
                Checkpoints::load_optimizer(checkpoint, &mut self.optimizer)?;
            }
            return Ok(progress);
        }
        if progress.stage != stage.index {
            let (found, wanted) = (progress.stage + 1, stage.index + 1);
            return Err(TrainError::Checkpoint {
                path: checkpoint.into(),
                reason: format!(
                    "stands at step {} of stage {found}, and stage {wanted} was to go on",
                    progress.step
                ),
            });
        }
        Checkpoints::load(checkpoint, self.objective, &mut self.optimizer, self.ema.as_mut())?;
        Ok(progress)
    }

    /// Writes a checkpoint.
    pub(crate) fn save(
        &self,
        checkpoints: &Checkpoints,
        progress: &Progress,
    ) -> Result<PathBuf, TrainError> {
        checkpoints.save(self.objective, &self.optimizer, self.ema.as_ref(), progress)
    }

    /// The mean loss of the next `accumulate` inputs and its gradients.
    fn gradients(
        &self,
        inputs: &mut impl Iterator<Item = Result<O::Input, DataError>>,
        step: u64,
    ) -> Result<(Tensor, Vec<Tensor>), TrainError> {
        let mut gradients: Vec<Tensor> = Vec::new();
        let mut total: Option<Tensor> = None;
        let share = 1.0 / self.config.accumulate as f64;
        for _ in 0..self.config.accumulate {
            let steps = self.config.stage.first_step + self.config.schedule.steps;
            let input = inputs.next().ok_or(TrainError::DataEnded { step, steps })??;
            let loss = self.forward(&input)? * share;
            let new = Tensor::run_backward(&[&loss], &self.parameters, false, false);
            let new = new.into_iter().zip(&self.parameters).map(|(gradient, parameter)| {
                // A parameter that the loss does not depend on has none.
                if gradient.defined() { gradient.contiguous() } else { parameter.zeros_like() }
            });
            if gradients.is_empty() {
                gradients = new.collect();
            } else {
                for (sum, gradient) in gradients.iter_mut().zip(new) {
                    let _ = sum.g_add_(&gradient);
                }
            }
            let loss = loss.detach();
            total = Some(total.map_or_else(|| loss.shallow_clone(), |total| total + &loss));
        }
        Ok((total.expect("a step has at least one input"), gradients))
    }

    fn forward(&self, input: &O::Input) -> Result<Tensor, TrainError> {
        let device = self.objective.parameters().device();
        let _autocast = match self.config.precision {
            Precision::Fp32 => None,
            Precision::Bf16 => Some(Autocast::bf16(device)?),
        };
        self.objective.loss(input)
    }
}
