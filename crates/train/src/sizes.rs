//! Sizes of a phase's steps, known before the first step.

use bauta_backbones::StepCost;
use bauta_report::plan::StepSizes;

use crate::{Objective, Phase, Precision, Rule, TrainConfig};

/// Counts the operations and stored numbers of training `objective` in `phase`, where a step costs
/// `cost` per sample; fields about the recipe and this machine's peak keep their defaults.
pub fn step_sizes<O: Objective>(phase: &Phase, objective: &O, cost: StepCost) -> StepSizes {
    let TrainConfig { schedule, batch_size, accumulate, optimizer, .. } = &phase.config;
    let parameters = objective.parameters();
    let trained: usize = parameters.trainable().map(|p| p.tensor.numel()).sum();
    let trained = trained as u64;
    let moments = match optimizer.rule {
        Rule::AdamW { .. } | Rule::Adam { .. } => 2,
        Rule::Sgd { momentum, .. } => u64::from(momentum > 0.0),
    };
    let own: usize = objective.state().iter().map(|(_, tensor)| tensor.numel()).sum();
    let averages = if phase.config.ema.is_some() { trained } else { 0 };
    let checkpoints = phase.config.checkpoint_blocks;
    StepSizes {
        phase: phase.name.clone(),
        phases: 1,
        steps: schedule.steps,
        batch_size: *batch_size as u64,
        accumulate: *accumulate as u64,
        parameters: parameters.count() as u64,
        trained,
        moments: moments * trained,
        sharded: phase.config.shard_optimizer,
        state: own as u64 + averages,
        operations: cost.total(),
        again: if checkpoints { cost.again } else { 0 },
        kept: if checkpoints { cost.kept - cost.spared } else { cost.kept },
        bf16: phase.config.precision == Precision::Bf16,
        ..StepSizes::default()
    }
}
