//! The processes of a run, connected by libtorch's c10d.
//!
//! Each process, a rank, takes its share of every batch; gradients are averaged, so that all make
//! the same step, or each its share of it ([`crate::Optimizer::of_share`]). They are averaged in
//! buckets: each is sent as soon as the backward pass has computed its gradients, and Gloo's
//! threads sum it while the pass goes on ([`bauta_libtorch::GradientMeans`]). In a step of several
//! inputs, gradients are sent during the last backward pass. Only rank 0 writes to the run folder,
//! with two exceptions: each rank saves its part of a batch whose loss is not finite, and keeps
//! features that exceed a limit in a temporary file.

mod averaging;
mod said;
mod variables;

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bauta_data::Share;
use bauta_libtorch::{LibtorchError, ProcessGroup, Store};
use tch::{Device, Kind, Tensor};
use thiserror::Error;

pub(crate) use self::averaging::Averaging;
pub use self::variables::Variables;

/// Numbers that are sent at once: 25 MiB, as in PyTorch's `DistributedDataParallel`.
const BUCKET: usize = 25 * 1024 * 1024 / size_of::<f32>();

/// How long the remaining ranks wait to hear from each other after a failure.
const ROLL_CALL: Duration = Duration::from_secs(10);

/// How long an answer that can already be there is waited for.
const MOMENT: Duration = Duration::from_millis(100);

/// Errors of several processes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RanksError {
    /// Environment variables that are missing, not numbers, or contradictory.
    #[error("{0}")]
    Variables(String),
    /// Rank 0 cannot serve the rendezvous.
    #[error(
        "MASTER_PORT {0} is in use on this machine; choose a free one, or wait until the run that \
         uses it ends"
    )]
    PortInUse(u16),
    /// The rendezvous cannot be reached.
    #[error(
        "rank {rank} does not reach the rendezvous of rank 0 at {address}: {reason}; is rank 0 \
         running, and are MASTER_ADDR and MASTER_PORT the same for all?"
    )]
    NoRendezvous {
        /// This process.
        rank: usize,
        /// Host and port.
        address: String,
        /// libtorch's message.
        reason: String,
    },
    /// Ranks that did not connect in time.
    #[error(
        "rank {missing} did not connect within {seconds} s; are all {count} processes started, \
         with the same MASTER_ADDR and MASTER_PORT?"
    )]
    NeverCame {
        /// Their numbers.
        missing: String,
        /// How long they were waited for.
        seconds: u64,
        /// The number of ranks in the run.
        count: usize,
    },
    /// Ranks that were started differently from rank 0.
    #[error(
        "rank {0} has a different recipe, seed, folder or version from rank 0; start all with the \
         same program and the same arguments"
    )]
    Differ(String),
    /// Several ranks on another device than the CPU.
    #[error("several processes train on the CPU only; set train.device=cpu")]
    Device,
    /// Ranks that ended or hang.
    #[error(
        "rank {missing} is gone or does not answer, so this rank stops; see the last lines of \
         the other's output, then go on with the same command and --resume ({reason})"
    )]
    Gone {
        /// Their numbers.
        missing: String,
        /// libtorch's message.
        reason: String,
    },
    /// All ranks answer, but cannot exchange data.
    #[error(
        "the ranks cannot reach each other, though all have started: {0}; on several machines, \
         set GLOO_SOCKET_IFNAME to the name of the network interface that connects them, if their \
         host names stand for an address such as 127.0.1.1"
    )]
    Apart(LibtorchError),
}

/// This process's rank among those of a run. A clone shares the connections.
#[derive(Clone, Debug)]
pub struct Ranks {
    share: Share,
    threads: usize,
    group: Option<Rc<Group>>,
}

#[derive(Debug)]
struct Group {
    store: Store,
    /// `None` once a collective has failed.
    connections: RefCell<Option<ProcessGroup>>,
    /// Buffer of [`Ranks::hand_on`], kept because allocating it in each call would fragment the
    /// heap.
    buffer: RefCell<Tensor>,
}

impl Ranks {
    /// A single process: nothing is exchanged.
    pub fn alone() -> Self {
        Self { share: Share::WHOLE, threads: 0, group: None }
    }

