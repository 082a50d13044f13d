//! Averages of gradients over all processes, exchanged during the backward pass.

use std::ffi::c_void;
use std::fmt;
use std::ptr::null_mut;

use tch::Tensor;

use crate::{LibtorchError, ProcessGroup, ffi};

/// Averages gradients of some parameters over all processes, in buckets that are sent as soon as
/// their gradients are complete, as PyTorch's `DistributedDataParallel` does.
///
/// It has a hook at each parameter (`at::Tensor::register_hook`) until it is dropped. Between
/// [`Self::begin`] and [`Self::finish`] a backward pass on this thread
/// (`Tensor::run_backward` with these parameters) puts each gradient into its bucket, and the
/// gradient that the pass returns is a view of the bucket, whose values change until
/// [`Self::finish`]. Other passes run as without it. A pass within the pass, such as that of
/// [`checkpoint`](crate::checkpoint), is not affected.
pub struct GradientMeans {
    means: *mut c_void,
    parameters: usize,
}

impl GradientMeans {
    /// Watches parameters in single precision on the CPU, in the order in which their gradients
    /// should be sent.
    ///
    /// Buckets are consecutive; `ends` says where each ends in the list. All processes must pass
    /// parameters of the same sizes and the same ends.
    ///
    /// # Errors
    /// [`LibtorchError::Call`] for a parameter that takes no gradient, is of another kind, or is on
    /// another device; no parameter has a hook then.
    ///
    /// # Panics
    /// When the ends do not ascend to the number of parameters.
    pub fn watch(parameters: &[Tensor], ends: &[usize]) -> Result<Self, LibtorchError> {
        let rise = ends.windows(2).all(|pair| pair[0] <= pair[1]);
        let last = ends.last().copied().unwrap_or(0);
        assert!(rise && last == parameters.len(), "buckets hold each parameter once");
        let (list, mut means) = (ffi::pointers(parameters), null_mut());
        // SAFETY: both lists live through the call, which keeps references to the tensors; on
        // success the shim has written a pointer that is closed once, on drop.
        ffi::check(unsafe {
            let (list, ends, buckets) = (list.as_ptr(), ends.as_ptr(), ends.len());
            ffi::bauta_means_open(list, parameters.len(), ends, buckets, &raw mut means)
        })?;
        Ok(Self { means, parameters: parameters.len() })
    }

    /// Prepares for the next backward pass; `before` holds a gradient of each parameter to add
    /// to that of the pass, or is empty.
    ///
    /// All processes must call it; other exchanges until [`Self::finish`] must begin before the
    /// pass.
    ///
    /// # Errors
    /// [`LibtorchError::Call`] with libtorch's message.
    ///
    /// # Panics
    /// When `before` has another length.
    pub fn begin(&self, group: &ProcessGroup, before: &[Tensor]) -> Result<(), LibtorchError> {
        assert!(before.is_empty() || before.len() == self.parameters, "one per parameter, or none");
        let list = ffi::pointers(before);
        // SAFETY: both are open and the list lives through the call, which keeps references to the
        // group and the tensors until `finish`.
        ffi::check(unsafe {
            ffi::bauta_means_begin(self.means, group.as_ptr(), list.as_ptr(), list.len())
        })
    }

    /// Sends the buckets that the pass has not sent, with zeros for parameters without a gradient,
    /// and waits for all. The means are contiguous and have the same bits on each process.
    ///
    /// # Errors
    /// [`LibtorchError::Call`] when a process is gone, or does not get here in time. No exchange
    /// is pending then.
    pub fn finish(&self) -> Result<Vec<Tensor>, LibtorchError> {
        let mut results = vec![null_mut(); self.parameters];
        // SAFETY: it is open, and there is room for one pointer per parameter; on success each is
        // an owned tensor, taken once.
        unsafe {
            ffi::check(ffi::bauta_means_finish(self.means, results.as_mut_ptr()))?;
            Ok(results.into_iter().map(|mean| Tensor::from_ptr(mean)).collect())
        }
    }
}

impl Drop for GradientMeans {
    fn drop(&mut self) {
        // SAFETY: it was opened, and is closed only here; this removes the hooks.
        unsafe { ffi::bauta_means_close(self.means) }
    }
}

