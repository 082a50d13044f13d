//! Which images a global step holds.

use std::ops::Range;

use bauta_streams::{Purpose, StreamKey};
use serde::{Deserialize, Serialize};

/// The order in which an epoch visits the images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// A permutation drawn anew for each epoch; the images that do not fill a
    /// batch are left out.
    #[default]
    Shuffled,
    /// By index, with a shorter last batch.
    Sequential,
}

impl Order {
    /// Number of batches in an epoch.
    pub(super) fn steps(self, samples: usize, batch_size: usize) -> u64 {
        let steps = match self {
            Self::Shuffled => samples / batch_size,
            Self::Sequential => samples.div_ceil(batch_size),
        };
        steps as u64
    }
}

/// Turns global steps into indices; keeps the permutation of one epoch.
pub(super) struct Itinerary {
    order: Order,
    samples: usize,
    batch_size: usize,
    seed: u64,
    permutation: Option<(u64, Vec<u64>)>,
}

impl Itinerary {
    pub(super) fn new(order: Order, samples: usize, batch_size: usize, seed: u64) -> Self {
        Self { order, samples, batch_size, seed, permutation: None }
    }

    /// The epoch of a global step, and the indices of its images.
    pub(super) fn visit(&mut self, step: u64) -> (u64, Vec<u64>) {
        let steps = self.order.steps(self.samples, self.batch_size);
        let (epoch, position) = (step / steps, (step % steps) as usize);
        let start = position * self.batch_size;
        let range = start..(start + self.batch_size).min(self.samples);
        let indices = match self.order {
            Order::Sequential => (range.start as u64..range.end as u64).collect(),
            Order::Shuffled => self.permuted(epoch, range),
        };
        (epoch, indices)
    }

    fn permuted(&mut self, epoch: u64, range: Range<usize>) -> Vec<u64> {
        match &self.permutation {
            Some((known, permutation)) if *known == epoch => permutation[range].to_vec(),
            _ => {
                let permutation = permutation(self.seed, epoch, self.samples);
                let indices = permutation[range].to_vec();
                self.permutation = Some((epoch, permutation));
                indices
            }
        }
    }
}

/// The order of an epoch: a pure function of seed and epoch.
fn permutation(seed: u64, epoch: u64, samples: usize) -> Vec<u64> {
    let mut indices: Vec<u64> = (0..samples as u64).collect();
    let key = StreamKey { seed, purpose: Purpose::SHUFFLE, epoch, sample: 0 };
    key.stream().shuffle(&mut indices);
    indices
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_epoch_visits_no_image_twice(
            samples in 1_usize..200, batch_size in 1_usize..20, seed: u64, epoch in 0_u64..1000,
        ) {
            for order in [Order::Shuffled, Order::Sequential] {
                let steps = order.steps(samples, batch_size);
                let mut itinerary = Itinerary::new(order, samples, batch_size, seed);
                let mut seen = Vec::new();
                for step in epoch * steps..(epoch + 1) * steps {
                    let (of, indices) = itinerary.visit(step);
                    prop_assert_eq!(of, epoch);
                    seen.extend(indices);
                }
                let expected = match order {
                    Order::Shuffled => samples / batch_size * batch_size,
                    Order::Sequential => samples,
                };
                prop_assert_eq!(seen.len(), expected);
                seen.sort_unstable();
                seen.dedup();
                prop_assert_eq!(seen.len(), expected);
                prop_assert!(seen.iter().all(|&index| index < samples as u64));
            }
        }
    }

    #[test]
    fn epochs_and_seeds_differ() {
        assert_ne!(permutation(0, 0, 50), permutation(0, 1, 50));
        assert_ne!(permutation(0, 0, 50), permutation(1, 0, 50));
    }
}