    /// Connects with the other processes; `digest` is a text that differs if anything differs that
    /// must be the same for all ranks.
    ///
    /// # Errors
    /// When a rank does not connect in time, was started differently, or cannot be reached.
    pub fn meet(variables: &Variables, digest: &str) -> Result<Self, RanksError> {
        let Variables { rank, count, ref host, port, serves, ref attempt, timeout, threads } =
            *variables;
        let share = Share { rank, of: count };
        if count == 1 {
            return Ok(Self { share, threads, group: None });
        }
        let end = Instant::now() + timeout;
        let no_rendezvous = |error: LibtorchError| match error.to_string() {
            reason if reason.contains("EADDRINUSE") => RanksError::PortInUse(port),
            reason => RanksError::NoRendezvous { rank, address: format!("{host}:{port}"), reason },
        };
        let store = Store::open(host, port, serves, timeout, attempt).map_err(no_rendezvous)?;
        let key = |rank| format!("digest/{rank}");
        store.set(&key(rank), digest).map_err(no_rendezvous)?;
        let digest_of = |other: usize| match other == rank {
            true => Some(digest.to_owned()),
            false => store.get(&key(other), left(end)).ok(),
        };
        let digests: Vec<_> = (0..count).map(digest_of).collect();
        let missing = numbers((0..count).filter(|&rank| digests[rank].is_none()));
        if !missing.is_empty() {
            // If this rank's own text cannot be read either, the rendezvous is lost.
            store.get(&key(rank), ROLL_CALL).map_err(no_rendezvous)?;
            let seconds = timeout.as_secs();
            return Err(RanksError::NeverCame { missing, seconds, count });
        }
        let differ = numbers((0..count).filter(|&rank| digests[rank] != digests[0]));
        if !differ.is_empty() {
            // Rank 0 serves the store, so it waits until the others have read it.
            let _ = store.set(&format!("read/{rank}"), "");
            (0..count).for_each(|rank| drop(store.get(&format!("read/{rank}"), ROLL_CALL)));
            return Err(RanksError::Differ(differ));
        }
        let connections = ProcessGroup::open(&store, rank, count, timeout);
        let connections = RefCell::new(Some(connections.map_err(RanksError::Apart)?));
        let buffer = RefCell::new(Tensor::empty([0], (Kind::Float, Device::Cpu)));
        let group = Group { store, connections, buffer };
        Ok(Self { share, threads, group: Some(Rc::new(group)) })
    }

    /// The part of each batch that this rank processes.
    pub fn share(&self) -> Share {
        self.share
    }

    /// The number of ranks.
    pub fn count(&self) -> usize {
        self.share.of
    }

    /// Whether this is rank 0, which alone writes, displays and measures.
    pub fn leads(&self) -> bool {
        self.share.rank == 0
    }

    /// The number of threads of this rank if the run is to use every core; 0 for all cores.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Checks that this number of ranks can train on a device.
    ///
    /// # Errors
    /// [`RanksError::Device`] for several ranks on another device than the CPU.
    pub fn check_device(&self, device: Device) -> Result<(), RanksError> {
        match self.count() == 1 || device == Device::Cpu {
            true => Ok(()),
            false => Err(RanksError::Device),
        }
    }

    /// Waits for all ranks; returns whether `flag` is set on any of them.
    ///
    /// # Errors
    /// When a rank is gone, or does not call it in time.
    pub fn any(&self, flag: bool) -> Result<bool, RanksError> {
        if self.group.is_none() {
            return Ok(flag);
        }
        let mut sum = [Tensor::from(f32::from(u8::from(flag)))];
        self.mean(&mut sum)?;
        Ok(sum[0].double_value(&[]) > 0.0)
    }

    /// Replaces tensors in single precision on the CPU by their means over all ranks, with the same
    /// bits on each rank; all must pass tensors of the same sizes.
    pub(crate) fn mean(&self, tensors: &mut [Tensor]) -> Result<(), RanksError> {
        if self.group.is_none() {
            return Ok(());
        }
        let sizes: Vec<usize> = tensors.iter().map(Tensor::numel).collect();
        for bucket in buckets(&sizes) {
            let bucket = &mut tensors[bucket];
            let flat: Vec<Tensor> = bucket.iter().map(|tensor| tensor.reshape([-1])).collect();
            let mut sum = [Tensor::cat(&flat, 0)];
            debug_assert!(sum[0].kind() == Kind::Float && sum[0].device() == Device::Cpu);
            self.call(|connections| connections.sum(&sum))?;
            let _ = sum[0].g_div_scalar_(self.share.of as i64);
            let mut from = 0;
            for tensor in bucket {
                let size = tensor.numel() as i64;
                *tensor = sum[0].narrow(0, from, size).view_as(tensor);
                from += size;
            }
        }
        Ok(())
    }

