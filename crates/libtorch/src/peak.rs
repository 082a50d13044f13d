//! The machine's peak speed of matrix products, the reference for a step's speed.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tch::{Cuda, Device, Kind, Tensor};

use crate::linear;

/// Measures the operations per second of square matrix products, with the current threads.
///
/// Multiplies `size × size` matrices of `kind` once to warm up, then `rounds` times, and
/// returns the fastest. A product counts 2 · `size`³ operations. It is computed as a linear
/// layer ([`linear`]), and so by the fastest of libtorch's kernels.
///
/// # Panics
/// When `size` or `rounds` is 0.
pub fn matmul_peak(size: u32, kind: Kind, device: Device, rounds: u32) -> f64 {
    assert!(size > 0 && rounds > 0, "{rounds} products of {size} × {size} matrices");
    let sides = [i64::from(size); 2];
    // Values do not affect the speed, as long as none is denormal.
    let matrix = Tensor::linspace(-1.0, 1.0, sides[0] * sides[1], (Kind::Float, device));
    let [a, b] = [0, 1].map(|_| matrix.view(sides).to_kind(kind));
    let product = || linear(&a, &b, None).expect("square matrices fit");
    drop(product());
    let mut fastest = f64::INFINITY;
    for _ in 0..rounds {
        synchronize(device);
        let start = Instant::now();
        drop(product());
        synchronize(device);
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    2.0 * f64::from(size).powi(3) / fastest
}

/// Operations per second of large matrix products of a kind, with the current threads: measured
/// briefly by [`matmul_peak`] at the first call, then remembered in this process.
///
/// The value is too low if the machine does other work meanwhile.
pub fn remembered_peak(kind: Kind, device: Device) -> f64 {
    /// Kind, device and threads, and the operations per second.
    type Measured = ((Kind, Device, i32), f64);
    static MEASURED: Mutex<Vec<Measured>> = Mutex::new(Vec::new());
    let mut measured = MEASURED.lock().unwrap_or_else(PoisonError::into_inner);
    let of = (kind, device, tch::get_num_threads());
    if let Some((_, peak)) = measured.iter().find(|(known, _)| *known == of) {
        return *peak;
    }
    let size = if device == Device::Cpu { 1024 } else { 8192 };
    let peak = matmul_peak(size, kind, device, 3);
    measured.push((of, peak));
    peak
}

/// Waits until a device has finished all its work; does nothing for the CPU.
pub fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_what_some_machine_could_do() {
        for kind in [Kind::Float, Kind::BFloat16] {
            let peak = matmul_peak(128, kind, Device::Cpu, 2);
            assert!((1e6..1e15).contains(&peak), "{kind:?}: {peak} operations a second");
        }
    }

    #[test]
    fn a_remembered_peak_is_measured_once() {
        let first = remembered_peak(Kind::Float, Device::Cpu);
        assert_eq!(remembered_peak(Kind::Float, Device::Cpu), first);
        assert!((1e6..1e15).contains(&first), "{first} operations a second");
    }
}
