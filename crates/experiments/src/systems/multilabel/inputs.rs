//! The inputs of a run's steps, built from documents on the loader's threads.

use bauta_data::Share;
use bauta_libtorch::{normal, uniform};
use bauta_multilabel::{Noise, Words, keep_units};
use bauta_streams::{Purpose, RandomStream, StreamKey};
use tch::{Device, Tensor};

/// Documents with their labels.
pub(super) struct Labelled {
    pub(super) words: Words,
    /// 0 or 1, f32 of [B, N].
    pub(super) truth: Tensor,
}

/// The inputs of a step, on the host.
pub struct Step {
    pub(super) train: Labelled,
    /// The dropout mask of the hidden layer, [B, width].
    pub(super) keep: Tensor,
    pub(super) noise: Noise,
    /// Held-out documents, if policies are learnt.
    pub(super) reward: Option<Labelled>,
}

impl Labelled {
    fn to_device(&self, device: Device) -> Self {
        Self { words: self.words.to_device(device), truth: self.truth.to_device(device) }
    }
}

impl Step {
    /// The same documents on a device.
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

/// A document as ids of words, with weights if it is a bag; or as features, in `weights`.
pub(super) struct Encoded {
    pub(super) ids: Vec<i64>,
    pub(super) weights: Vec<f32>,
    pub(super) labels: Vec<u32>,
}

/// The form in which the classifier reads a document.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Bag,
    Sequence,
    Features,
}

/// Builds inputs; everything in it is a function of the run's seed and the step.
pub(super) struct Maker {
    pub(super) train: Vec<Encoded>,
    pub(super) meta: Vec<Encoded>,
    pub(super) test: Vec<Encoded>,
    pub(super) labels: usize,
    pub(super) reading: Reading,
    pub(super) seed: u64,
    pub(super) batch: usize,
    /// The part of each batch that this process computes.
    pub(super) share: Share,
    pub(super) reward_batch: usize,
    pub(super) epochs: u64,
    pub(super) dropout: f64,
}

impl Maker {
    fn stream(&self, purpose: &str, epoch: u64, sample: u64) -> RandomStream {
        let purpose = Purpose::named(purpose);
        StreamKey { seed: self.seed, purpose, epoch, sample }.stream()
    }

    /// The input of a step of an episode: this process's documents, and the noise and the reward's
    /// documents, which are the same for all processes.
    pub(super) fn step(&self, step: u64, episode: u64, width: i64, learns: bool) -> Step {
        let per_epoch = (self.train.len() / self.batch) as u64;
        // A later episode continues the epochs of the previous one.
        let (epoch, place) = (episode * self.epochs + step / per_epoch, step % per_epoch);
        let mut order: Vec<usize> = (0..self.train.len()).collect();
        self.stream("document order", epoch, 0).shuffle(&mut order);
        let chosen = self.share.part(&order[place as usize * self.batch..][..self.batch]);
        let train: Vec<&Encoded> = chosen.iter().map(|&document| &self.train[document]).collect();
        let sides = [self.batch as i64, width];
        let drawn = uniform(&sides, 0.0, 1.0, &mut self.stream("dropout", episode, step));
        let own = chosen.len() as i64;
        let drawn = drawn.narrow(0, self.share.rank as i64 * own, own);
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

    pub(super) fn labelled(&self, documents: &[&Encoded]) -> Labelled {
        let mut truth = vec![0.0_f32; documents.len() * self.labels];
        for (row, document) in documents.iter().enumerate() {
            document
                .labels
                .iter()
                .for_each(|&label| truth[row * self.labels + label as usize] = 1.0);
        }
        let count = documents.len() as i64;
        let ids = || -> Tensor {
            let ids = documents.iter().flat_map(|document| &document.ids).copied();
            Tensor::from_slice(&ids.collect::<Vec<i64>>())
        };
        let weights = || -> Tensor {
            let weights = documents.iter().flat_map(|document| &document.weights).copied();
            Tensor::from_slice(&weights.collect::<Vec<f32>>())
        };
        let words = match self.reading {
            Reading::Bag => {
                let begins = documents.iter().scan(0, |end, document| {
                    let begin = *end;
                    *end += document.ids.len() as i64;
                    Some(begin)
                });
                let offsets = Tensor::from_slice(&begins.collect::<Vec<i64>>());
                Words::Bag { ids: ids(), offsets, weights: weights() }
            }
            Reading::Sequence => Words::Sequence(ids().view([count, -1])),
            Reading::Features => Words::Features(weights().view([count, -1])),
        };
        Labelled { words, truth: Tensor::from_slice(&truth).view([count, self.labels as i64]) }
    }
}
