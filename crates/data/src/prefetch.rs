//! Inputs of any medium, prepared ahead of their consumer by a pool of threads.
//!
//! No thread feeds the workers. The iterator itself hands out the next step whenever it takes a
//! finished input, so that exactly `queue` inputs are in progress or waiting, and only the consumer
//! ever blocks.

use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bauta_datasets::DataError;
use crossbeam_channel::{Receiver, bounded};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// A pool of threads that prepares inputs ahead of their consumer.
///
/// It is independent of the kind of input: a closure turns the number of a step into an input. If
/// the closure depends on its argument alone, the inputs are the same for any number of threads,
/// any length of the queue, and when a run is resumed. Clones share the threads.
///
/// ```
/// use bauta_data::{Prefetcher, Prepared};
///
/// let prefetcher = Prefetcher::new(2, 4)?;
/// let squares = prefetcher.inputs(3..6, |step, _| Ok(Prepared::whole(step * step)));
/// assert_eq!(squares.collect::<Result<Vec<_>, _>>()?, [9, 16, 25]);
/// # Ok::<(), bauta_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Prefetcher {
    pool: Arc<ThreadPool>,
    queue: usize,
}

/// One input, and how many samples are missing from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared<T> {
    /// The input; `None` if every sample of the step is missing, so that the consumer gets the next
    /// step's input instead.
    pub input: Option<T>,
    /// Samples that were left out because they could not be read.
    pub skipped: u64,
}

impl<T> Prepared<T> {
    /// A complete input.
    pub fn whole(input: T) -> Self {
        Self { input: Some(input), skipped: 0 }
    }
}

/// Signals to the producer of an input that it is no longer needed.
///
/// A closure whose input takes long checks this from time to time, and can then return any input or
/// error: nobody receives it.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Whether the input is no longer needed.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Prefetcher {
    /// Starts `threads` threads (0: one per core), which keep `queue` inputs, at least 1, in
    /// progress or waiting.
    ///
    /// # Errors
    /// [`DataError::Setting`] when `queue` is 0 or the threads cannot be started.
    pub fn new(threads: usize, queue: usize) -> Result<Self, DataError> {
        if queue == 0 {
            return Err(DataError::setting("queue", 0, "must be at least 1"));
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("bauta-loader-{i}"))
            .build()
            .map_err(|error| DataError::setting("threads", threads, error))?;
        Ok(Self { pool: Arc::new(pool), queue })
    }

    /// Prepares the inputs of the given steps, in order.
    ///
    /// `make` gets the number of a step and runs on the pool, for several steps at once; parallel
    /// iterators of `rayon` within it use the pool's threads. A panic in it propagates to the
    /// consumer that takes the input.
    pub fn inputs<T, F>(&self, steps: Range<u64>, make: F) -> Inputs<T>
    where
        T: Send + 'static,
        F: Fn(u64, &Cancel) -> Result<Prepared<T>, DataError> + Send + Sync + 'static,
    {
        let mut inputs = Inputs {
            pool: Arc::clone(&self.pool),
            make: Arc::new(make),
            upcoming: steps,
            under_way: VecDeque::with_capacity(self.queue),
            cancel: Cancel::default(),
            waited: Duration::ZERO,
            skipped: 0,
        };
        for _ in 0..self.queue {
            inputs.hand_out();
        }
        inputs
    }
}

/// What a worker sends: an input, an error, or the panic that it ran into.
type Delivery<T> = thread::Result<Result<Prepared<T>, DataError>>;

type Make<T> = dyn Fn(u64, &Cancel) -> Result<Prepared<T>, DataError> + Send + Sync;

/// Inputs in the order of their steps.
///
/// Ends after the last step or the first error. A step with every sample missing yields no input.
/// Dropping the iterator cancels the inputs in progress, without waiting for them.
pub struct Inputs<T> {
    pool: Arc<ThreadPool>,
    make: Arc<Make<T>>,
    upcoming: Range<u64>,
    under_way: VecDeque<Receiver<Delivery<T>>>,
    cancel: Cancel,
    waited: Duration,
    skipped: u64,
}

impl<T: Send + 'static> Inputs<T> {
    /// Hands the next step, if there is one, to the workers.
    fn hand_out(&mut self) {
        let Some(step) = self.upcoming.next() else { return };
        let (sender, receiver) = bounded(1);
        self.under_way.push_back(receiver);
        let (make, cancel) = (Arc::clone(&self.make), self.cancel.clone());
        self.pool.spawn(move || {
            // Nobody will ask for an input that was cancelled.
            if cancel.is_set() {
                return;
            }
            let delivery = catch_unwind(AssertUnwindSafe(|| make(step, &cancel)));
            // Fails only when the consumer has gone.
            sender.send(delivery).ok();
        });
    }
}

