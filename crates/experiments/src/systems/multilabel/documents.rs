//! The documents of a run as numbers, and the inputs of its steps.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bauta_backbones::Parameters;
use bauta_data::text::{
    Bag, Corpus, CorpusName, Document, LabelTree, TreeOptions, Vectorizer, bert_vocabulary,
    open_corpus,
};
use bauta_data::{Inputs, Prefetcher, Prepared, cache_root, fetched};
use bauta_eval::{EVALUATION_BATCH, TextEncoder, TextFeatures};
use bauta_libtorch::on_one_thread;
use bauta_multilabel::Words;
use bauta_recipe::{ClassifierKind, Documents, Multilabel as Settings, TextClassifier, Tree};
use tch::Device;

use super::inputs::{Encoded, Maker, Reading, Step};
use crate::run::Run;

/// Number of inputs prepared ahead of the step.
const QUEUE: usize = 8;

/// A corpus and its documents as a classifier reads them.
pub(super) struct Texts {
    pub(super) corpus: Corpus,
    /// The tree of labels of a generated corpus.
    pub(super) tree: Option<LabelTree>,
    /// Width of a frozen encoder's features, if they are used.
    pub(super) width: Option<usize>,
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
        let (batch, share) = (run.train.batch_size, run.share());
        share.check(batch)?;
        let (tree, corpus) = open(&settings.data)?;
        ensure!(
            corpus.train.len() >= batch,
            "there are {} training documents, fewer than train.batch_size {batch}; lower it",
            corpus.train.len()
        );
        let model = &settings.model;
        let (reading, parts, width) = match model.kind {
            ClassifierKind::Features => {
                let (parts, width) = features(&corpus, model, run)?;
                (Reading::Features, parts, Some(width))
            }
            ClassifierKind::Cnn => (Reading::Sequence, words(&corpus, model)?, None),
            ClassifierKind::TfIdf | ClassifierKind::EmbeddingBag => {
                (Reading::Bag, words(&corpus, model)?, None)
            }
        };
        let [train, meta, test] = parts;
        let maker = Maker {
            train,
            meta,
            test,
            labels: corpus.labels.len(),
            reading,
            seed: run.seed,
            batch,
            share,
            reward_batch: settings.policies.batch_size,
            epochs: u64::from(run.train.epochs),
            dropout: model.dropout,
        };
        let prefetcher = Prefetcher::new(run.threads, QUEUE)?;
        let (maker, device) = (Arc::new(maker), run.device);
        Ok(Self { corpus, tree, width, maker, prefetcher, device })
    }

    /// New parameters of an episode's classifier.
    pub(super) fn parameters(&self, episode: u32) -> Parameters {
        Parameters::drawn(self.maker.seed, u64::from(episode), self.device)
    }

    /// The training data and what was left out, in one line.
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

/// The documents of each part, in the order of `Maker`'s.
type Parts = [Vec<Encoded>; 3];

fn of_parts(corpus: &Corpus) -> [&[Document]; 3] {
    [&corpus.train, &corpus.meta, &corpus.test]
}

/// Documents as hashed words.
fn words(corpus: &Corpus, model: &TextClassifier) -> Result<Parts> {
    let vectorizer = Vectorizer::fit(&texts_of(&corpus.train), model.ids)?;
    let numbers = |ids: &[u32]| ids.iter().map(|&id| i64::from(id)).collect();
    Ok(of_parts(corpus).map(|documents| {
        let (texts, labels) = (texts_of(documents), documents.iter().map(|d| d.labels.clone()));
        if model.kind == ClassifierKind::Cnn {
            let ids = texts.iter().map(|text| vectorizer.sequence(text, model.words.max(1)));
            let document = |(ids, labels): (Vec<u32>, _)| Encoded {
                ids: numbers(&ids),
                weights: Vec::new(),
                labels,
            };
            return ids.zip(labels).map(document).collect();
        }
        let tf_idf = model.kind == ClassifierKind::TfIdf;
        let document = |(bag, labels): (Bag, _)| Encoded {
            ids: numbers(&bag.ids),
            weights: if tf_idf { bag.tf_idf } else { bag.shares },
            labels,
        };
        vectorizer.bags(&texts).into_iter().zip(labels).map(document).collect()
    }))
}

/// Documents as a frozen encoder's features, and their width.
fn features(corpus: &Corpus, model: &TextClassifier, run: &Run<'_>) -> Result<(Parts, usize)> {
    let folder = match &model.encoder {
        Some(folder) => folder.clone(),
        None => fetched(bert_vocabulary(), &cache_root()?)?,
    };
    let keep = cache_root()?.join("features");
    let encoder = TextEncoder::open(&folder, run.device)?;
    let part = |documents: &[Document]| -> Result<Vec<Encoded>> {
        tracing::info!("features of {} documents", documents.len());
        let texts = texts_of(documents);
        let rows = encoder.kept(TextFeatures::Mean, &texts, model.words, &keep, run.stop)?;
        let rows = (0..documents.len() as i64).map(|row| Vec::<f32>::try_from(&rows.get(row)));
        let document = |(weights, document): (Result<_, _>, &Document)| {
            Ok(Encoded { ids: Vec::new(), weights: weights?, labels: document.labels.clone() })
        };
        rows.zip(documents).map(document).collect()
    };
    let [train, meta, test] = of_parts(corpus).map(part);
    Ok(([train?, meta?, test?], encoder.width()))
}

fn texts_of(documents: &[Document]) -> Vec<&str> {
    documents.iter().map(|document| &*document.text).collect()
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
            fetched(package, &cache_root()?)?
        }
    };
    Ok((None, open_corpus(&root, &options)?))
}
