//! Process-wide settings: the CUDA backend, determinism.

use std::ffi::c_int;
use std::sync::OnceLock;

use crate::{LibtorchError, ffi};

/// Loads libtorch's CUDA backend where it is installed; says whether it is there.
///
/// Programs link only the CPU libraries, so one binary serves both kinds of
/// machine. This opens `libtorch_cuda.so` with global symbols, which registers
/// the backend. Call it before anything asks for CUDA, because libtorch
/// remembers the first answer. Loading happens once.
pub fn load_cuda() -> bool {
    static LOADED: OnceLock<bool> = OnceLock::new();
    *LOADED.get_or_init(|| {
        use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
        // SAFETY: the library is libtorch's own; its initialisers register
        // kernels and are meant to run on load.
        match unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) } {
            Ok(library) => {
                // Kernels are registered for the rest of the process.
                std::mem::forget(library);
                true
            }
            Err(_) => false,
        }
    })
}

/// Makes the process keep the memory that it frees, for the next step's tensors.
///
/// Wraps glibc's `mallopt`: blocks of up to 32 MiB come from the heap
/// (`M_MMAP_THRESHOLD`), and the heap is not cut back (`M_TRIM_THRESHOLD`). Else
/// every step gives its tensors' pages back to the system and gets them again,
/// zeroed, one fault at a time. A program calls it at its start; elsewhere than
/// on glibc it does nothing.
pub fn keep_freed_memory() {
    // SAFETY: plain values.
    unsafe { ffi::bauta_keep_freed_memory() }
}

/// Asks libtorch for deterministic kernels where it has a choice
/// (`at::Context::setDeterministicAlgorithms`, warning where it has none).
///
/// # Errors
/// [`LibtorchError::Call`] with libtorch's message.
pub fn set_deterministic(enabled: bool) -> Result<(), LibtorchError> {
    // SAFETY: a plain value.
    ffi::check(unsafe { ffi::bauta_deterministic(c_int::from(enabled)) })
}
