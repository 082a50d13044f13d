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
use bauta_libtorch::{normal, on_one_thread, uniform};
use bauta_multilabel::{Noise, Words, keep_units};
use bauta_recipe::{ClassifierKind, Documents, Multilabel as Settings, Tree};
use bauta_streams::{Purpose, RandomStream, StreamKey};
use tch::{Device, Tensor};

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

/// Documents with their labels.
pub(super) struct Labelled {
    pub(super) words: Words,
    /// 0 or 1, f32 of [B, N].
    pub(super) truth: Tensor,
}

/// The host's part of a step.
pub struct Step {
    pub(super) train: Labelled,
    /// What dropout keeps of the hidden layer, [B, width].
    pub(super) keep: Tensor,
    pub(super) noise: Noise,
    /// Held-out documents, where policies are learnt.
    pub(super) reward: Option<Labelled>,
}

impl Labelled {
    fn to_device(&self, device: Device) -> Self {
        Self { words: self.words.to_device(device), truth: self.truth.to_device(device) }
    }
}

impl Step {
    /// The same on a device.
    pub(super) fn to_device(&self, device: Device) -> Self {
        Self {
            train: self.train.to_device(device),
            keep: self.keep.to_device(device),
            noise: Noise {
                weights: self.noise.weights.to_device(device),
                thresholds: self.noise.thresholds.to_device(device),
            },
            reward: self.reward.as_ref().map(|reward| reward.to_device(device)),
        }
    }
}

/// A document as ids of words, with weights where it is a bag.
struct Encoded {
    ids: Vec<i64>,
    weights: Vec<f32>,
    labels: Vec<u32>,
}

/// Makes inputs; everything in it is a function of the run's seed and the step.
struct Maker {
    train: Vec<Encoded>,
    meta: Vec<Encoded>,
    test: Vec<Encoded>,
    labels: usize,
    is_bag: bool,
    seed: u64,
    batch: usize,
    reward_batch: usize,
    epochs: u64,
    dropout: f64,
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
        let (left_out, batch) = (&corpus.left_out, run.train.batch_size);
        tracing::info!(
            "{} training, {} meta and {} test documents with {} labels; left out: {} without text, \
             {} without labels, {} in both parts, {} rare labels",
            corpus.train.len(),
            corpus.meta.len(),
            corpus.test.len(),
            corpus.labels.len(),
            left_out.without_text,
            left_out.without_label,
            left_out.duplicates,
            left_out.rare_labels.len(),
        );
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

impl Maker {
    fn stream(&self, purpose: &str, epoch: u64, sample: u64) -> RandomStream {
        let purpose = Purpose::named(purpose);
        StreamKey { seed: self.seed, purpose, epoch, sample }.stream()
    }

    /// The input of a step of an episode.
    fn step(&self, step: u64, episode: u64, width: i64, learns: bool) -> Step {
        let per_epoch = (self.train.len() / self.batch) as u64;
        // A later episode goes on with the epochs of the one before.
        let (epoch, place) = (episode * self.epochs + step / per_epoch, step % per_epoch);
        let mut order: Vec<usize> = (0..self.train.len()).collect();
        self.stream("document order", epoch, 0).shuffle(&mut order);
        let chosen = &order[place as usize * self.batch..][..self.batch];
        let train: Vec<&Encoded> = chosen.iter().map(|&document| &self.train[document]).collect();
        let sides = [self.batch as i64, width];
        let drawn = uniform(&sides, 0.0, 1.0, &mut self.stream("dropout", episode, step));
        let mut noise = self.stream("policy noise", episode, step);
        let labels = [self.labels as i64];
        Step {
            train: self.labelled(&train),
            keep: keep_units(&drawn, self.dropout),
            noise: Noise {
                weights: normal(&labels, 1.0, &mut noise),
                thresholds: normal(&labels, 1.0, &mut noise),
            },
            reward: learns.then(|| {
                let mut order: Vec<usize> = (0..self.meta.len()).collect();
                self.stream("reward documents", episode, step).shuffle(&mut order);
                let chosen = order.iter().take(self.reward_batch);
                self.labelled(&chosen.map(|&document| &self.meta[document]).collect::<Vec<_>>())
            }),
        }
    }

    fn labelled(&self, documents: &[&Encoded]) -> Labelled {
        let mut truth = vec![0.0_f32; documents.len() * self.labels];
        for (row, document) in documents.iter().enumerate() {
            document
                .labels
                .iter()
                .for_each(|&label| truth[row * self.labels + label as usize] = 1.0);
        }
        let count = documents.len() as i64;
        let ids: Vec<i64> = documents.iter().flat_map(|document| document.ids.clone()).collect();
        let words = if self.is_bag {
            let begins = documents.iter().scan(0, |end, document| {
                let begin = *end;
                *end += document.ids.len() as i64;
                Some(begin)
            });
            let weights: Vec<f32> =
                documents.iter().flat_map(|document| document.weights.clone()).collect();
            Words::Bag {
                ids: Tensor::from_slice(&ids),
                offsets: Tensor::from_slice(&begins.collect::<Vec<_>>()),
                weights: Tensor::from_slice(&weights),
            }
        } else {
            Words::Sequence(Tensor::from_slice(&ids).view([count, -1]))
        };
        Labelled { words, truth: Tensor::from_slice(&truth).view([count, self.labels as i64]) }
    }
}
