//! One optimiser step: forward, backward, hooks, clip, optimiser, average.
//!
//! A step reads nothing back from the device; losses and norms stay there
//! until they are read. A step whose loss or gradient is not finite
//! changes no weights, nor does any later step.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bauta_data::{DataError, Share};
use bauta_libtorch::{Autocast, Checkpointing, LibtorchError, global_norm, scale_all};
use tch::{Kind, Tensor};

use crate::ranks::Averaging;
use crate::{
    Ema, Gradients, Loss, Objective, Optimizer, Precision, Progress, Ranks, Reference, TrainConfig,
    TrainError, checkpoint,
};

/// Makes optimiser steps and keeps their losses and norms on the device.
///
/// [`Trainer::fit`](crate::Trainer::fit) drives it through a phase; code that times steps drives
/// it directly.
pub struct StepMaker<'a, O> {
    objective: &'a mut O,
    config: &'a TrainConfig,
    optimizer: Optimizer,
    ema: Option<Ema>,
    parameters: Vec<Tensor>,
    names: Vec<String>,
    /// 1 once the loss or gradient of a step was not finite.
    found_inf: Tensor,
    losses: Vec<Tensor>,
    norms: Vec<Tensor>,
    parts: Vec<(&'static str, Tensor)>,
    at_log_step: Option<AtLogStep>,
    stop: Option<&'a AtomicBool>,
    /// Whether a step can be left between its inputs.
    abandons: bool,
    ranks: Ranks,
    /// Averages gradients over several ranks; `None` for a single process.
    averaging: Option<Averaging>,
    /// Whether one of several ranks wanted to stop when the last step was made.
    stopping: bool,
}

/// Values that are kept for the last step alone, if it was a log step.
struct AtLogStep {
    /// Norms of the parameters and of their change in the step.
    norms: [Tensor; 2],
    reference: Option<Known>,
}

/// The values read for some steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Readings {
    /// The loss of each step.
    pub losses: Vec<f64>,
    /// The gradient's norm in each step, before clipping.
    pub norms: Vec<f64>,
    /// The parts of the loss by name: means over the inputs that have them.
    pub parts: BTreeMap<String, f64>,
    /// Norm of the parameters after the last step, if it was a log step.
    pub parameter_norm: Option<f64>,
    /// Norm of their change in the last step, if it was a log step.
    pub update_norm: Option<f64>,
    /// The reference of the loss, if the last step was a log step and the objective has one.
    pub reference: Option<(Reference, f64)>,
}

impl Readings {
    /// The index of the first step whose loss or gradient is not finite.
    pub(crate) fn first_not_finite(&self) -> Option<usize> {
        (0..self.losses.len()).find(|&i| !(self.losses[i] + self.norms[i]).is_finite())
    }
}

impl<'a, O: Objective> StepMaker<'a, O> {
    /// Starts at the objective's current weights, with a new optimiser and average.
    pub fn new(objective: &'a mut O, config: &'a TrainConfig) -> Self {
        Self::among(objective, config, &Ranks::alone())
    }

    /// Like [`Self::new`], for one of several ranks, which make each step together.
    pub(crate) fn among(objective: &'a mut O, config: &'a TrainConfig, ranks: &Ranks) -> Self {
        let all = objective.parameters();
        let share = if config.shard_optimizer { ranks.share() } else { Share::WHOLE };
        let optimizer = Optimizer::of_share(all, config.optimizer, share);
        let parameters = optimizer.parameters();
        let averaging = Averaging::of(ranks, &parameters).expect("trained parameters take hooks");
        Self {
            config,
            parameters,
            names: optimizer.names(),
            optimizer,
            ema: config.ema.map(|decay| Ema::new(all, decay)),
            found_inf: Tensor::zeros([] as [i64; 0], (Kind::Float, all.device())),
            losses: Vec::new(),
            norms: Vec::new(),
            parts: Vec::new(),
            at_log_step: None,
            stop: None,
            abandons: false,
            ranks: ranks.clone(),
            averaging,
            stopping: false,
            objective,
        }
    }