    /// Broadcasts tensors in single precision on the CPU from the ranks that own them to all
    /// others.
    ///
    /// `listed` gives the owner and the shape of each tensor, the same on all ranks; all must call
    /// it. `own` returns a tensor of this rank by its index in the list, and `receive` gets one of
    /// another rank and must copy it to keep it. With a single process nothing is sent.
    ///
    /// # Errors
    /// When a rank is gone, or does not call it in time.
    ///
    /// # Panics
    /// When `own` returns a tensor of another shape than the listed one.
    pub fn hand_on(
        &self,
        listed: &[(usize, Vec<i64>)],
        own: impl Fn(usize) -> Tensor,
        mut receive: impl FnMut(usize, Tensor),
    ) -> Result<(), RanksError> {
        let Some(group) = &self.group else { return Ok(()) };
        let size = |place: usize| listed[place].1.iter().product::<i64>();
        for owner in 0..self.count() {
            let places = (0..listed.len()).filter(|&place| listed[place].0 == owner);
            let places: Vec<usize> = places.collect();
            let sizes: Vec<usize> = places.iter().map(|&place| size(place) as usize).collect();
            for bucket in buckets(&sizes) {
                let mine = owner == self.share.rank;
                let flat = group.buffer(sizes[bucket.clone()].iter().sum());
                let mut from = 0;
                let parts: Vec<(usize, Tensor)> = places[bucket]
                    .iter()
                    .map(|&place| {
                        let part = flat.narrow(0, from, size(place)).view(&listed[place].1[..]);
                        from += size(place);
                        (place, part)
                    })
                    .collect();
                for (place, part) in parts.iter().filter(|_| mine) {
                    let own = own(*place);
                    assert_eq!(own.size(), part.size(), "tensors have the listed shapes");
                    part.shallow_clone().copy_(&own);
                }
                self.call(|connections| connections.broadcast(&flat, owner))?;
                if !mine {
                    parts.into_iter().for_each(|(place, part)| receive(place, part));
                }
            }
        }
        Ok(())
    }

    /// Makes calls that all ranks make; a single process makes none.
    fn call<T>(
        &self,
        collective: impl FnOnce(&ProcessGroup) -> Result<T, LibtorchError>,
    ) -> Result<Option<T>, RanksError> {
        let Some(group) = &self.group else { return Ok(None) };
        let failed = match &*group.connections.borrow() {
            Some(connections) => match collective(connections) {
                Ok(made) => return Ok(Some(made)),
                Err(error) => error,
            },
            None => LibtorchError::Call("a collective failed before".to_owned()),
        };
        // Closed connections tell the ranks that still wait for this one.
        drop(group.connections.take());
        Err(self.who_is_gone(&group.store, failed))
    }

    /// Finds out which of the other ranks still answer after a failed call.
    fn who_is_gone(&self, store: &Store, failed: LibtorchError) -> RanksError {
        let own = self.share.rank;
        let here = |rank| format!("left/{rank}");
        let done = |rank| format!("called/{rank}");
        let reached = store.set(&here(own), "").is_ok();
        let end = Instant::now() + ROLL_CALL;
        let others = (0..self.count()).filter(|&rank| rank != own && reached);
        let (present, missing): (Vec<usize>, Vec<usize>) =
            others.partition(|&rank| store.get(&here(rank), left(end)).is_ok());
        // If this rank cannot read what it has just written, the store is lost: the answers are
        // worth nothing, and rank 0, which serves the store, is gone.
        let told = store.set(&done(own), "").and_then(|()| store.get(&done(own), ROLL_CALL));
        let missing = match (told, own) {
            (Ok(_), _) => missing,
            (Err(_), 0) => Vec::new(),
            (Err(_), _) => vec![0],
        };
        if own == 0 {
            // The others still need the store until they have their answers.
            let end = Instant::now() + ROLL_CALL;
            present.iter().for_each(|&rank| drop(store.get(&done(rank), left(end))));
        }
        match missing.is_empty() {
            true => RanksError::Apart(failed),
            false => {
                let missing = numbers(missing.into_iter());
                RanksError::Gone { missing, reason: failed.to_string() }
            }
        }
    }
}

impl Group {
    /// The first `numbers` numbers of the buffer, which grows to hold them.
    fn buffer(&self, numbers: usize) -> Tensor {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.numel() < numbers {
            *buffer = Tensor::empty([numbers.max(BUCKET) as i64], (Kind::Float, Device::Cpu));
        }
        buffer.narrow(0, 0, numbers as i64)
    }
}

/// Divides a list of tensors with these sizes into ranges that are sent at once: each up to the
/// size of a bucket, or one tensor that is larger.
fn buckets(sizes: &[usize]) -> Vec<Range<usize>> {
    let (mut ranges, mut begin) = (Vec::new(), 0);
    while begin < sizes.len() {
        let (mut end, mut size) = (begin, 0);
        while end < sizes.len() && (end == begin || size + sizes[end] <= BUCKET) {
            size += sizes[end];
            end += 1;
        }
        ranges.push(begin..end);
        begin = end;
    }
    ranges
}

/// The time until `end`, or a moment if that is over.
fn left(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now()).max(MOMENT)
}

/// Rank numbers as a list for a message.
fn numbers(ranks: impl Iterator<Item = usize>) -> String {
    ranks.map(|rank| rank.to_string()).collect::<Vec<_>>().join(", ")
}
