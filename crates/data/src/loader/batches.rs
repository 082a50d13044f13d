//! The consumer's end: an iterator with a bounded number of batches under way.
//!
//! There is no thread that feeds the workers. The iterator itself hands out
//! the next step whenever it takes a finished batch, so that exactly `queue`
//! batches are under way or waiting, and nothing ever blocks but the consumer.

use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use rayon::ThreadPool;

use super::assemble::Assembler;
use super::order::Itinerary;
use super::{Batch, LoaderConfig};
use crate::error::DataError;

/// What a worker sends: a prepared batch and the number of images left out of
/// it, an error, or the panic that it ran into.
type Delivery<T> = thread::Result<Result<(T, u64), DataError>>;

/// Prepared batches in the order of their steps.
///
/// Ends after the last step or the first error. Dropping it tells the workers
/// to stop after the images they are at, and does not wait for them.
pub struct Batches<T> {
    assembler: Arc<Assembler>,
    pool: Arc<ThreadPool>,
    prepare: Arc<dyn Fn(Batch) -> T + Send + Sync>,
    itinerary: Itinerary,
    upcoming: Range<u64>,
    under_way: VecDeque<Receiver<Delivery<T>>>,
    cancelled: Arc<AtomicBool>,
    waited: Duration,
    skipped: u64,
}

impl<T: Send + 'static> Batches<T> {
    pub(super) fn start(
        config: &LoaderConfig,
        samples: usize,
        assembler: Arc<Assembler>,
        pool: Arc<ThreadPool>,
        steps: Range<u64>,
        prepare: Arc<dyn Fn(Batch) -> T + Send + Sync>,
    ) -> Self {
        let LoaderConfig { order, batch_size, seed, queue, .. } = *config;
        let mut batches = Self {
            assembler,
            pool,
            prepare,
            itinerary: Itinerary::new(order, samples, batch_size, seed),
            upcoming: steps,
            under_way: VecDeque::with_capacity(queue),
            cancelled: Arc::default(),
            waited: Duration::ZERO,
            skipped: 0,
        };
        for _ in 0..queue {
            batches.hand_out();
        }
        batches
    }

    /// Gives the next step, if there is one, to the workers.
    fn hand_out(&mut self) {
        let Some(step) = self.upcoming.next() else { return };
        let (epoch, indices) = self.itinerary.visit(step);
        let (sender, receiver) = bounded(1);
        self.under_way.push_back(receiver);
        let (assembler, prepare) = (Arc::clone(&self.assembler), Arc::clone(&self.prepare));
        let cancelled = Arc::clone(&self.cancelled);
        self.pool.spawn(move || {
            let delivery = catch_unwind(AssertUnwindSafe(|| {
                let assembled = assembler.assemble(step, epoch, indices, &cancelled);
                // Nobody will ask for a batch that was given up.
                if cancelled.load(Ordering::Relaxed) {
                    return None;
                }
                Some(assembled.map(|(batch, skipped)| (prepare(batch), skipped)))
            }));
            if let Some(delivery) = delivery.transpose() {
                // Fails only when the consumer has gone.
                sender.send(delivery).ok();
            }
        });
    }
}

impl<T> Batches<T> {
    /// How long the consumer has been blocked in `next` so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// How many corrupt images have been left out of the batches taken so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    fn stop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.upcoming = 0..0;
        self.under_way.clear();
    }
}

impl<T: Send + 'static> Iterator for Batches<T> {
    type Item = Result<T, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let receiver = self.under_way.pop_front()?;
        let start = Instant::now();
        let delivery = receiver.recv().expect("a worker that is not cancelled delivers");
        self.waited += start.elapsed();
        let result = delivery.unwrap_or_else(|panic| resume_unwind(panic));
        Some(match result {
            Ok((prepared, skipped)) => {
                self.skipped += skipped;
                self.hand_out();
                Ok(prepared)
            }
            Err(error) => {
                self.stop();
                Err(error)
            }
        })
    }
}

impl<T> Drop for Batches<T> {
    fn drop(&mut self) {
        self.stop();
    }
}
