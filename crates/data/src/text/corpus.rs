//! A corpus: documents in three parts, and the labels that are learnt.

use std::collections::{BTreeMap, HashMap, HashSet};

use bauta_datasets::text::CorpusOptions;
use bauta_datasets::{DataError, Split};

use super::document::{Document, RawDocument};
use crate::source::holdout::place;

/// Counts of what was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Documents without text.
    pub without_text: usize,
    /// Documents without a label, or without one that is learnt.
    pub without_label: usize,
    /// Training documents with the same text as a test document, ignoring letter case and spaces.
    pub duplicates: usize,
    /// Labels that occur too rarely in one of the parts, in the order of their names.
    pub rare_labels: Vec<String>,
}

/// Documents to train on, to learn policies and tune thresholds on, and to test on.
#[derive(Clone, Debug, PartialEq)]
pub struct Corpus {
    /// Names of the labels, the most frequent in training first.
    pub labels: Vec<String>,
    /// The training part.
    pub train: Vec<Document>,
    /// Held out of the training documents, by the hash of their groups.
    pub meta: Vec<Document>,
    /// The test part; none of its texts is in the other parts.
    pub test: Vec<Document>,
    /// Counts of what was left out.
    pub left_out: LeftOut,
}

impl Corpus {
    /// Builds a corpus from documents.
    ///
    /// Which documents are held out depends only on their groups (or texts): it is the same in
    /// every run, and stays so when others come or go.
    ///
    /// # Errors
    /// [`DataError::Setting`] for fractions outside (0, 1), and [`DataError::Input`] when no label
    /// is left, every document has every label, or a part is empty.
    pub fn build(raw: Vec<RawDocument>, options: &CorpusOptions) -> Result<Self, DataError> {
        for (key, value) in [("holdout", options.holdout), ("meta", options.meta)] {
            if !(value > 0.0 && value < 1.0) {
                return Err(DataError::setting(key, value, "must be in (0, 1)"));
            }
        }
        let mut left_out = LeftOut::default();
        let mut raw = raw;
        let read = raw.len();
        raw.retain(|document| !document.text.trim().is_empty());
        left_out.without_text = read - raw.len();
        if !options.keep_unlabelled {
            let read = raw.len();
            raw.retain(|document| !document.labels.is_empty());
            left_out.without_label = read - raw.len();
        }

        let parted = raw.iter().any(|document| document.part.is_some());
        let is_test = |document: &RawDocument| match document.part {
            Some(part) => part == Split::Test,
            None => !parted && place(&key("test", document)) < options.holdout,
        };
        let (mut test, mut train): (Vec<_>, Vec<_>) = raw.into_iter().partition(is_test);
        let known: HashSet<String> = test.iter().map(|document| folded(&document.text)).collect();
        let read = train.len();
        train.retain(|document| !known.contains(&folded(&document.text)));
        left_out.duplicates = read - train.len();
        train.truncate(options.limit.unwrap_or(usize::MAX));

        let labels = frequent(&train, &test, options, &mut left_out);
        let numbers: HashMap<&str, u32> =
            labels.iter().zip(0..).map(|(label, number)| (label.as_str(), number)).collect();
        let mut numbered = |documents: &mut Vec<RawDocument>| -> Vec<(Document, bool)> {
            let documents = documents.drain(..).filter_map(|document| {
                let is_meta = place(&key("meta", &document)) < options.meta;
                let mut labels: Vec<u32> = document
                    .labels
                    .iter()
                    .filter_map(|label| numbers.get(label.as_str()).copied())
                    .collect();
                labels.sort_unstable();
                labels.dedup();
                if labels.is_empty() && !options.keep_unlabelled {
                    left_out.without_label += 1;
                    return None;
                }
                Some((Document { text: document.text, labels }, is_meta))
            });
            documents.collect()
        };
        let (meta, train): (Vec<_>, Vec<_>) =
            numbered(&mut train).into_iter().partition(|(_, is_meta)| *is_meta);
        let test = numbered(&mut test);
        let bare = |documents: Vec<(Document, bool)>| -> Vec<Document> {
            documents.into_iter().map(|(document, _)| document).collect()
        };
        let corpus =
            Self { labels, train: bare(train), meta: bare(meta), test: bare(test), left_out };
        corpus.check(options)?;
        Ok(corpus)
    }

    /// The fraction of the training documents, without the meta part, that have each label.
    pub fn prevalence(&self) -> Vec<f64> {
        let mut counts = vec![0.0; self.labels.len()];
        for &label in self.train.iter().flat_map(|document| &document.labels) {
            counts[label as usize] += 1.0;
        }
        counts.iter().map(|count| count / self.train.len() as f64).collect()
    }

    fn check(&self, options: &CorpusOptions) -> Result<(), DataError> {
        let refuse = |problem: String| Err(DataError::Input(problem.into()));
        if self.labels.is_empty() {
            let CorpusOptions { min_train, min_test, .. } = options;
            return refuse(format!(
                "no label has {min_train} training and {min_test} test documents; give more \
                 documents, or require fewer per label"
            ));
        }
        let parts = [("training", &self.train), ("meta", &self.meta), ("test", &self.test)];
        for (name, documents) in parts {
            if documents.is_empty() {
                return refuse(format!(
                    "no document is left in the {name} part; give more documents or another \
                     fraction of them"
                ));
            }
        }
        let same = parts.iter().all(|(_, documents)| {
            documents.iter().all(|document| document.labels.len() == self.labels.len())
        });
        if same {
            return refuse(format!(
                "every document has every label ({}), so there is nothing to learn; add documents \
                 without it and keep them (keep_unlabelled), or add labels",
                self.labels.join(", ")
            ));
        }
        Ok(())
    }
}

