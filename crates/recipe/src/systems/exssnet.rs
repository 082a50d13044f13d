//! ExSSNeT: a mask a task over shared weights, of which each task trains its own
//! (arXiv 2210.10209).

mod tables;

use bauta_data::DatasetName;
use serde::{Deserialize, Serialize};

pub use self::tables::{
    Continual, ContinualMethod, Network, Supermask, TaskEval, TaskNetwork, TaskOrigin, Tasks,
    Transfer, WeightStart,
};
use crate::data_need::DataNeed;
use crate::reading::{Violation, ensure};
use crate::system_settings::SystemSettings;
use crate::tables::{Data, Train};

/// What a recipe of system `exssnet` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExSsNet {
    /// The images.
    pub data: Data,
    /// The tasks that are made of them.
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

    fn check_stream(&self, train: &Train) -> Result<(), Violation> {
        let (name, origin) = (self.data.name, self.tasks.origin);
        let own = origin == TaskOrigin::Folders;
        ensure(own == (name == DatasetName::Folder), &["tasks.origin", "data.name"], || {
            format!(
                "tasks.origin \"{origin}\" does not go with data.name \"{name}\"; \
                 origin \"folders\" takes name \"folder\" and data.root, a folder a task"
            )
        })?;
        let several = origin == TaskOrigin::DataSets;
        ensure(several != self.tasks.then.is_empty(), &["tasks.then", "tasks.origin"], || {
            format!(
                "tasks.then {} with tasks.origin \"{origin}\"; origin \"data-sets\", and no \
                 other, needs the data sets after data.name",
                if self.tasks.then.is_empty() { "is missing" } else { "is given" }
            )
        })?;
        ensure(!several || self.data.root.is_none(), &["data.root", "tasks.origin"], || {
            "data.root is one folder; tasks.origin \"data-sets\" reads each from the cache"
                .to_owned()
        })?;
        ensure(train.accumulate == 1, &["train.accumulate"], || {
            format!("train.accumulate is {}; it must be 1 here", train.accumulate)
        })
    }
}

impl SystemSettings for ExSsNet {
    const NAME: &'static str = "exssnet";

    fn check(&self, train: &Train) -> Result<(), Violation> {
        self.data.check(train)?;
        self.tasks.check()?;
        self.check_stream(train)?;
        self.model.check()?;
        self.mask.check()?;
        self.learning.check(train)?;
        self.eval.check()
    }

    fn data(&self) -> Vec<DataNeed> {
        let then = self.tasks.then.iter();
        let then = then.map(|&name| DataNeed { name: name.into(), package: name.package() });
        [self.data.need()].into_iter().chain(then).collect()
    }
}
