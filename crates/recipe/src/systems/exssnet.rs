//! ExSSNeT: one mask per task over shared weights, of which each task trains its own
//! (arXiv 2210.10209).

mod tables;
mod texts;

use bauta_datasets::DatasetName;
use serde::{Deserialize, Serialize};

pub use self::tables::{
    Continual, ContinualMethod, Network, Supermask, TaskEval, TaskNetwork, TaskOrigin, Tasks,
    Transfer, WeightStart,
};
pub use self::texts::TaskTexts;
use crate::data_need::DataNeed;
use crate::reading::{Violation, ensure};
use crate::system_settings::SystemSettings;
use crate::tables::{Data, Train};

/// Settings of a recipe of system `exssnet`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExSsNet {
    /// The images, unless `texts` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
    /// The documents, for text tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<TaskTexts>,
    /// The tasks.
    pub tasks: Tasks,
    /// The network that all tasks share.
    pub model: TaskNetwork,
    /// The masks.
    pub mask: Supermask,
    /// How tasks are learnt.
    pub learning: Continual,
    /// What is measured.
    #[serde(default)]
    pub eval: TaskEval,
}

impl ExSsNet {
    /// The methods of a run, baselines first, each once, the recipe's own last.
    pub fn methods(&self) -> Vec<ContinualMethod> {
        let own = self.learning.method;
        let baselines = self.eval.against.iter().copied().filter(|&method| method != own);
        baselines.chain([own]).collect()
    }

    /// Text tasks have documents and the network for them, image tasks have images.
    fn check_medium(&self) -> Result<(), Violation> {
        let (origin, network) = (self.tasks.origin, self.model.network);
        let of_texts = origin == TaskOrigin::Texts;
        let given = |is: bool| if is { "is given" } else { "is missing" };
        let texts = self.texts.is_some();
        ensure(of_texts == texts, &["texts", "tasks.origin"], || {
            format!(
                "texts {} with tasks.origin \"{origin}\"; origin \"texts\" requires this table, \
                 and other origins do not use it",
                given(texts)
            )
        })?;
        let data = self.data.is_some();
        ensure(of_texts != data, &["data", "tasks.origin"], || {
            format!(
                "data {} with tasks.origin \"{origin}\"; origin \"texts\" does not use this \
                 table, and all others require it",
                given(data)
            )
        })?;
        let fits = of_texts == (network == Network::TextCnn);
        ensure(fits, &["model.network", "tasks.origin"], || {
            format!(
                "model.network \"{network}\" does not go with tasks.origin \"{origin}\"; \
                 \"text-cnn\" reads texts, all others images"
            )
        })
    }

    fn check_stream(&self, data: &Data) -> Result<(), Violation> {
        let (name, origin) = (data.name, self.tasks.origin);
        let own = origin == TaskOrigin::Folders;
        ensure(own == (name == DatasetName::Folder), &["tasks.origin", "data.name"], || {
            format!(
                "tasks.origin \"{origin}\" does not go with data.name \"{name}\"; origin \
                 \"folders\" takes name \"folder\" and data.root, with one folder per task"
            )
        })?;
        let several = origin == TaskOrigin::DataSets;
        ensure(!several || data.root.is_none(), &["data.root", "tasks.origin"], || {
            "data.root is one folder; tasks.origin \"data-sets\" reads each from the cache"
                .to_owned()
        })
    }

    fn check_several(&self) -> Result<(), Violation> {
        let origin = self.tasks.origin;
        let several = origin == TaskOrigin::DataSets;
        ensure(several != self.tasks.then.is_empty(), &["tasks.then", "tasks.origin"], || {
            format!(
                "tasks.then {} with tasks.origin \"{origin}\"; origin \"data-sets\" requires the \
                 data sets after data.name, and other origins do not use them",
                if self.tasks.then.is_empty() { "is missing" } else { "is given" }
            )
        })
    }
}

impl SystemSettings for ExSsNet {
    const NAME: &'static str = "exssnet";

    fn check(&self, train: &Train) -> Result<(), Violation> {
        if let Some(data) = &self.data {
            data.check(train)?;
        }
        if let Some(texts) = &self.texts {
            texts.check()?;
        }
        self.tasks.check()?;
        self.check_medium()?;
        if let Some(data) = &self.data {
            self.check_stream(data)?;
        }
        self.check_several()?;
        ensure(train.accumulate == 1, &["train.accumulate"], || {
            format!("train.accumulate is {}; it must be 1 here", train.accumulate)
        })?;
        self.model.check()?;
        self.mask.check()?;
        self.learning.check(train)?;
        self.eval.check()
    }

    fn data(&self) -> Vec<DataNeed> {
        let then = self.tasks.then.iter();
        let then = then.map(|&name| DataNeed { name: name.into(), package: name.package() });
        let images = self.data.iter().map(Data::need);
        let texts = self.texts.iter().flat_map(TaskTexts::needs);
        images.chain(then).chain(texts).collect()
    }
}
