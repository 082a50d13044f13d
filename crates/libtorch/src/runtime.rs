//! Process-wide settings: the CUDA backend, determinism.

use std::cell::Cell;
use std::error::Error;
use std::ffi::c_int;
use std::sync::OnceLock;

use crate::{LibtorchError, ffi};

/// Loads libtorch's CUDA backend.
///
/// Programs link only the CPU libraries, so one binary serves machines with and
/// without CUDA. This opens `libtorch_cuda.so` with global symbols, which registers
/// the backend. Call it before any query for CUDA, because libtorch
/// remembers the first answer. Loading happens once.
///
/// # Errors
/// The loader's message, for example that this libtorch has no `libtorch_cuda.so`.
pub fn load_cuda() -> Result<(), &'static str> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    let loaded = LOADED.get_or_init(|| {
        use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
        // SAFETY: the library is libtorch's own; its initialisers register
        // kernels and are meant to run on load.
        let library = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) };
        // Kernels are registered for the rest of the process.
        library.map(std::mem::forget).map_err(|error| {
            // The loader's own words are the cause of "dlopen failed".
            error.source().map_or_else(|| error.to_string(), ToString::to_string)
        })
    });
    loaded.as_ref().copied().map_err(String::as_str)
}

/// Makes the process keep the memory that it frees, for the next step's tensors.
///
/// Wraps glibc's `mallopt`: blocks of up to 32 MiB come from the heap
/// (`M_MMAP_THRESHOLD`), and the heap is not trimmed (`M_TRIM_THRESHOLD`). Otherwise
/// every step returns its tensors' pages to the system and gets them back
/// zeroed, one page fault at a time. Call it at the start of a program; without
/// glibc it does nothing.
pub fn keep_freed_memory() {
    // SAFETY: plain values.
    unsafe { ffi::bauta_keep_freed_memory() }
}

/// Wraps a function so that it computes on the calling thread alone, whatever number of threads
/// libtorch has in the process; other threads keep theirs.
///
/// For functions that prepare inputs on their own threads during the training step: libtorch would
/// start a team of threads for each of them, which then waits, spinning, on the step's cores.
pub fn on_one_thread<A, T>(make: impl Fn(A) -> T) -> impl Fn(A) -> T {
    thread_local! {
        static DONE: Cell<bool> = const { Cell::new(false) };
    }
    move |argument| {
        if !DONE.replace(true) {
            // SAFETY: it takes and returns nothing.
            unsafe { ffi::bauta_one_thread_here() }
        }
        make(argument)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_thread_keeps_its_number() {
        tch::set_num_threads(2);
        let here = std::thread::spawn(|| on_one_thread(|()| tch::get_num_threads())(()));
        assert_eq!(here.join().expect("it does not panic"), 1);
        assert_eq!(tch::get_num_threads(), 2);
        let fresh = std::thread::spawn(tch::get_num_threads);
        assert_eq!(fresh.join().expect("it does not panic"), 2);
    }
}
