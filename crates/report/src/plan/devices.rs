//! Kinds of devices, with their manufacturers' numbers.

use std::fmt;
use std::str::FromStr;

/// A kind of device to plan for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// NVIDIA H100 SXM5 with 80 GB, eight to a machine.
    H100,
    /// NVIDIA H200 SXM with 141 GB, eight to a machine.
    H200,
    /// NVIDIA A100 SXM4 with 80 GB, eight to a machine.
    A100,
    /// Machines like this one, with one process on each, connected by 10 Gbit/s Ethernet.
    Cpu,
}

/// Capabilities of a kind of device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Operations per second of dense matrix products in fp32, which Bauta does not round to TF32,
    /// and in bf16; `None` for a kind that must be measured.
    pub peaks: Option<[f64; 2]>,
    /// Bytes of its memory, if all devices of the kind have the same.
    pub memory: Option<f64>,
    /// Bytes per second that it sends to another device of its machine.
    pub within: f64,
    /// Bytes per second that it sends to a device of another machine, through its own adapter.
    pub between: f64,
    /// Devices in a machine.
    pub in_machine: u64,
    /// The share of the peak that training is assumed to reach, if nothing else is given.
    pub utilization: f64,
}

impl DeviceKind {
    /// All kinds, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::H100, Self::H200, Self::A100, Self::Cpu];

    /// The name that a command takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::H100 => "h100",
            Self::H200 => "h200",
            Self::A100 => "a100",
            Self::Cpu => "cpu",
        }
    }

    /// The capabilities of this kind.
    pub fn rates(self) -> Rates {
        // Products: datasheets of the H100 (SXM), H200 (SXM) and A100 80GB (SXM), without
        // sparsity: FP32, and BFLOAT16 Tensor Core. NVLink: half of the two-way rates of 900 and
        // 600 GB/s. Between machines: datasheets of the DGX H100, H200 and A100, an adapter of
        // 400 or 200 Gbit/s for each GPU.
        let hopper = Rates {
            peaks: Some([67e12, 989e12]),
            memory: Some(80e9),
            within: 450e9,
            between: 50e9,
            in_machine: 8,
            utilization: 0.3,
        };
        match self {
            Self::H100 => hopper,
            Self::H200 => Rates { memory: Some(141e9), ..hopper },
            Self::A100 => {
                Rates { peaks: Some([19.5e12, 312e12]), within: 300e9, between: 25e9, ..hopper }
            }
            Self::Cpu => Rates {
                peaks: None,
                memory: None,
                within: 1.25e9,
                between: 1.25e9,
                in_machine: 1,
                utilization: 0.6,
            },
        }
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DeviceKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|kind| kind.name()).collect();
            format!("the kinds of devices are {}", known.join(", "))
        })
    }
}