impl<T> Inputs<T> {
    /// How long the consumer has been blocked in `next` so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// How many samples are missing from the inputs taken so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    fn stop(&mut self) {
        self.cancel.set();
        self.upcoming = 0..0;
        self.under_way.clear();
    }
}

impl<T: Send + 'static> Iterator for Inputs<T> {
    type Item = Result<T, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let receiver = self.under_way.pop_front()?;
            let start = Instant::now();
            let delivery = receiver.recv().expect("a worker that is not cancelled delivers");
            self.waited += start.elapsed();
            match delivery.unwrap_or_else(|panic| resume_unwind(panic)) {
                Ok(Prepared { input, skipped }) => {
                    self.skipped += skipped;
                    self.hand_out();
                    if let Some(input) = input {
                        return Some(Ok(input));
                    }
                }
                Err(error) => {
                    self.stop();
                    return Some(Err(error));
                }
            }
        }
    }
}

impl<T> Drop for Inputs<T> {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// Waits until the only thread has done everything that was handed out before.
    fn settle(prefetcher: &Prefetcher) {
        // The only thread takes its jobs in the order in which they came.
        assert_eq!(prefetcher.pool.current_num_threads(), 1);
        prefetcher.pool.install(|| ());
    }

    #[test]
    fn no_more_than_the_queue_is_made_ahead() {
        let prefetcher = Prefetcher::new(1, 3).unwrap();
        let made = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&made);
        let mut inputs = prefetcher.inputs(0..20, move |step, _| {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok(Prepared { input: Some(step), skipped: step })
        });
        for taken in 0..6 {
            settle(&prefetcher);
            assert_eq!(made.load(Ordering::Relaxed), taken + 3, "three ahead of {taken}");
            assert_eq!(inputs.next().unwrap().unwrap(), taken);
        }
        assert_eq!(inputs.skipped(), 1 + 2 + 3 + 4 + 5);
    }

    #[test]
    fn dropping_the_inputs_cancels_what_is_under_way() {
        let prefetcher = Prefetcher::new(1, 4).unwrap();
        let (begun, has_begun) = bounded(4);
        let (go_on, may_go_on) = bounded::<()>(0);
        let (told, answers) = bounded(4);
        let inputs = prefetcher.inputs(0..100, move |_, cancel| {
            begun.send(()).unwrap();
            may_go_on.recv().unwrap();
            told.send(cancel.is_set()).unwrap();
            Ok(Prepared::whole(()))
        });
        has_begun.recv().unwrap();
        drop(inputs);
        go_on.send(()).unwrap();
        settle(&prefetcher);
        // The one in progress was cancelled; those after it never started, and released the
        // closure.
        assert_eq!(answers.iter().collect::<Vec<bool>>(), [true]);
    }

    #[test]
    fn steps_without_samples_are_counted_and_give_no_input() {
        let prefetcher = Prefetcher::new(2, 2).unwrap();
        let mut inputs = prefetcher.inputs(0..9, |step, _| {
            let odd = step % 2 == 1 || step == 8;
            Ok(Prepared { input: (!odd).then_some(step), skipped: u64::from(odd) * 10 })
        });
        let taken: Result<Vec<u64>, DataError> = inputs.by_ref().collect();
        assert_eq!((taken.unwrap(), inputs.skipped()), (vec![0, 2, 4, 6], 50));
    }

    #[test]
    fn errors_of_ones_own_end_the_inputs() {
        let prefetcher = Prefetcher::new(2, 2).unwrap();
        let mut inputs = prefetcher.inputs(0..9, |step, _| match step {
            0 => Ok(Prepared::whole("clip")),
            _ => Err(DataError::Input(format!("step {step}: the clip is too short").into())),
        });
        assert_eq!(inputs.next().unwrap().unwrap(), "clip");
        let error = inputs.next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "step 1: the clip is too short");
        assert!(inputs.next().is_none());
    }

    #[test]
    fn a_panic_reaches_the_consumer() {
        let prefetcher = Prefetcher::new(1, 1).unwrap();
        let mut inputs = prefetcher.inputs(0..2, |step, _| {
            assert_eq!(step, 7, "on purpose");
            Ok(Prepared::whole(step))
        });
        let panic = catch_unwind(AssertUnwindSafe(|| inputs.next()));
        let message = panic.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("on purpose"), "{message}");
    }

    #[test]
    fn a_queue_of_nothing_is_refused() {
        let error = Prefetcher::new(1, 0).unwrap_err();
        assert_eq!(error.to_string(), "queue = 0: must be at least 1");
    }
}
