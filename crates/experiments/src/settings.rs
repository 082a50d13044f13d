//! Conversion of recipes' settings to the libraries' own types, the only place for it.

use anyhow::{Context, Result};
use bauta_backbones::Pooling;
use bauta_eval::dense::DenseConfig;
use bauta_eval::finetune::FineTuneConfig;
use bauta_eval::{
    DeviceChoice, Evaluator, FewShotRidge, KnnEvaluator, LinearProbe, ProbeOptimizer,
    SemiSupervised,
};
use bauta_libtorch::multiplies_bf16;
use bauta_recipe as recipe;
use bauta_recipe::{Comparison, DenseSettings, Eval, FineTune, Protocol, Train};
use bauta_targets::{FeatureLoss, FeatureTarget, Normalization, Teacher};
use bauta_train::{MixConfig, OptimizerConfig, Precision, Schedule, Shape, TrainConfig};
use tch::Device;

/// How a phase trains, on this many inputs per epoch.
pub fn train_config(train: &Train, inputs_per_epoch: u64) -> TrainConfig {
    let steps_per_epoch = (inputs_per_epoch / train.accumulate as u64).max(1);
    let samples_per_step = train.batch_size * train.accumulate;
    let (milestones, per_epoch) = (train.milestones.iter(), steps_per_epoch as f64);
    let schedule = Schedule {
        lr: Schedule::scaled_lr(train.base_lr, samples_per_step),
        warmup_steps: train.warmup_epochs * steps_per_epoch as f64,
        steps: u64::from(train.epochs) * steps_per_epoch,
        shape: match train.schedule {
            recipe::Schedule::Cosine => Shape::Cosine { min_lr: train.min_lr },
            recipe::Schedule::Constant => Shape::Constant,
            recipe::Schedule::Steps => Shape::Steps {
                milestones: milestones.map(|epoch| (epoch * per_epoch) as u64).collect(),
                factor: train.decay,
            },
        },
    };
    let betas = (train.betas[0], train.betas[1]);
    let optimizer = match train.optimizer {
        recipe::Optimizer::AdamW => OptimizerConfig::adamw(betas, train.weight_decay),
        recipe::Optimizer::Adam => OptimizerConfig::adam(betas, train.weight_decay),
        recipe::Optimizer::Sgd => OptimizerConfig::sgd(train.momentum, train.weight_decay),
    };
    TrainConfig {
        steps_per_epoch,
        accumulate: train.accumulate,
        optimizer,
        clip_grad: train.clip_grad,
        ema: train.ema,
        precision: precision(train.precision),
        checkpoint_blocks: train.checkpoint_blocks,
        shard_optimizer: train.shard_optimizer,
        checkpoint_every: train.checkpoint_every,
        log_every: train.log_every,
        ..TrainConfig::new(schedule, train.batch_size)
    }
}

/// The arithmetic that a recipe names; `auto` must be [chosen](choose_precision) first.
pub fn precision(named: recipe::Precision) -> Precision {
    match named {
        recipe::Precision::Fp32 | recipe::Precision::Auto => Precision::Fp32,
        recipe::Precision::Bf16 => Precision::Bf16,
    }
}

/// The precision that a recipe names, or the fast one of the device for `auto`.
pub fn choose_precision(wanted: recipe::Precision, device: Device) -> recipe::Precision {
    match wanted {
        recipe::Precision::Auto if multiplies_bf16(device) => recipe::Precision::Bf16,
        recipe::Precision::Auto => recipe::Precision::Fp32,
        wanted => wanted,
    }
}

/// The device that a recipe names, or the available one for `auto`.
///
/// # Errors
/// When CUDA is asked for and not available.
pub fn choose_device(wanted: recipe::Device) -> Result<Device> {
    match wanted {
        recipe::Device::Auto => Ok(DeviceChoice::Auto.choose()?),
        recipe::Device::Cpu => Ok(Device::Cpu),
        recipe::Device::Cuda => DeviceChoice::Cuda(0).choose().context("train.device is \"cuda\""),
    }
}

/// The feature of an image.
pub fn pooling(named: recipe::Pooling) -> Pooling {
    match named {
        recipe::Pooling::Mean => Pooling::Mean,
        recipe::Pooling::Cls => Pooling::Cls,
    }
}

