//! The documents of a run as numbers, and the inputs of its steps.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bauta_backbones::Parameters;
use bauta_data::text::{
    Corpus, CorpusName, Document, LabelTree, TreeOptions, Vectorizer, open_corpus,
};
use bauta_data::{Inputs, Prefetcher, Prepared, cache_root, locate};
use bauta_eval::EVALUATION_BATCH;
use bauta_libtorch::on_one_thread;
use bauta_multilabel::Words;
use bauta_recipe::{ClassifierKind, Documents, Multilabel as Settings, Tree};
use tch::Device;

use super::inputs::{Encoded, Maker, Step};
use crate::run::Run;

/// Inputs made ahead of the step.
const QUEUE: usize = 8;

/// A corpus and its documents as a classifier reads them.
pub(super) struct Texts {
    pub(super) corpus: Corpus,
    /// Of the corpus that is made.
    pub(super) tree: Option<LabelTree>,
    maker: Arc<Maker>,
    prefetcher: Prefetcher,
    device: Device,
}

/// A part of the corpus that is measured on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Meta,
    Test,
}

impl Texts {
    /// Opens a recipe's documents and reads them as its classifier does.
    pub(super) fn open(settings: &Settings, run: &Run<'_>) -> Result<Self> {
        let (tree, corpus) = open(&settings.data)?;
        let batch = run.train.batch_size;
        ensure!(
            corpus.train.len() >= batch,
            "{} training documents fill no step of train.batch_size {batch}; take smaller batches",
            corpus.train.len()
        );
        let model = &settings.model;
        let texts: Vec<&str> = corpus.train.iter().map(|document| &*document.text).collect();
        let vectorizer = Vectorizer::fit(&texts, model.ids)?;
        let encode = |documents: &[Document]| -> Vec<Encoded> {
            let texts: Vec<&str> = documents.iter().map(|document| &*document.text).collect();
            let labels = documents.iter().map(|document| document.labels.clone());
            if model.kind == ClassifierKind::Cnn {
                let ids = |text: &&str| vectorizer.sequence(text, model.words.max(1));
                let sequences = texts.iter().map(ids);
                return sequences
                    .zip(labels)
                    .map(|(ids, labels)| encoded(&ids, vec![], labels))
                    .collect();
            }
            let bags = vectorizer.bags(&texts).into_iter().zip(labels);
            bags.map(|(bag, labels)| {
                let tf_idf = model.kind == ClassifierKind::TfIdf;
                encoded(&bag.ids, if tf_idf { bag.tf_idf } else { bag.shares }, labels)
            })
            .collect()
        };
        let maker = Maker {
            train: encode(&corpus.train),
            meta: encode(&corpus.meta),
            test: encode(&corpus.test),
            labels: corpus.labels.len(),
            is_bag: model.kind != ClassifierKind::Cnn,
            seed: run.seed,
            batch,
            reward_batch: settings.policies.batch_size,
            epochs: u64::from(run.train.epochs),
            dropout: model.dropout,
        };
        let prefetcher = Prefetcher::new(run.threads, QUEUE)?;
        let (maker, device) = (Arc::new(maker), run.device);
        Ok(Self { corpus, tree, maker, prefetcher, device })
    }

    /// Fresh parameters of an episode's classifier.
    pub(super) fn parameters(&self, episode: u32) -> Parameters {
        Parameters::drawn(self.maker.seed, u64::from(episode), self.device)
    }

    /// What is trained on and what was left out, in a line.
    pub(super) fn in_words(&self) -> String {
        let Corpus { train, meta, test, labels, left_out } = &self.corpus;
        format!(
            "{} training, {} meta and {} test documents with {} labels; left out: {} without text, \
             {} without labels, {} in both parts, {} rare labels",
            train.len(),
            meta.len(),
            test.len(),
            labels.len(),
            left_out.without_text,
            left_out.without_label,
            left_out.duplicates,
            left_out.rare_labels.len(),
        )
    }

    /// Whole batches in a pass over the training documents.
    pub(super) fn steps_per_epoch(&self) -> u64 {
        (self.maker.train.len() / self.maker.batch) as u64
    }

    /// The inputs of an episode's steps, for a hidden layer of this width.
    pub(super) fn inputs(
        &self,
        width: i64,
        episode: u32,
        learns: bool,
    ) -> Result<impl FnMut(Range<u64>) -> Inputs<Step> + use<>> {
        let (prefetcher, maker) = (self.prefetcher.clone(), Arc::clone(&self.maker));
        Ok(move |steps: Range<u64>| {
            let maker = Arc::clone(&maker);
            let make =
                on_one_thread(move |step| maker.step(step, u64::from(episode), width, learns));
            prefetcher.inputs(steps, move |step, _| Ok(Prepared::whole(make(step))))
        })
    }

    /// A part in batches of words, and its truth, document by document.
    pub(super) fn part(&self, part: Part) -> (Vec<Words>, Vec<&[u32]>) {
        let documents = match part {
            Part::Meta => &self.maker.meta,
            Part::Test => &self.maker.test,
        };
        let batches = documents.chunks(EVALUATION_BATCH).map(|chunk| {
            let documents = self.maker.labelled(&chunk.iter().collect::<Vec<_>>());
            documents.words.to_device(self.device)
        });
        (batches.collect(), documents.iter().map(|document| &*document.labels).collect())
    }
}

fn encoded(ids: &[u32], weights: Vec<f32>, labels: Vec<u32>) -> Encoded {
    Encoded { ids: ids.iter().map(|&id| i64::from(id)).collect(), weights, labels }
}

fn open(data: &Documents) -> Result<(Option<LabelTree>, Corpus)> {
    let options = data.options();
    if data.name == CorpusName::Tree {
        let Tree { labels, branching, documents } = data.tree;
        let tree = LabelTree::new(TreeOptions { labels, branching, documents, seed: 0 })?;
        let corpus = Corpus::build(tree.documents(), &options)?;
        return Ok((Some(tree), corpus));
    }
    let root = match &data.root {
        Some(root) => root.clone(),
        None => {
            let name = data.name;
            let package = name.package().with_context(|| format!("{name} needs data.root"))?;
            locate(package, &cache_root()?).with_context(|| {
                format!("{name} is not in the data cache; run `cargo xtask data fetch {name}`")
            })?
        }
    };
    Ok((None, open_corpus(&root, &options)?))
}
