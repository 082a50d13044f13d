//! Gradient checkpointing (Chen et al., arXiv 1604.06174): functions whose intermediate values are
//! recomputed in the backward pass instead of being kept.

use std::cell::Cell;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;

use tch::Tensor;
use torch_sys::C_tensor;

use crate::ffi::TensorList;
use crate::{LibtorchError, ffi};

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
}

/// While alive, networks on this thread checkpoint the functions that they can.
///
/// It changes nothing by itself: a network asks [`Checkpointing::is_on`] and calls
/// [`checkpoint`]. The backward pass runs outside the guard.
#[must_use = "checkpointing ends when the guard is dropped"]
#[derive(Debug)]
pub struct Checkpointing {
    was_on: bool,
    // Checkpointing is a property of the thread.
    not_send: PhantomData<*const ()>,
}

impl Checkpointing {
    /// Switches checkpointing on.
    pub fn on() -> Self {
        Self { was_on: ON.replace(true), not_send: PhantomData }
    }

    /// Whether a guard is alive on this thread.
    pub fn is_on() -> bool {
        ON.get()
    }
}

impl Drop for Checkpointing {
    fn drop(&mut self) {
        ON.set(self.was_on);
    }
}

/// The type of a checkpointed function behind its pointer.
type Function = Box<dyn Fn(&[Tensor]) -> Tensor + Send>;

/// Applies `function` to `inputs` and keeps only the inputs: the backward pass applies it again,
/// under the autocast of this call.
///
/// `parameters` are the tensors other than the inputs that `function` reads and whose gradients
/// are wanted; others get none. The second time it gets copies of the inputs without their
/// history, possibly on another thread. It must compute the same from the same tensors, so its
/// random numbers must be tensors that it holds. Its result can be differentiated once: a backward
/// pass that records a graph for second derivatives is refused.
///
/// As Python's `torch.utils.checkpoint`, but the gradients can also be requested
/// (`Tensor::run_backward`).
///
/// # Errors
/// [`LibtorchError::Call`] with libtorch's message, and where `function` panics.
pub fn checkpoint(
    inputs: &[&Tensor],
    parameters: &[Tensor],
    function: impl Fn(&[Tensor]) -> Tensor + Send + 'static,
) -> Result<Tensor, LibtorchError> {
    let function: Function = Box::new(function);
    let inputs: Vec<*const C_tensor> = inputs.iter().map(|input| input.as_ptr()).collect();
    let parameters = ffi::pointers(parameters);
    let mut result = null_mut();
    // SAFETY: the tensors live until the call returns. The shim takes ownership of the closure,
    // calls it from one thread at a time and drops it once; it is `Send` and `'static`, so it can
    // be kept in the graph and called by another thread. On success the shim has written an owned
    // tensor.
    unsafe {
        ffi::check(ffi::bauta_checkpoint(
            inputs.as_ptr(),
            inputs.len(),
            parameters.as_ptr(),
            parameters.len(),
            Box::into_raw(Box::new(function)).cast(),
            call,
            drop_function,
            &raw mut result,
        ))?;
        Ok(Tensor::from_ptr(result))
    }
}

/// Calls a function; null when it panics.
unsafe extern "C" fn call(
    function: *mut c_void,
    inputs: TensorList,
    count: usize,
) -> *mut C_tensor {
    // SAFETY: the pointer is that of `checkpoint`.
    let function = unsafe { &*function.cast::<Function>() };
    let inputs: &[*const C_tensor] = match count {
        // The pointer of an empty C++ list can be null.
        0 => &[],
        // SAFETY: there are `count` of them, and the tensors live until the call returns.
        _ => unsafe { std::slice::from_raw_parts(inputs, count) },
    };
    let apply = || {
        // SAFETY: the shim's tensor lives until the call returns; this makes another handle to it.
        let share = |&input: &*const C_tensor| unsafe { Tensor::clone_from_ptr(input.cast_mut()) };
        let inputs: Vec<Tensor> = inputs.iter().map(share).collect();
        function(&inputs)
    };
    match catch_unwind(AssertUnwindSafe(apply)) {
        // The shim takes ownership of the pointer.
        Ok(made) => ManuallyDrop::new(made).as_mut_ptr(),
        Err(_) => null_mut(),
    }
}