    /// Abandons a step of several inputs between two of them once `stop` is set; with several
    /// ranks, no rank abandons a step that another makes.
    ///
    /// A network with batch norms finishes its step: each forward pass moves their running moments,
    /// which are saved, so that the step made anew would move them twice.
    pub(crate) fn until(self, stop: &'a AtomicBool) -> Self {
        let state = self.objective.state();
        let parameters = self.objective.parameters().iter().map(|parameter| &parameter.name);
        let mut names = parameters.chain(state.iter().map(|(name, _)| name));
        let abandons = self.ranks.count() == 1 && !names.any(|name| name.ends_with("running_mean"));
        Self { stop: Some(stop), abandons, ..self }
    }

    /// Whether this process is to stop; with several ranks, whether any of them was to stop when
    /// the last step was made, which all of them know.
    pub(crate) fn is_stopping(&self) -> bool {
        let wanted = self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
        if self.ranks.count() > 1 { self.stopping } else { wanted }
    }

    /// Makes step number `step`, counted from 0, on the next `accumulate` inputs, without
    /// waiting for the device.
    ///
    /// # Errors
    /// [`TrainError::DataEnded`] when the inputs end, and any error of the inputs, the objective
    /// or the optimiser.
    pub fn make(
        &mut self,
        inputs: &mut impl Iterator<Item = Result<O::Input, DataError>>,
        lr: f64,
        step: u64,
    ) -> Result<(), TrainError> {
        self.at_log_step = None;
        let logged = self.config.is_log_step(step + 1);
        let (loss, reference, mut gradients) = self.gradients(inputs, step, logged)?;
        let mut named = Gradients::new(&self.names, &mut gradients);
        tch::no_grad(|| self.objective.adjust_gradients(&mut named))
            .map_err(TrainError::Objective)?;
        let norm = global_norm(&gradients)?;
        let bad = (&loss + &norm).isfinite().logical_not().to_kind(Kind::Float);
        self.found_inf = self.found_inf.maximum(&bad);
        if let Some(limit) = self.config.clip_grad {
            scale_all(&gradients, &(limit / (&norm + 1e-6)).clamp_max(1.0))?;
        }
        let before: Option<Vec<Tensor>> =
            logged.then(|| self.parameters.iter().map(|p| p.detach().copy()).collect());
        self.optimizer.step(&gradients, lr, &self.found_inf)?;
        self.optimizer.take_others(&self.ranks)?;
        if let Some(before) = before {
            let norms = tch::no_grad(|| self.norms_since(before))?;
            self.at_log_step = Some(AtLogStep { norms, reference });
        }
        if let Some(ema) = &mut self.ema {
            ema.update()?;
        }
        self.losses.push(loss);
        self.norms.push(norm);
        tch::no_grad(|| self.objective.after_step(step)).map_err(TrainError::Objective)
    }

    /// The values of the steps since the last read; waits for the device once.
    ///
    /// # Panics
    /// When no step was made since then.
    pub fn read(&mut self) -> Readings {
        let (steps, parts) = (self.losses.len(), std::mem::take(&mut self.parts));
        let last = self.at_log_step.take();
        let mut scalars = std::mem::take(&mut self.losses);
        scalars.append(&mut self.norms);
        scalars.extend(parts.iter().map(|(_, part)| part.shallow_clone()));
        if let Some(AtLogStep { norms, reference }) = &last {
            let reference = reference.iter().map(|(_, loss)| loss);
            scalars.extend(norms.iter().chain(reference).map(Tensor::shallow_clone));
        }
        let kind = last.as_ref().and_then(|last| Some(last.reference.as_ref()?.0));
        let values = Tensor::stack(&scalars, 0).to_kind(Kind::Double);
        let values = Vec::<f64>::try_from(values).expect("a vector of doubles");
        let (losses, rest) = values.split_at(steps);
        let (norms, rest) = rest.split_at(steps);
        let (values, last) = rest.split_at(parts.len());
        let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for ((name, _), value) in parts.iter().zip(values) {
            let (sum, count) = sums.entry((*name).to_owned()).or_default();
            *sum += value;
            *count += 1.0;
        }
        let parts = sums.into_iter().map(|(name, (sum, count))| (name, sum / count)).collect();
        let [parameter_norm, update_norm, taken] = [0, 1, 2].map(|at| last.get(at).copied());
        let (losses, norms) = (losses.to_vec(), norms.to_vec());
        let reference = kind.zip(taken);
        Readings { losses, norms, parts, parameter_norm, update_norm, reference }
    }

