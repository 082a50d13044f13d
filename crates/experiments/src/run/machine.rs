//! The device and the threads of this process.

use std::num::NonZero;

use anyhow::{Result, bail};
use bauta_recipe::Device as Wanted;
use tch::Device;

/// The device that is wanted, or that is there.
///
/// # Errors
/// When CUDA is wanted and not there.
pub fn choose_device(wanted: Wanted) -> Result<Device> {
    if wanted == Wanted::Cpu {
        return Ok(Device::Cpu);
    }
    let cuda = bauta_libtorch::load_cuda() && tch::Cuda::is_available();
    match wanted {
        Wanted::Cuda if !cuda => {
            bail!(
                "train.device is \"cuda\", but libtorch finds no CUDA device; see `cargo xtask doctor`"
            )
        }
        _ => Ok(if cuda { Device::Cuda(0) } else { Device::Cpu }),
    }
}

/// Gives libtorch its threads, every core for 0; they are part of a run's result (sums are
/// split by thread).
pub fn choose_threads(wanted: usize) -> usize {
    let threads = match wanted {
        0 => std::thread::available_parallelism().map_or(1, NonZero::get),
        threads => threads,
    };
    tch::set_num_threads(threads as i32);
    threads
}
