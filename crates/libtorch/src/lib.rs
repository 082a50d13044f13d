//! libtorch functions that `tch` does not expose.
//!
//! A thin C++ shim, compiled against the headers of the libtorch that `tch`
//! links: the fused steps of AdamW, Adam and SGD, multi-tensor norms and averages,
//! bfloat16 autocast on CPU and CUDA, gradient checkpointing, sums over processes (also during the
//! backward pass), and loading the CUDA backend at run time.
//! Each item names the libtorch function it wraps. In addition, [`normal`], [`uniform`] and
//! [`integers`] draw tensors of random numbers without a global generator.
//!
//! ```
//! use bauta_libtorch::{Autocast, global_norm};
//! use tch::{Device, Kind, Tensor};
//!
//! let a = Tensor::ones([8, 8], (Kind::Float, Device::Cpu));
//! assert_eq!(global_norm(&[a.shallow_clone()])?.double_value(&[]), 8.0);
//! let guard = Autocast::bf16(Device::Cpu)?;
//! assert_eq!(a.matmul(&a).kind(), Kind::BFloat16);
//! drop(guard);
//! assert_eq!(a.matmul(&a).kind(), Kind::Float);
//! # Ok::<(), bauta_libtorch::LibtorchError>(())
//! ```

mod attention;
mod autocast;
mod checkpoint;
mod ffi;
mod foreach;
mod fused;
mod gradient_means;
mod linear;
mod peak;
mod process_group;
mod random;
mod runtime;
#[cfg(test)]
mod tests;

pub use attention::attention;
pub use autocast::{Autocast, multiplies_bf16};
pub use checkpoint::{Checkpointing, checkpoint};
pub use foreach::{global_norm, lerp_all, scale_all};
pub use fused::{AdamStep, AdamTensors, SgdStep, SgdTensors, fused_adam, fused_adamw, fused_sgd};
pub use gradient_means::GradientMeans;
pub use linear::linear;
pub use peak::{matmul_peak, remembered_peak, synchronize};
pub use process_group::{ProcessGroup, Store, Sum};
pub use random::{integers, normal, uniform};
pub use runtime::{keep_freed_memory, load_cuda, on_one_thread, set_deterministic};

/// A call that libtorch refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LibtorchError {
    /// libtorch threw; the first line of its message.
    #[error("libtorch: {0}")]
    Call(String),
}