    /// Norms of the parameters and of their change since `before`.
    fn norms_since(&self, mut before: Vec<Tensor>) -> Result<[Tensor; 2], LibtorchError> {
        for (before, now) in before.iter_mut().zip(&self.parameters) {
            let _ = before.g_sub_(now);
        }
        let now: Vec<Tensor> = self.parameters.iter().map(Tensor::detach).collect();
        Ok([global_norm(&now)?, global_norm(&before)?])
    }

    /// Number of steps since the last read.
    pub(crate) fn unread(&self) -> usize {
        self.losses.len()
    }

    /// The objective, between steps.
    pub(crate) fn objective(&self) -> &O {
        self.objective
    }

    /// Continues from a checkpoint.
    pub(crate) fn load(&mut self, folder: &Path) -> Result<(), TrainError> {
        checkpoint::load(folder, self.objective, &mut self.optimizer, self.ema.as_mut())
    }

    /// Loads the optimiser's state from a checkpoint.
    pub(crate) fn load_optimizer(&mut self, folder: &Path) -> Result<(), TrainError> {
        checkpoint::load_optimizer(folder, &mut self.optimizer)
    }

    /// The optimiser's state for a checkpoint, whole on the rank that writes it; all ranks must
    /// call it.
    pub(crate) fn optimizer_state(&self) -> Result<Vec<(String, Tensor)>, TrainError> {
        Ok(self.optimizer.gathered_state(&self.ranks)?)
    }

    /// Writes the files of a checkpoint, with the optimiser's state.
    pub(crate) fn write(
        &self,
        folder: &Path,
        optimizer: &[(String, Tensor)],
        progress: &Progress,
    ) -> Result<(), TrainError> {
        checkpoint::write(folder, self.objective, optimizer, self.ema.as_ref(), progress)
    }

    /// Replaces the objective's weights with their averages, if there are any.
    pub(crate) fn finish(self) {
        if let Some(ema) = &self.ema {
            ema.apply();
        }
    }

    /// The mean loss of the next `accumulate` inputs and its gradients, over all ranks; if the step
    /// is `logged`, also the reference for the loss of the last input.
    fn gradients(
        &mut self,
        inputs: &mut impl Iterator<Item = Result<O::Input, DataError>>,
        step: u64,
        logged: bool,
    ) -> Result<Made, TrainError> {
        let mut gradients: Vec<Tensor> = Vec::new();
        let mut total: Option<Tensor> = None;
        let (share, parts) = (1.0 / self.config.accumulate as f64, self.parts.len());
        let mut reference = None;
        for place in 0..self.config.accumulate {
            if place > 0 && self.abandons && self.is_stopping() {
                self.parts.truncate(parts);
                return Err(TrainError::StoppedWithin { step });
            }
            let steps = self.config.schedule.steps;
            let input = inputs.next().ok_or(TrainError::DataEnded { step, steps })??;
            let mut loss = self.forward(&input)?;
            if logged {
                let known = loss.reference().map_err(TrainError::Objective)?;
                let checked = |(kind, loss): Known| {
                    Ok::<_, TrainError>((kind, scalar("reference of the loss", &loss)?))
                };
                reference = known.map(checked).transpose()?;
            }
            for (name, part) in loss.parts() {
                self.parts.push((name, scalar(&format!("part \"{name}\""), part)?));
            }
            let loss = scalar("loss", loss.total())? * share;
            if !loss.requires_grad() {
                let text = "the loss depends on no parameter, so it has no gradient";
                return Err(TrainError::Objective(text.into()));
            }
            let own = loss.detach();
            total = Some(total.map_or_else(|| own.shallow_clone(), |total| total + &own));
            if place + 1 == self.config.accumulate && self.averaging.is_some() {
                let own = (total.expect("it was added above"), reference, gradients);
                return self.averaged(&loss, own, parts);
            }
            let new = backward(&loss, &self.parameters)?.into_iter().zip(&self.parameters);
            let new = new.map(|(gradient, parameter)| {
                // A parameter that the loss does not depend on has no gradient.
                if gradient.defined() { gradient.contiguous() } else { parameter.zeros_like() }
            });
            if gradients.is_empty() {
                gradients = new.collect();
            } else {
                for (sum, gradient) in gradients.iter_mut().zip(new) {
                    let _ = sum.g_add_(&gradient);
                }
            }
        }
        Ok((total.expect("a step has at least one input"), reference, gradients))
    }