/// The target of a teacher's features, normalised and compared as in `target.features`.
pub fn feature_target(teacher: Box<dyn Teacher>, table: &Comparison) -> FeatureTarget {
    let normalization = match table.normalization {
        recipe::Normalization::None => Normalization::None,
        recipe::Normalization::Standardize => Normalization::Standardize,
        recipe::Normalization::LayerNorm => Normalization::LayerNorm,
        recipe::Normalization::L2 => Normalization::L2,
    };
    let loss = match table.loss {
        recipe::FeatureLoss::Mse => FeatureLoss::Mse,
        recipe::FeatureLoss::SmoothL1 => FeatureLoss::SmoothL1 { beta: table.beta },
        recipe::FeatureLoss::Cosine => FeatureLoss::Cosine,
    };
    FeatureTarget::new(teacher, normalization, loss)
}

/// The protocols that a recipe names; a list of settings gives one protocol per entry.
///
/// # Errors
/// When a setting is out of its range.
pub fn evaluators(eval: &Eval) -> Result<Vec<Box<dyn Evaluator>>> {
    let linear = &eval.linear;
    let probe = LinearProbe {
        epochs: linear.epochs,
        batch_size: linear.batch_size,
        base_lr: linear.base_lr,
        warmup_epochs: linear.warmup_epochs,
        weight_decay: linear.weight_decay,
        optimizer: match linear.optimizer {
            recipe::ProbeOptimizer::Sgd => ProbeOptimizer::Sgd,
            recipe::ProbeOptimizer::Lars => ProbeOptimizer::Lars,
        },
    };
    let mut evaluators: Vec<Box<dyn Evaluator>> = Vec::new();
    for protocol in &eval.protocols {
        match protocol {
            Protocol::Knn => {
                evaluators.push(Box::new(KnnEvaluator::new(eval.knn.k, eval.knn.temperature)?));
            }
            Protocol::Linear => evaluators.push(Box::new(probe.clone())),
            Protocol::FewShot => {
                for &shots in &eval.few_shot.shots {
                    evaluators.push(Box::new(FewShotRidge::new(shots, eval.few_shot.draws)?));
                }
            }
            Protocol::Semi => {
                let (epochs, batch_size) = (eval.semi.epochs, eval.semi.batch_size);
                let probe = LinearProbe { epochs, batch_size, ..probe.clone() };
                for &percent in &eval.semi.percents {
                    evaluators.push(Box::new(SemiSupervised { percent, probe: probe.clone() }));
                }
            }
        }
    }
    Ok(evaluators)
}

/// How an `eval.finetune` table trains encoder and classifier.
pub fn finetune_config(table: &FineTune) -> FineTuneConfig {
    FineTuneConfig {
        epochs: table.epochs,
        batch_size: table.batch_size,
        base_lr: table.base_lr,
        min_lr: table.min_lr,
        warmup_epochs: table.warmup_epochs,
        weight_decay: table.weight_decay,
        layer_decay: table.layer_decay,
        drop_path: table.drop_path,
        mix: MixConfig { mixup: table.mixup, cutmix: table.cutmix },
        smoothing: table.smoothing,
        erasing: table.erasing,
        randaugment: table.randaugment,
        pooling: pooling(table.features),
        blocks: table.blocks,
        labels: table.labels,
    }
}

/// How the head of a dense task is trained; a frozen encoder allows twice the learning rate.
pub fn dense_config(settings: &DenseSettings, frozen: bool) -> DenseConfig {
    let train = &settings.train;
    DenseConfig {
        steps: train.steps,
        batch_size: train.batch_size,
        base_lr: train.base_lr.unwrap_or(if frozen { 8e-3 } else { 4e-3 }),
        weight_decay: train.weight_decay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn automatic_precision_is_what_the_device_multiplies_itself_and_others_stay() {
        use recipe::Precision::{Auto, Bf16, Fp32};
        let here = if multiplies_bf16(Device::Cpu) { Bf16 } else { Fp32 };
        assert_eq!(choose_precision(Auto, Device::Cpu), here);
        assert_eq!(choose_precision(Auto, Device::Cuda(0)), Bf16);
        for wanted in [Fp32, Bf16] {
            assert_eq!(choose_precision(wanted, Device::Cpu), wanted);
        }
    }
}
