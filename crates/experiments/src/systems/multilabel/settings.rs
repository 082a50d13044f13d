//! A recipe's classifier and policies, as the library's own types.

use bauta_multilabel::{Architecture, ClassifierConfig, MetaConfig, Policies, Reward};
use bauta_recipe::{ClassifierKind, LearntPolicies, PolicyReward, PolicyTable, TextClassifier};

/// The classifier of a `model` table, for labels of this prevalence; `width` is that of a frozen
/// encoder's features, if they are used.
pub(super) fn classifier_config(
    model: &TextClassifier,
    width: Option<usize>,
    prevalence: Vec<f64>,
) -> ClassifierConfig {
    let architecture = match model.kind {
        ClassifierKind::TfIdf | ClassifierKind::EmbeddingBag => Architecture::Bag,
        ClassifierKind::Cnn => Architecture::Convolution,
        ClassifierKind::Features => Architecture::Perceptron,
    };
    let TextClassifier { ids, dim, hidden, .. } = *model;
    ClassifierConfig { architecture, ids, dim: width.unwrap_or(dim), hidden, prevalence }
}

/// The meta-learner of a `policies` table.
pub(super) fn meta_config(table: &PolicyTable, labels: usize, steps: u64) -> MetaConfig {
    let (training, prediction) = match table.learn {
        LearntPolicies::Both => (true, true),
        LearntPolicies::Training => (true, false),
        LearntPolicies::Prediction => (false, true),
        LearntPolicies::None => (false, false),
    };
    let reward = match table.reward {
        PolicyReward::CounterfactualF1 => Reward::CounterfactualF1,
        PolicyReward::ProbabilityMargin => Reward::ProbabilityMargin,
        PolicyReward::ScalarF1 => Reward::ScalarF1,
    };
    MetaConfig {
        hidden: table.hidden,
        deviation: table.deviation,
        range: table.range,
        window: table.window,
        lr: table.lr,
        shrinkage: table.shrinkage,
        discount: table.discount,
        eta: table.eta,
        reward,
        policies: Policies { training, prediction },
        ..MetaConfig::new(labels, steps)
    }
}
