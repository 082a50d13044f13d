//! A recipe's settings as the libraries' types, and what each method does with them.

use std::ops::Range;

use anyhow::Result;
use bauta_backbones::BareConfig;
use bauta_recipe::{self as recipe, ContinualMethod as Named, ExSsNet as Settings, Network, Train};
use bauta_supermask::{Density, Editing, LearnerConfig, Transfer, WeightStart};

use super::stream::Stream;
use crate::run::RunPhase;

/// A way to learn the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// One mask per task, then weights; `None` for SupSup, which trains no weights.
    Masked(Option<Editing>),
    /// The whole network, task by task; with a penalty in EWC.
    Plain {
        elastic: bool,
    },
    Individual,
    Joint,
}

/// What a phase trains.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    Masks,
    Weights(Editing),
}

impl Method {
    /// The methods of a run, the recipe's own last.
    pub(super) fn of(settings: &Settings) -> Vec<Self> {
        settings.methods().into_iter().map(Self::named).collect()
    }

    pub(super) fn named(named: Named) -> Self {
        match named {
            Named::ExSsNet => Self::Masked(Some(Editing::Exclusive)),
            Named::SsNet => Self::Masked(Some(Editing::Original)),
            Named::SupSup => Self::Masked(None),
            Named::FineTune => Self::Plain { elastic: false },
            Named::Ewc => Self::Plain { elastic: true },
            Named::Individual => Self::Individual,
            Named::Joint => Self::Joint,
        }
    }

    /// Its name in metrics and phases.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Masked(Some(Editing::Exclusive)) => "exssnet",
            Self::Masked(Some(Editing::Original)) => "ssnet",
            Self::Masked(None) => "supsup",
            Self::Plain { elastic: false } => "finetune",
            Self::Plain { elastic: true } => "ewc",
            Self::Individual => "individual",
            Self::Joint => "joint",
        }
    }

    pub(super) fn is_elastic(self) -> bool {
        self == Self::Plain { elastic: true }
    }

    /// Which tasks are learnt together: each alone, or all.
    pub(super) fn turns(self, tasks: usize) -> Vec<Range<usize>> {
        match self {
            Self::Joint => std::iter::once(0..tasks).collect(),
            _ => (0..tasks).map(|task| task..task + 1).collect(),
        }
    }

    /// The phases of a turn: the same number of epochs for every method.
    pub(super) fn phases(
        self,
        settings: &Settings,
        train: &Train,
        turn: &Range<usize>,
        batches: u64,
    ) -> Vec<(RunPhase, Stage)> {
        let (weights, all) = (settings.learning.weight_epochs, train.epochs);
        let base_lr = settings.learning.weight_lr;
        let (name, task) = (self.name(), turn.start + 1);
        let phase = |what: &str, train: &Train| {
            let name = match self {
                Self::Joint => name.to_owned(),
                _ => format!("{name}-{task}{what}"),
            };
            RunPhase::new(&name, train, batches)
        };
        let whole = Train { base_lr: settings.learning.plain_lr, ..train.clone() };
        match self {
            Self::Masked(None) => vec![(phase("-masks", train), Stage::Masks)],
            Self::Masked(Some(editing)) => {
                let first = Train { epochs: all - weights, ..train.clone() };
                let second = Train { epochs: weights, base_lr, ..train.clone() };
                let masks = (phase("-masks", &first), Stage::Masks);
                vec![masks, (phase("-weights", &second), Stage::Weights(editing))]
            }
            _ => vec![(phase("", &whole), Stage::Weights(Editing::Original))],
        }
    }

    /// Which earlier tasks provide initial scores; `None` for methods without masks.
    pub(super) fn transfer(self, settings: &Settings) -> Option<Transfer> {
        let rule = settings.learning.transfer.filter(|_| matches!(self, Self::Masked(_)))?;
        Some(match rule {
            recipe::Transfer::Best => Transfer::Best,
            recipe::Transfer::Always => Transfer::Always,
            recipe::Transfer::All => Transfer::All,
        })
    }
}

/// The network of a method on these tasks.
pub(super) fn learner(
    settings: &Settings,
    stream: &Stream,
    method: Method,
) -> Result<LearnerConfig> {
    let table = &settings.model;
    let [channels, height, width] = stream.shape;
    let network = match table.network {
        Network::Mlp => {
            BareConfig::Mlp { inputs: channels * height * width, hidden: table.hidden.clone() }
        }
        Network::ResNet18 => BareConfig::ResNet18 { channels, width: table.width },
        Network::ResNet50 => BareConfig::ResNet50 { channels },
        // For texts, the width of a token's features replaces an image's width.
        Network::TextCnn => {
            BareConfig::TextCnn { dim: width, filters: table.filters, lengths: vec![3, 4, 5] }
        }
    };
    let masked = matches!(method, Method::Masked(_));
    let density = if masked { Some(Density::new(settings.mask.density)?) } else { None };
    let start = match table.start {
        recipe::WeightStart::SignedConstant => WeightStart::SignedConstant,
        recipe::WeightStart::UnsignedConstant => WeightStart::UnsignedConstant,
        recipe::WeightStart::KaimingNormal => WeightStart::KaimingNormal,
        recipe::WeightStart::KaimingUniform => WeightStart::KaimingUniform,
        recipe::WeightStart::XavierNormal => WeightStart::XavierNormal,
    };
    Ok(LearnerConfig {
        network,
        classes: stream.classes,
        // The task is known, so the whole network can have one head per task.
        heads: (!masked).then_some(stream.tasks.len()),
        density,
        start,
        keep_scores: method.transfer(settings).is_some(),
    })
}