    /// Runs the backward pass of a step's last input and returns means over the ranks: of the
    /// gradients, of the step's `own` loss and of its reference.
    ///
    /// The parts of the loss, from index `parts` on, become means too, and the ranks agree on
    /// whether to stop.
    fn averaged(
        &mut self,
        loss: &Tensor,
        (own, reference, before): Made,
        parts: usize,
    ) -> Result<Made, TrainError> {
        let averaging = self.averaging.as_mut().expect("there are several ranks");
        let wanted = self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
        let mut numbers = vec![own, Tensor::from(f32::from(u8::from(wanted)))];
        let parts = &mut self.parts[parts..];
        numbers.extend(parts.iter().map(|(_, part)| part.shallow_clone()));
        numbers.extend(reference.iter().map(|(_, loss)| loss.shallow_clone()));
        averaging.begin(&numbers, &before)?;
        backward(loss, &self.parameters)?;
        let (means, gradients) = averaging.finish()?;
        let mut means = means.into_iter();
        let mut next = || means.next().expect("each number has a mean");
        let (loss, wanted) = (next(), next());
        self.stopping = wanted.double_value(&[]) > 0.0;
        parts.iter_mut().for_each(|(_, part)| *part = next());
        Ok((loss, reference.map(|(kind, _)| (kind, next())), gradients))
    }

    fn forward(&mut self, input: &O::Input) -> Result<Loss, TrainError> {
        let device = self.objective.parameters().device();
        let _autocast = match self.config.precision {
            Precision::Fp32 => None,
            Precision::Bf16 => Some(Autocast::bf16(device)?),
        };
        let _checkpointing = self.config.checkpoint_blocks.then(Checkpointing::on);
        self.objective.loss(input).map_err(TrainError::Objective)
    }
}

/// A reference of the loss: its kind and its value.
type Known = (Reference, Tensor);

/// A loss, its reference if it is known, and gradients.
type Made = (Tensor, Option<Known>, Vec<Tensor>);

/// The gradients of a loss; undefined for parameters that it does not depend on.
fn backward(loss: &Tensor, parameters: &[Tensor]) -> Result<Vec<Tensor>, LibtorchError> {
    Tensor::f_run_backward(&[loss], parameters, false, false)
        .map_err(|error| LibtorchError::Call(first_line(&error.to_string())))
}

/// A tensor of one number, as a scalar in single precision.
fn scalar(what: &str, tensor: &Tensor) -> Result<Tensor, TrainError> {
    if tensor.numel() != 1 {
        let shape = tensor.size();
        let text = format!(
            "the {what} has the shape {shape:?}; it must be a single number, such as a mean"
        );
        return Err(TrainError::Objective(text.into()));
    }
    let tensor = if tensor.dim() == 0 { tensor.shallow_clone() } else { tensor.squeeze() };
    Ok(tensor.to_kind(Kind::Float))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
