//! The images of a global step.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bauta_datasets::DataError;
use bauta_streams::{Purpose, StreamKey};
use serde::{Deserialize, Serialize};

use super::{LoaderConfig, Share};
use crate::prefetch::Prepared;

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
    fn steps(self, samples: usize, batch_size: usize) -> u64 {
        let steps = match self {
            Self::Shuffled => samples / batch_size,
            Self::Sequential => samples.div_ceil(batch_size),
        };
        steps as u64
    }
}

/// Turns global steps into indices; keeps the permutations of the two epochs in use.
pub(crate) struct Itinerary {
    order: Order,
    samples: usize,
    batch_size: usize,
    seed: u64,
    share: Share,
    /// Epochs and their permutations, the newest last: around the boundary of two epochs, batches
    /// of both are prepared at once.
    permutations: Mutex<VecDeque<(u64, Arc<[u64]>)>>,
}

impl Itinerary {
    /// Divides `samples` samples as `config` says.
    pub(crate) fn new(config: &LoaderConfig, samples: usize) -> Self {
        let LoaderConfig { order, batch_size, seed, share, .. } = *config;
        Self { order, samples, batch_size, seed, share, permutations: Mutex::default() }
    }

    /// Number of batches in an epoch.
    pub(crate) fn steps_per_epoch(&self) -> u64 {
        self.order.steps(self.samples, self.batch_size)
    }

    /// The epoch of a global step, and the indices of its images.
    ///
    /// In a shuffled order these are this process's share. A sequential order is an evaluation's,
    /// which one process runs as a whole.
    pub(crate) fn visit(&self, step: u64) -> (u64, Vec<u64>) {
        let steps = self.steps_per_epoch();
        let (epoch, position) = (step / steps, (step % steps) as usize);
        let start = position * self.batch_size;
        let range = start..(start + self.batch_size).min(self.samples);
        let indices = match self.order {
            Order::Sequential => (range.start as u64..range.end as u64).collect(),
            Order::Shuffled => self.share.part(&self.permutation(epoch)[range]).to_vec(),
        };
        (epoch, indices)
    }

    /// The steps whose images are tried for `step`, in order: its own, then, in a shuffled epoch,
    /// the epoch's others from there on.
    ///
    /// An evaluation continues without the step, so that no image counts twice.
    pub(crate) fn substitutes(&self, step: u64) -> impl Iterator<Item = u64> + use<> {
        let steps = self.steps_per_epoch();
        let tried = if self.order == Order::Shuffled { steps } else { 1 };
        let (epoch, position) = (step / steps, step % steps);
        (0..tried).map(move |further| epoch * steps + (position + further) % steps)
    }

    /// The outcome of a step when none of its [substitutes](Self::substitutes) can be read.
    ///
    /// # Errors
    /// [`DataError::NoImages`] when these were all images of the epoch.
    pub(crate) fn gone_without<T>(
        &self,
        step: u64,
        skipped: u64,
    ) -> Result<Prepared<T>, DataError> {
        match self.order {
            Order::Shuffled => Err(DataError::NoImages { epoch: step / self.steps_per_epoch() }),
            Order::Sequential => Ok(Prepared { input: None, skipped }),
        }
    }

    /// The permutation of an epoch. A thread that needs it while another computes it waits.
    fn permutation(&self, epoch: u64) -> Arc<[u64]> {
        // What is pushed is complete, even if a thread panicked while it held the lock.
        let mut known = self.permutations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, permutation)) = known.iter().find(|(of, _)| *of == epoch) {
            return Arc::clone(permutation);
        }
        if known.len() == 2 {
            known.pop_front();
        }
        let permutation: Arc<[u64]> = permutation(self.seed, epoch, self.samples).into();
        known.push_back((epoch, Arc::clone(&permutation)));
        permutation
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
                let config = LoaderConfig { order, seed, ..LoaderConfig::new(batch_size, 1, 1) };
                let itinerary = Itinerary::new(&config, samples);
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
    fn steps_of_any_epochs_can_be_visited_in_any_order() {
        let itinerary = || Itinerary::new(&LoaderConfig::new(4, 1, 1), 10);
        let kept = itinerary();
        for step in [9, 0, 5, 2, 8, 1, 9, 0] {
            assert_eq!(kept.visit(step), itinerary().visit(step));
        }
    }

    #[test]
    fn shares_make_up_the_batches_of_a_shuffled_order_alone() {
        for (order, parts) in [(Order::Shuffled, 3), (Order::Sequential, 1)] {
            let visit = |share, step| {
                let config = LoaderConfig { order, share, ..LoaderConfig::new(6, 1, 1) };
                Itinerary::new(&config, 20).visit(step).1
            };
            for step in 0..7 {
                let part = |rank| visit(Share { rank, of: 3 }, step);
                assert_eq!(
                    (0..parts).flat_map(part).collect::<Vec<_>>(),
                    visit(Share::WHOLE, step)
                );
            }
        }
        let odd = LoaderConfig { share: Share { rank: 0, of: 4 }, ..LoaderConfig::new(6, 1, 1) };
        let error = odd.check(20, "images").unwrap_err().to_string();
        assert!(error.contains("multiple of the 4 processes"), "{error}");
    }

    #[test]
    fn epochs_and_seeds_differ() {
        assert_ne!(permutation(0, 0, 50), permutation(0, 1, 50));
        assert_ne!(permutation(0, 0, 50), permutation(1, 0, 50));
    }
}
