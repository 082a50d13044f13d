//! What recipes say, as the libraries' own types: the one place where the two meet.

use bauta_backbones::Pooling;
use bauta_recipe::tables::{
    self, FeatureLossName, FeatureTarget as FeatureTable, NormalizationName, OptimizerName, ScheduleName, Train,
};
use bauta_targets::{FeatureLoss, FeatureTarget, Normalization, Teacher};
use bauta_train::{LayerDecay, OptimizerConfig, Precision, Rule, Schedule, Shape, TrainConfig};

/// How a phase trains, on so many inputs per epoch.
pub fn train_config(train: &Train, inputs_per_epoch: u64) -> TrainConfig {
    let steps_per_epoch = (inputs_per_epoch / train.accumulate as u64).max(1);
    let samples_per_step = train.batch_size * train.accumulate;
    let schedule = Schedule {
        lr: Schedule::scaled_lr(train.base_lr, samples_per_step),
        warmup_steps: train.warmup_epochs * steps_per_epoch as f64,
        steps: u64::from(train.epochs) * steps_per_epoch,
        shape: match train.schedule {
            ScheduleName::Cosine => Shape::Cosine { min_lr: train.min_lr },
            ScheduleName::Constant => Shape::Constant,
            ScheduleName::Steps => Shape::Steps {
                milestones: train.milestones.iter().map(|epoch| epoch * steps_per_epoch).collect(),
                factor: train.decay,
            },
        },
    };
    let betas = (train.betas[0], train.betas[1]);
    let optimizer = match train.optimizer {
        OptimizerName::Adamw => OptimizerConfig::adamw(betas, train.weight_decay),
        OptimizerName::Adam => OptimizerConfig::adam(betas, train.weight_decay),
        OptimizerName::Sgd => OptimizerConfig::sgd(train.momentum, train.weight_decay),
    };
    TrainConfig {
        steps_per_epoch,
        accumulate: train.accumulate,
        optimizer,
        clip_grad: train.clip_grad,
        ema: train.ema,
        precision: precision(train.precision),
        checkpoint_every: train.checkpoint_every,
        log_every: train.log_every,
        ..TrainConfig::new(schedule, train.batch_size)
    }
}

/// The arithmetic that a recipe names.
pub fn precision(named: tables::Precision) -> Precision {
    match named {
        tables::Precision::Fp32 => Precision::Fp32,
        tables::Precision::Bf16 => Precision::Bf16,
    }
}

/// What stands for an image.
pub fn pooling(named: tables::Pooling) -> Pooling {
    match named {
        tables::Pooling::Mean => Pooling::Mean,
        tables::Pooling::Cls => Pooling::Cls,
    }
}

/// A teacher's features as a recipe's `target.features` has them normalised and compared.
pub fn feature_target(teacher: Box<dyn Teacher>, table: &FeatureTable) -> FeatureTarget {
    let normalization = match table.normalization {
        NormalizationName::None => Normalization::None,
        NormalizationName::Standardize => Normalization::Standardize,
        NormalizationName::LayerNorm => Normalization::LayerNorm,
        NormalizationName::L2 => Normalization::L2,
    };
    let loss = match table.loss {
        FeatureLossName::Mse => FeatureLoss::Mse,
        FeatureLossName::SmoothL1 => FeatureLoss::SmoothL1 { beta: table.beta },
        FeatureLossName::Cosine => FeatureLoss::Cosine,
    };
    FeatureTarget::new(teacher, normalization, loss)
}
