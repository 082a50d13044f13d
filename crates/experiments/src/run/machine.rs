//! The device and the threads of this process.

use std::num::NonZero;

use anyhow::{Context, Result};
use bauta_eval::DeviceChoice;
use bauta_recipe::Device as Wanted;
use tch::Device;

/// The device that a recipe wants, or that is there.
///
/// # Errors
/// When CUDA is wanted and not there.
pub fn choose_device(wanted: Wanted) -> Result<Device> {
    match wanted {
        Wanted::Auto => Ok(DeviceChoice::Auto.choose()?),
        Wanted::Cpu => Ok(Device::Cpu),
        Wanted::Cuda => DeviceChoice::Cuda(0).choose().context("train.device is \"cuda\""),
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
