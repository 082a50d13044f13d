//! Names of devices in commands and reports, and the number of threads.

use std::num::NonZero;
use std::str::FromStr;

use tch::Device;

use crate::EvalError;

/// `cpu` or `cuda:0`.
pub fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}

/// A device as commands name it: `auto`, `cpu`, `cuda` or `cuda:N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device if libtorch finds one, otherwise the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device with this number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = EvalError;

    fn from_str(name: &str) -> Result<Self, EvalError> {
        Ok(match name {
            "auto" => Self::Auto,
            "cpu" => Self::Cpu,
            "cuda" => Self::Cuda(0),
            _ => match name.strip_prefix("cuda:").and_then(|number| number.parse().ok()) {
                Some(number) => Self::Cuda(number),
                None => {
                    let message = "the device must be auto, cpu, cuda or cuda:N".to_owned();
                    return Err(EvalError::Unsuitable(message));
                }
            },
        })
    }
}

impl DeviceChoice {
    /// The device.
    ///
    /// # Errors
    /// [`EvalError::Unsuitable`] when the named CUDA device does not exist.
    pub fn choose(self) -> Result<Device, EvalError> {
        if self == Self::Cpu {
            return Ok(Device::Cpu);
        }
        let loaded = bauta_libtorch::load_cuda();
        let devices = match loaded {
            Ok(()) if tch::Cuda::is_available() => tch::Cuda::device_count(),
            _ => 0,
        };
        let Self::Cuda(number) = self else {
            return Ok(if devices > 0 { Device::Cuda(0) } else { Device::Cpu });
        };
        if (number as i64) < devices {
            return Ok(Device::Cuda(number));
        }
        Err(EvalError::Unsuitable(match (loaded, devices) {
            (Err(reason), _) => format!("no CUDA device can be used, because {reason}"),
            (Ok(()), 0) => "libtorch finds no CUDA device".to_owned(),
            (Ok(()), _) => {
                format!("there is no cuda:{number}; the last CUDA device is cuda:{}", devices - 1)
            }
        }))
    }
}

/// Sets the number of libtorch's threads, 0 for every core, and returns it. It affects a run's
/// result (sums are split by thread). To be called by programs, not libraries.
pub fn choose_threads(wanted: usize) -> usize {
    let threads = match wanted {
        0 => std::thread::available_parallelism().map_or(1, NonZero::get),
        threads => threads,
    };
    tch::set_num_threads(threads as i32);
    threads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_libtorchs_names() {
        let parsed = |name: &str| name.parse::<DeviceChoice>().ok();
        assert_eq!(parsed("auto"), Some(DeviceChoice::Auto));
        assert_eq!(parsed("cpu"), Some(DeviceChoice::Cpu));
        assert_eq!(parsed("cuda"), Some(DeviceChoice::Cuda(0)));
        assert_eq!(parsed("cuda:3"), Some(DeviceChoice::Cuda(3)));
        for wrong in ["", "gpu", "cuda:", "cuda:x", "CPU", "cuda:-1"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
        let none = DeviceChoice::Cuda(4096).choose().unwrap_err().to_string();
        assert!(none.contains("CUDA device"), "{none}");
    }
}
