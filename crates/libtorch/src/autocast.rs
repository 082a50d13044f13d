//! bfloat16 autocast on CPU and CUDA (`at::autocast`).

use std::ffi::c_int;
use std::marker::PhantomData;

use tch::Device;

use crate::{LibtorchError, ffi};

/// While alive, matrix products and attention of this thread run in bfloat16.
///
/// Wraps `at::autocast::set_autocast_enabled` and `set_autocast_dtype` of the
/// device type, as Python's `torch.autocast(device, torch.bfloat16)` does:
/// parameters stay in single precision and are cast once per outermost guard;
/// reductions and losses keep the precision of their operands. The backward pass
/// runs outside the guard.
#[must_use = "autocast ends when the guard is dropped"]
#[derive(Debug)]
pub struct Autocast {
    cuda: c_int,
    was_enabled: c_int,
    old_dtype: c_int,
    // Autocast is a property of the thread.
    not_send: PhantomData<*const ()>,
}

/// Whether a device multiplies bfloat16 natively: CUDA does, and CPUs with bfloat16 instructions.
///
/// Other CPUs widen every number first and are several times slower than in single precision.
pub fn multiplies_bf16(device: Device) -> bool {
    #[cfg(target_arch = "x86_64")]
    let cpu = std::arch::is_x86_feature_detected!("avx512bf16");
    #[cfg(target_arch = "aarch64")]
    let cpu = std::arch::is_aarch64_feature_detected!("bf16");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let cpu = false;
    device != Device::Cpu || cpu
}

impl Autocast {
    /// Switches bfloat16 autocast on for `device`'s type.
    ///
    /// # Errors
    /// [`LibtorchError::Call`] with libtorch's message.
    pub fn bf16(device: Device) -> Result<Self, LibtorchError> {
        let cuda = c_int::from(device.is_cuda());
        let (mut was_enabled, mut old_dtype) = (0, 0);
        // SAFETY: both out pointers are valid for the call.
        ffi::check(unsafe {
            ffi::bauta_autocast_enter(cuda, &raw mut was_enabled, &raw mut old_dtype)
        })?;
        Ok(Self { cuda, was_enabled, old_dtype, not_send: PhantomData })
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // SAFETY: plain values; restores what the constructor found.
        let answer =
            unsafe { ffi::bauta_autocast_exit(self.cuda, self.was_enabled, self.old_dtype) };
        debug_assert!(ffi::check(answer).is_ok(), "autocast was entered, so it can be left");
    }
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;

    #[test]
    fn guards_nest_and_restore() {
        let x = Tensor::ones([4, 4], (Kind::Float, Device::Cpu));
        let kind = || x.matmul(&x).kind();
        let outer = Autocast::bf16(Device::Cpu).unwrap();
        {
            let _inner = Autocast::bf16(Device::Cpu).unwrap();
            assert_eq!(kind(), Kind::BFloat16);
        }
        assert_eq!(kind(), Kind::BFloat16);
        drop(outer);
        assert_eq!(kind(), Kind::Float);
    }

    #[test]
    fn gradients_of_a_cast_product_are_in_single_precision() {
        let weight = Tensor::ones([4, 4], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let loss = {
            let _guard = Autocast::bf16(Device::Cpu).unwrap();
            weight.matmul(&weight).to_kind(Kind::Float).sum(Kind::Float)
        };
        loss.backward();
        assert_eq!(weight.grad().kind(), Kind::Float);
        assert_eq!(weight.grad().double_value(&[0, 0]), 8.0);
    }
}
