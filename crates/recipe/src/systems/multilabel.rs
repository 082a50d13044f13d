//! Learned policies for multi-label text (arXiv 1909.04176).

use serde::{Deserialize, Serialize};

use crate::data_need::DataNeed;
use crate::reading::{Violation, ensure, must_be};
use crate::system_settings::SystemSettings;
use crate::tables::{Documents, PolicyTable, TextClassifier, Train};

/// Settings of a recipe of system `multilabel`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Multilabel {
    /// The documents.
    pub data: Documents,
    /// The classifier.
    #[serde(default)]
    pub model: TextClassifier,
    /// The meta-learner and its policies.
    #[serde(default)]
    pub policies: PolicyTable,
    /// What is measured at the end.
    #[serde(default)]
    pub eval: LabelEval,
}

/// Measurements of the decisions on labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LabelEval {
    /// Measure baselines, and train a classifier with inverse-frequency weights.
    pub baselines: bool,
    /// Add the parents of predicted labels (`a` of `a/b`) before measuring.
    pub closure: bool,
    /// Number of test documents shown in the report.
    pub documents: usize,
}

impl Default for LabelEval {
    fn default() -> Self {
        Self { baselines: true, closure: false, documents: 10 }
    }
}

impl SystemSettings for Multilabel {
    const NAME: &'static str = "multilabel";

    fn check(&self, train: &Train) -> Result<(), Violation> {
        self.data.check()?;
        self.model.check()?;
        self.policies.check()?;
        let accumulate = train.accumulate;
        must_be(
            accumulate == 1,
            "train.accumulate",
            accumulate,
            "1, because a step has one action",
        )?;
        let (limit, batch) = (self.data.limit.unwrap_or(usize::MAX), train.batch_size);
        ensure(limit >= batch, &["data.limit", "train.batch_size"], || {
            format!(
                "data.limit {limit} is less than one step of train.batch_size {batch} documents"
            )
        })?;
        let shown = self.eval.documents;
        must_be(shown <= 1000, "eval.documents", shown, "at most 1000")
    }

    fn data(&self) -> Vec<DataNeed> {
        [self.data.need()].into_iter().chain(self.model.need()).collect()
    }
}