/// The labels that occur often enough in both parts; the others are recorded as left out.
fn frequent(
    train: &[RawDocument],
    test: &[RawDocument],
    options: &CorpusOptions,
    left_out: &mut LeftOut,
) -> Vec<String> {
    let mut counts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for (side, documents) in [train, test].into_iter().enumerate() {
        for document in documents {
            let mut names: Vec<&str> = document.labels.iter().map(String::as_str).collect();
            names.sort_unstable();
            names.dedup();
            names.into_iter().for_each(|name| counts.entry(name).or_default()[side] += 1);
        }
    }
    let wanted = [options.min_train.max(1), options.min_test.max(1)];
    let (mut kept, rare): (Vec<_>, Vec<_>) =
        counts.into_iter().partition(|(_, found)| found[0] >= wanted[0] && found[1] >= wanted[1]);
    left_out.rare_labels = rare.into_iter().map(|(name, _)| name.to_owned()).collect();
    // Equally frequent labels stay in the order of their names: the sort is stable.
    kept.sort_by_key(|(_, found)| std::cmp::Reverse(found[0]));
    kept.into_iter().map(|(name, _)| name.to_owned()).collect()
}

/// A text without letter case and spacing, in which two copies of it can differ.
pub(super) fn folded(text: &str) -> String {
    text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

/// The key that decides about a document, for one purpose.
pub(super) fn key(purpose: &str, document: &RawDocument) -> Vec<u8> {
    let own = || folded(&document.text);
    format!("{purpose}\n{}", document.group.clone().unwrap_or_else(own)).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: String, labels: &[&str], part: Option<Split>) -> RawDocument {
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        RawDocument { text, labels, part, group: None }
    }

    fn many(count: usize, what: &str, labels: &[&str], part: Option<Split>) -> Vec<RawDocument> {
        (0..count).map(|i| document(format!("{what} number {i} {part:?}"), labels, part)).collect()
    }

    #[test]
    fn what_misleads_is_counted_and_removed() {
        let (train, test) = (Some(Split::Train), Some(Split::Test));
        let mut raw = many(200, "wheat", &["grain", "wheat"], train);
        raw.extend(many(100, "oil", &["crude"], train));
        raw.extend(many(50, "wheat", &["wheat", "grain", "grain"], test));
        raw.extend(many(20, "oil", &["crude", "never-trained"], test));
        raw.extend(many(3, "gold", &["gold"], train));
        raw.push(document("Wheat  NUMBER 3 some(test)".to_owned(), &["grain"], train));
        raw.push(document(" \n".to_owned(), &["grain"], train));
        raw.push(document("nothing".to_owned(), &[], train));
        let options = CorpusOptions { min_train: 10, min_test: 5, ..CorpusOptions::default() };
        let corpus = Corpus::build(raw, &options).unwrap();
        assert_eq!(corpus.labels, ["grain", "wheat", "crude"]);
        let wanted = LeftOut {
            without_text: 1,
            without_label: 1 + 3,
            duplicates: 1,
            rare_labels: vec!["gold".to_owned(), "never-trained".to_owned()],
        };
        assert_eq!(corpus.left_out, wanted);
        assert_eq!((corpus.train.len() + corpus.meta.len(), corpus.test.len()), (300, 70));
        assert!((10..60).contains(&corpus.meta.len()), "{}", corpus.meta.len());
        assert_eq!(corpus.test[0].labels, [0, 1]);
        let sum: f64 = corpus.prevalence().iter().sum();
        assert!((sum - 5.0 / 3.0).abs() < 0.1, "{sum}");
    }

    #[test]
    fn parts_follow_groups_and_never_overlap() {
        let mut raw = many(300, "a", &["x"], None);
        raw.extend(many(300, "b", &["y"], None));
        for (number, document) in raw.iter_mut().enumerate() {
            document.group = Some(format!("group {}", number % 60));
        }
        let group = |document: &Document| -> u32 {
            let number: u32 = document.text.split(' ').nth(2).unwrap().parse().unwrap();
            number % 60
        };
        let corpus = Corpus::build(raw, &CorpusOptions::default()).unwrap();
        let groups = |documents: &[Document]| documents.iter().map(group).collect::<HashSet<_>>();
        let [train, meta, test] =
            [&corpus.train, &corpus.meta, &corpus.test].map(|part| groups(part));
        assert!(train.is_disjoint(&test) && train.is_disjoint(&meta) && meta.is_disjoint(&test));
        assert_eq!(train.len() + meta.len() + test.len(), 60);
    }

    #[test]
    fn what_cannot_be_learnt_from_is_refused() {
        let build =
            |raw, options: &CorpusOptions| Corpus::build(raw, options).unwrap_err().to_string();
        let usual = CorpusOptions::default();
        let one = many(200, "a", &["only"], None);
        assert!(build(one.clone(), &usual).contains("every document has every label (only)"));
        assert!(build(Vec::new(), &usual).contains("no label has 1 training and 1 test"));
        let strict = CorpusOptions { min_train: 500, ..usual.clone() };
        assert!(build(one.clone(), &strict).contains("no label has 500 training"));
        let bad = CorpusOptions { meta: 1.0, ..usual.clone() };
        assert!(build(one.clone(), &bad).contains("meta = 1: must be in (0, 1)"));
        // With negatives, a single label can be learnt.
        let both = [one, many(100, "b", &[], None)].concat();
        let keeping = CorpusOptions { keep_unlabelled: true, ..usual };
        assert_eq!(Corpus::build(both, &keeping).unwrap().labels, ["only"]);
    }
}