impl fmt::Debug for GradientMeans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GradientMeans").field("parameters", &self.parameters).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::thread;

    use tch::{Device, Kind};

    use super::*;
    use crate::checkpoint;
    use crate::process_group::tests::{TIMEOUT, free_port, member};
    use crate::tests::normal;

    /// An unused weight, then the weights of the layers, last layer first; rank 1 does not use the
    /// last layer in step 0.
    fn weights() -> Vec<Tensor> {
        let named = ["unused", "c", "b", "a"].map(|name| normal(name, &[4, 4]));
        named.into_iter().map(|weight| weight.set_requires_grad(true)).collect()
    }

    /// The loss of a rank, in which one layer is checkpointed and its weight used twice.
    fn loss(weights: &[Tensor], rank: usize, step: usize) -> Tensor {
        let x = normal(&format!("x {rank} {step}"), &[5, 4]);
        let (held, kept) = (weights[3].shallow_clone(), [weights[3].shallow_clone()]);
        let layer = move |x: &[Tensor]| x[0].matmul(&held).tanh();
        let x = checkpoint(&[&x.matmul(&weights[3])], &kept, layer).unwrap();
        let x = x.matmul(&weights[2]).relu();
        let x = if rank == 0 || step > 0 { x.matmul(&weights[1]) } else { x };
        x.square().mean(Kind::Float)
    }

    fn gradients(loss: &Tensor, weights: &[Tensor]) -> Vec<Tensor> {
        let found = Tensor::run_backward(&[loss], weights, false, false).into_iter();
        let found = found.zip(weights);
        found.map(|(own, w)| if own.defined() { own } else { w.zeros_like() }).collect()
    }

    /// The expected means over both ranks, computed in one process.
    fn wanted(step: usize, with: usize) -> Vec<Tensor> {
        let weights = weights();
        let of_rank = |rank: usize| {
            let mut sum = gradients(&loss(&weights, rank, step), &weights);
            if with > 0 {
                let before = gradients(&loss(&weights, rank, step + with), &weights);
                sum = before.iter().zip(&sum).map(|(before, own)| before + own).collect();
            }
            sum
        };
        let [one, two] = [of_rank(0), of_rank(1)];
        one.iter().zip(&two).map(|(one, two)| (one + two) / 2).collect()
    }

    #[test]
    fn they_have_the_bits_of_gradients_that_are_averaged_afterwards() {
        let port = free_port();
        let rank = move |rank: usize| {
            let (group, end) = member(port, rank);
            let weights = weights();
            for ends in [&[4][..], &[1, 2, 3, 4], &[1, 4]] {
                let means = GradientMeans::watch(&weights, ends).unwrap();
                for step in 0..3 {
                    let own = loss(&weights, rank, step);
                    means.begin(&group, &[]).unwrap();
                    let given = Tensor::run_backward(&[&own], &weights, false, false);
                    assert!(!given[0].defined() && given[3].defined());
                    assert_eq!(means.finish().unwrap(), wanted(step, 0), "{ends:?}, step {step}");
                }
                // Earlier gradients are added, and passes that are not watched are unchanged.
                let before = gradients(&loss(&weights, rank, 9), &weights);
                means.begin(&group, &before).unwrap();
                gradients(&loss(&weights, rank, 1), &weights);
                assert_eq!(means.finish().unwrap(), wanted(1, 8), "{ends:?}");
                assert_eq!(before, gradients(&loss(&weights, rank, 9), &weights));
                assert!(means.finish().unwrap_err().to_string().contains("begun"));
            }
            end();
        };
        let ranks = [0, 1].map(|number| thread::spawn(move || rank(number)));
        ranks.into_iter().for_each(|rank| rank.join().unwrap());
    }

    /// Rank 0 does not finish its pass before rank 1 has the sum of the first bucket.
    #[test]
    fn a_bucket_is_sent_while_the_pass_goes_on() {
        let port = free_port();
        let (tell, told) = channel::<()>();
        let first = thread::spawn(move || {
            let (group, end) = member(port, 0);
            let weights = [normal("b", &[3]), normal("a", &[3])];
            let weights = weights.map(|weight| weight.set_requires_grad(true));
            let means = GradientMeans::watch(&weights, &[1, 2]).unwrap();
            let (held, kept) = (weights[1].shallow_clone(), [weights[1].shallow_clone()]);
            let (calls, told) = (AtomicUsize::new(0), Mutex::new(told));
            let layer = move |x: &[Tensor]| {
                if calls.fetch_add(1, Ordering::Relaxed) == 1 {
                    told.lock().unwrap().recv_timeout(TIMEOUT).unwrap();
                }
                &x[0] * &held
            };
            let x = checkpoint(&[&normal("x", &[3])], &kept, layer).unwrap();
            let loss = (x * &weights[0]).sum(Kind::Float);
            means.begin(&group, &[]).unwrap();
            gradients(&loss, &weights);
            let found = means.finish().unwrap();
            end();
            found
        });
        let (group, end) = member(port, 1);
        for place in 0..2 {
            let other = normal(&format!("other {place}"), &[3]);
            group.sum(&[other]).unwrap();
            let _ = tell.send(());
        }
        end();
        let x = normal("x", &[3]);
        let wanted = [("a", 0), ("b", 1)].map(|(name, place)| {
            (&x * normal(name, &[3]) + normal(&format!("other {place}"), &[3])) / 2
        });
        assert_eq!(first.join().unwrap(), wanted);
    }

    #[test]
    fn one_that_is_gone_is_an_error_and_the_next_pass_is_as_ever() {
        let port = free_port();
        let left = thread::spawn(move || drop(member(port, 1).0));
        let (group, _end) = member(port, 0);
        left.join().unwrap();
        let weights = weights();
        let means = GradientMeans::watch(&weights, &[1, 2, 4]).unwrap();
        means.begin(&group, &[]).unwrap();
        gradients(&loss(&weights, 0, 0), &weights);
        assert!(means.finish().is_err());
        let plain = weights.iter().map(|w| w.detach().copy().set_requires_grad(true));
        let plain: Vec<Tensor> = plain.collect();
        let [found, wanted] = [&weights, &plain].map(|all| gradients(&loss(all, 0, 1), all));
        assert_eq!(found, wanted);
        drop(means);
        assert_eq!(gradients(&loss(&weights, 0, 1), &weights), wanted);
    }

    #[test]
    fn what_it_cannot_watch_is_refused_and_leaves_no_hook() {
        let watched = normal("x", &[2]).set_requires_grad(true);
        let double = Tensor::ones([2], (Kind::Double, Device::Cpu)).set_requires_grad(true);
        for (other, told) in [(normal("y", &[2]), "1 takes no gradient"), (double, "1 is Double")] {
            let both = [watched.shallow_clone(), other];
            let refused = GradientMeans::watch(&both, &[2]).unwrap_err().to_string();
            assert!(refused.contains(told), "{refused}");
            let square = watched.square().sum(Kind::Float);
            let found = Tensor::run_backward(&[square], &[&watched], false, false);
            assert_eq!(found[0], &watched * 2.0);
        }
    }
}
