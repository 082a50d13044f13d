//! The `data` table of systems that learn from labelled documents.

use std::path::PathBuf;

use bauta_datasets::text::{CorpusName, CorpusOptions, TreeOptions};
use serde::{Deserialize, Serialize};

use crate::data_need::DataNeed;
use crate::reading::{Violation, at_least_one, ensure, must_be, proper_fraction};

/// The documents to learn from and to test on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Documents {
    /// The corpus.
    pub name: CorpusName,
    /// The folder of the data set; if not given, the data set is fetched to the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Train on only the first this many documents of the training part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The fraction held out for testing if your documents have no test part, in (0, 1).
    #[serde(default = "defaults::holdout")]
    pub holdout: f64,
    /// The fraction of the training documents on which policies are rewarded and thresholds tuned,
    /// in (0, 1); none of them is trained on.
    #[serde(default = "defaults::meta")]
    pub meta: f64,
    /// Minimum number of training documents of a label that is learnt.
    #[serde(default = "defaults::one")]
    pub min_train: usize,
    /// Minimum number of test documents of a label that is learnt.
    #[serde(default = "defaults::one")]
    pub min_test: usize,
    /// Keep documents without labels, as negatives of all labels.
    #[serde(default)]
    pub keep_unlabelled: bool,
    /// Size of the tree from which corpus `tree` is generated.
    #[serde(default)]
    pub tree: Tree,
}

/// Size of a generated tree of labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tree {
    /// Number of labels.
    pub labels: usize,
    /// Children per label.
    pub branching: usize,
    /// Documents, the last fifth of them to test on.
    pub documents: usize,
}

impl Default for Tree {
    fn default() -> Self {
        let TreeOptions { labels, branching, documents, .. } = TreeOptions::default();
        Self { labels, branching, documents }
    }
}

mod defaults {
    pub(super) fn holdout() -> f64 {
        0.2
    }
    pub(super) fn meta() -> f64 {
        0.1
    }
    pub(super) fn one() -> usize {
        1
    }
}

impl Documents {
    /// How the documents become a corpus.
    pub fn options(&self) -> CorpusOptions {
        CorpusOptions {
            min_train: self.min_train,
            min_test: self.min_test,
            holdout: self.holdout,
            meta: self.meta,
            limit: self.limit,
            keep_unlabelled: self.keep_unlabelled || self.name == CorpusName::Tree,
        }
    }

    /// The data to fetch: the corpus, unless it is generated or lies in a folder of the user's.
    pub fn need(&self) -> DataNeed {
        let package = if self.root.is_none() { self.name.package() } else { None };
        DataNeed { name: self.name.into(), package }
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for fractions outside (0, 1), counts of 0, or a corpus without a folder.
    pub fn check(&self) -> Result<(), Violation> {
        for (key, value) in [("data.holdout", self.holdout), ("data.meta", self.meta)] {
            proper_fraction(key, value)?;
        }
        if let Some(limit) = self.limit {
            at_least_one("data.limit", limit)?;
        }
        let Tree { labels, branching, documents } = self.tree;
        let range = |least, value, most| (least..=most).contains(&value);
        must_be(range(2, labels, 1000), "data.tree.labels", labels, "in 2..=1000")?;
        must_be(range(1, branching, 1000), "data.tree.branching", branching, "in 1..=1000")?;
        let most = 10_000_000;
        must_be(range(10, documents, most), "data.tree.documents", documents, "in 10..=10000000")?;
        let made = self.name == CorpusName::Tree;
        ensure(
            made || self.root.is_some() || self.name.package().is_some(),
            &["data.root", "data.name"],
            || {
                format!(
                    "data.root is missing: data.name \"{}\" reads your own documents; give their \
                     folder with --set data.root=DIR",
                    self.name
                )
            },
        )?;
        ensure(!made || self.root.is_none(), &["data.root"], || {
            "data.root is given, but data.name \"tree\" needs no folder; set data.name=documents"
                .to_owned()
        })
    }
}