/// Drops a function that `checkpoint` has passed to the shim.
unsafe extern "C" fn drop_function(function: *mut c_void) {
    // SAFETY: the pointer is that of `checkpoint`, and the shim drops it once.
    drop(unsafe { Box::from_raw(function.cast::<Function>()) });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tch::{Device, Kind};

    use super::*;
    use crate::Autocast;
    use crate::tests::normal;

    /// Gradients of a scalar with regard to `inputs`.
    fn gradients(of: &Tensor, inputs: &[Tensor]) -> Vec<Tensor> {
        Tensor::run_backward(&[of], inputs, false, false)
    }

    fn layer(x: &Tensor, w: &Tensor) -> Tensor {
        let y = x.matmul(w);
        // The input is read twice, so that gradients are added.
        x + y.tanh() * &y
    }

    /// Input, weight, and a loss of two layers with the same weight.
    fn case(checkpointed: bool) -> (Vec<Tensor>, Tensor) {
        let x = normal("x", &[5, 4]).set_requires_grad(true);
        let w = normal("w", &[4, 4]).set_requires_grad(true);
        let apply = |x: &Tensor| match checkpointed {
            true => {
                let held = w.shallow_clone();
                let parameters = [w.shallow_clone()];
                checkpoint(&[x], &parameters, move |x| layer(&x[0], &held)).unwrap()
            }
            false => layer(x, &w),
        };
        let loss = (apply(&apply(&x)) * normal("weights", &[5, 4])).sum(Kind::Float);
        (vec![x, w], loss)
    }

    #[test]
    fn values_and_gradients_are_those_of_the_function() {
        let (inputs, wanted) = case(false);
        let (same, found) = case(true);
        assert_eq!(found, wanted);
        for (found, wanted) in gradients(&found, &same).iter().zip(gradients(&wanted, &inputs)) {
            assert_eq!(*found, wanted);
        }
    }

    #[test]
    fn they_are_so_under_autocast_whose_casts_serve_others_too() {
        let at = |checkpointed| {
            let guard = Autocast::bf16(Device::Cpu).unwrap();
            let (inputs, loss) = case(checkpointed);
            // The same weight outside the checkpointed function, cast with its gradient.
            let beside = normal("y", &[3, 4]).matmul(&inputs[1]).to_kind(Kind::Float);
            let loss = loss.to_kind(Kind::Float) + beside.sum(Kind::Float);
            drop(guard);
            (gradients(&loss, &inputs), loss)
        };
        let ((found, same), (wanted, loss)) = (at(true), at(false));
        assert_eq!(same, loss);
        for (found, wanted) in found.iter().zip(wanted) {
            // Without checkpointing, one cast serves all three products, and its gradients are
            // added in bfloat16.
            let off = (found - &wanted).abs().max().double_value(&[]);
            assert!(off < 0.02 * wanted.abs().max().double_value(&[]), "off by {off}");
        }
    }

    #[test]
    fn the_function_is_applied_again_and_dropped_with_the_graph() {
        let calls = Arc::new(AtomicUsize::new(0));
        let x = normal("x", &[3]).set_requires_grad(true);
        let counted = Arc::clone(&calls);
        let count = move |x: &[Tensor]| {
            counted.fetch_add(1, Ordering::Relaxed);
            &x[0] * &x[0]
        };
        let y = checkpoint(&[&x], &[], count).unwrap().sum(Kind::Float);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert_eq!(gradients(&y, &[x.shallow_clone()])[0], &x * 2.0);
        assert_eq!(calls.load(Ordering::Relaxed), 2);
        drop(y);
        assert_eq!(Arc::strong_count(&calls), 1);
    }

    #[test]
    fn what_wants_no_gradient_gets_none_and_nothing_is_kept_without_one() {
        let (x, w) = (normal("x", &[3, 2]), normal("w", &[2, 2]).set_requires_grad(true));
        let held = w.shallow_clone();
        let apply = move |x: &[Tensor]| x[0].matmul(&held) * &x[1];
        let scale = Tensor::from(2.0_f32).set_requires_grad(true);
        let parameters = [w.shallow_clone()];
        let y = checkpoint(&[&x, &scale], &parameters, apply).unwrap().sum(Kind::Float);
        let found = gradients(&y, &[w.shallow_clone()]);
        let rows = x.sum_dim_intlist([0].as_slice(), false, None) * 2.0;
        let off = (&found[0] - rows.unsqueeze(1)).abs().max().double_value(&[]);
        assert!(off < 1e-5, "off by {off}");
        let still = tch::no_grad(|| checkpoint(&[&x], &parameters, |x| x[0].shallow_clone()));
        assert!(!still.unwrap().requires_grad());
    }

    #[test]
    fn a_function_of_parameters_alone_needs_no_input() {
        let w = normal("w", &[3]).set_requires_grad(true);
        let (held, parameters) = (w.shallow_clone(), [w.shallow_clone()]);
        let y = checkpoint(&[], &parameters, move |_| held.square()).unwrap().sum(Kind::Float);
        assert_eq!(gradients(&y, &parameters)[0], &w * 2.0);
    }

    #[test]
    fn a_second_derivative_is_refused() {
        let x = normal("x", &[3]).set_requires_grad(true);
        let y = checkpoint(&[&x], &[], |x| x[0].square()).unwrap().sum(Kind::Float);
        let told = Tensor::f_run_backward(&[y], &[x], false, true).unwrap_err().to_string();
        assert!(told.contains("differentiated once"), "{told}");
    }

    #[test]
    fn a_panic_is_an_error() {
        let x = normal("x", &[3]);
        let told = checkpoint(&[&x], &[], |x| x[0].matmul(&Tensor::from(0))).unwrap_err();
        assert!(told.to_string().contains("panicked"), "{told}");
    }

    #[test]
    fn guards_nest_and_restore() {
        assert!(!Checkpointing::is_on());
        let outer = Checkpointing::on();
        drop(Checkpointing::on());
        assert!(Checkpointing::is_on());
        drop(outer);
        assert!(!Checkpointing::is_on());
    }
}
