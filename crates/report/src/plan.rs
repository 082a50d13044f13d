//! Cost of training on a number of devices, computed from sizes before training.
//!
//! Every device computes its share of each batch, and gradients are averaged by a ring all-reduce:
//! each device sends 2(N − 1)/N times the bytes of all gradients, after the backward pass, as in
//! `bauta_train`. If the devices shard the optimiser's moments, each holds one Nth of them, and the
//! weights that it has updated go to all others down a binary tree. A step lasts as long as its
//! products at a share of the device's peak, plus that exchange at the rate of the slowest link.
//! Loading data, evaluation and start-up are not included.
//!
//! Memory is the most that training holds at once: weights, gradients, moments, averages and the
//! objective's own state, four bytes per value; and what the forward pass keeps, four bytes per
//! value in fp32 and two in bf16, although the residual stream stays in fp32, so the true number is
//! somewhat larger. It does not include libtorch itself, a kernel's workspace, inputs, frozen
//! teachers and the allocator's overhead.

mod devices;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::devices::{DeviceKind, Rates};
use crate::ReportError;

/// Sizes of a phase's steps, known before the first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepSizes {
    /// Name of the recipe.
    pub recipe: String,
    /// The phase, or the first of several of the same size.
    pub phase: String,
    /// Number of phases of this size.
    pub phases: u64,
    /// Optimiser steps of each.
    pub steps: u64,
    /// Samples in one forward pass, on all devices together.
    pub batch_size: u64,
    /// Forward passes in one step.
    pub accumulate: u64,
    /// Values in all parameters of the objective.
    pub parameters: u64,
    /// Values in the trained parameters.
    pub trained: u64,
    /// Values that the optimiser keeps.
    pub moments: u64,
    /// Whether several devices shard the moments, each passing on the weights that it has updated.
    pub sharded: bool,
    /// Values in averages of the weights and in the objective's own state.
    pub state: u64,
    /// Operations of the matrix products of one sample, forward and backward.
    pub operations: u64,
    /// Operations of one sample that are recomputed to save memory.
    pub again: u64,
    /// Values of one sample that the forward pass keeps for the backward pass.
    pub kept: u64,
    /// Whether products are computed in bf16, otherwise in fp32.
    pub bf16: bool,
    /// Operations per second of large products of that kind, measured on this machine.
    pub peak: f64,
}

/// Cost of training on one number of devices.
#[derive(Clone, Debug, PartialEq)]
pub struct DevicePlan {
    /// Number of devices.
    pub devices: u64,
    /// Samples in a forward pass on each device.
    pub samples: u64,
    /// Operations per step on each device.
    pub operations: f64,
    /// Bytes of weights, gradients, moments, state and kept values on each device.
    pub memory: [f64; 5],
    /// Bytes that each device sends per step.
    pub sent: f64,
    /// Seconds of a step's products.
    pub product_seconds: f64,
    /// Seconds of a step's exchange of gradients and weights.
    pub exchange_seconds: f64,
    /// Hours of all steps of all phases.
    pub hours: f64,
    /// Speed-up over one device, divided by the number of devices.
    pub scaling: f64,
}

/// Cost of training on several numbers of devices; displayed as a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    sizes: StepSizes,
    kind: DeviceKind,
    peak: f64,
    utilization: f64,
    columns: Vec<DevicePlan>,
}

impl Plan {
    /// Plans for these numbers of devices of a kind, which reach the fraction `utilization` of
    /// their peak, in (0, 1]; the kind's default if not given.
    ///
    /// # Errors
    /// [`ReportError::Plan`] for a number of devices that does not divide the batch, for a share
    /// outside its range, and for sizes without operations.
    pub fn new(
        sizes: StepSizes,
        kind: DeviceKind,
        utilization: Option<f64>,
        devices: &[u64],
    ) -> Result<Self, ReportError> {
        let refuse = |message: String| Err(ReportError::Plan(message));
        let rates = kind.rates();
        let utilization = utilization.unwrap_or(rates.utilization);
        if !(utilization > 0.0 && utilization <= 1.0) {
            return refuse(format!("utilization is {utilization}; it must be in (0, 1]"));
        }
        if sizes.operations == 0 {
            return refuse("the number of operations per step is unknown".to_owned());
        }
        if devices.is_empty() {
            return refuse("devices is empty; give at least one number".to_owned());
        }
        let batch = sizes.batch_size;
        if let Some(devices) = devices.iter().find(|&&n| n == 0 || !batch.is_multiple_of(n)) {
            return refuse(format!(
                "devices is {devices}; it must divide the {batch} samples of batch_size"
            ));
        }
        let peak = rates.peaks.map_or(sizes.peak, |peaks| peaks[usize::from(sizes.bf16)]);
        let one = sizes.on(1, rates, utilization * peak, None);
        let seconds = one.product_seconds;
        let plan = |&devices: &u64| sizes.on(devices, rates, utilization * peak, Some(seconds));
        let columns = devices.iter().map(plan).collect();
        Ok(Self { sizes, kind, peak, utilization, columns })
    }

    /// Whether some number of devices shards the moments.
    fn sharded(&self) -> bool {
        self.sizes.sharded && self.columns.iter().any(|column| column.devices > 1)
    }

    /// The cost for each number of devices.
    pub fn columns(&self) -> &[DevicePlan] {
        &self.columns
    }
}

impl StepSizes {
    /// The cost of training on `devices` devices with `speed` operations per second each, where one
    /// device alone takes `alone` seconds per step.
    fn on(&self, devices: u64, rates: Rates, speed: f64, alone: Option<f64>) -> DevicePlan {
        let samples = self.batch_size / devices;
        let a_sample = (self.operations + self.again) as f64;
        let operations = a_sample * (samples * self.accumulate) as f64;
        // A sum over forward passes needs a second copy of the gradients; the exchange is in place.
        let copies = 1 + u64::from(self.accumulate > 1);
        let kept_bytes = if self.bf16 { 2.0 } else { 4.0 };
        let memory = [
            4.0 * self.parameters as f64,
            4.0 * (copies * self.trained) as f64,
            4.0 * self.moments as f64 / if self.sharded { devices as f64 } else { 1.0 },
            4.0 * self.state as f64,
            kept_bytes * (self.kept * samples) as f64,
        ];
        let gradients = 4.0 * self.trained as f64;
        let others = (devices - 1) as f64 / devices as f64;
        let weights = if self.sharded { gradients } else { 0.0 };
        // The weights of each device are sent once per level of their tree.
        let levels = f64::from(devices.next_power_of_two().ilog2());
        let sent = others * (2.0 * gradients + weights);
        let link = if devices > rates.in_machine { rates.between } else { rates.within };
        let exchanged = 2.0 * others * gradients + levels * weights;
        let (product_seconds, exchange_seconds) = (operations / speed, exchanged / link);
        let step = product_seconds + exchange_seconds;
        DevicePlan {
            devices,
            samples,
            operations,
            memory,
            sent,
            product_seconds,
            exchange_seconds,
            hours: (self.phases * self.steps) as f64 * step / 3600.0,
            scaling: alone.map_or(1.0, |alone| alone / (devices as f64 * step)),
        }
    }
}

impl DevicePlan {
    /// Seconds of a step.
    pub fn step_seconds(&self) -> f64 {
        self.product_seconds + self.exchange_seconds
    }

    /// Bytes on each device in total.
    pub fn memory_bytes(&self) -> f64 {
        self.memory.iter().sum()
    }
}

/// A table for the terminal: a line for each quantity, a column for each number of devices.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StepSizes { recipe, phase, phases, steps, parameters, .. } = &self.sizes;
        let (kind, precision) = (self.kind, if self.sizes.bf16 { "bf16" } else { "fp32" });
        let a_sample = self.sizes.operations as f64 / 1e9;
        let samples = self.sizes.batch_size * self.sizes.accumulate;
        writeln!(f, "{recipe}, {phase}: {parameters} parameters, {a_sample:.3} GFLOP per sample")?;
        writeln!(f, "{phases} × {steps} steps of {samples} samples, {precision}, on {kind}\n")?;
        let mut line = |name: &str, value: &dyn Fn(&DevicePlan) -> String| {
            write!(f, "  {name:<24}")?;
            self.columns.iter().try_for_each(|column| write!(f, "{:>14}", value(column)))?;
            writeln!(f)
        };
        line("devices", &|column| column.devices.to_string())?;
        line("samples per device", &|column| column.samples.to_string())?;
        line("products of a step", &|column| format!("{:.4} TFLOP", column.operations / 1e12))?;
        let held = ["weights", "gradients", "moments", "averages, own state", "kept for backward"];
        for (place, name) in held.into_iter().enumerate() {
            line(name, &|column| bytes(column.memory[place]))?;
        }
        line("memory per device", &|column| bytes(column.memory_bytes()))?;
        line("sent in a step", &|column| bytes(column.sent))?;
        line("time of products", &|column| milliseconds(column.product_seconds))?;
        line("time of the exchange", &|column| milliseconds(column.exchange_seconds))?;
        line("time of a step", &|column| milliseconds(column.step_seconds()))?;
        line("hours", &|column| format!("{:.2}", column.hours))?;
        line("scaling", &|column| format!("{:.1} %", 100.0 * column.scaling))?;
        let Rates { within, between, in_machine, memory, .. } = self.kind.rates();
        let (share, peak) = (100.0 * self.utilization, self.peak / 1e12);
        let measured = if self.kind == DeviceKind::Cpu { ", measured here" } else { "" };
        writeln!(f, "\nAssumed: {share:.0} % of the peak of {peak:.2} TFLOP/s{measured};")?;
        writeln!(
            f,
            "gradients around a ring{} at {} GB/s within a machine of {in_machine}, {} GB/s between.",
            if self.sharded() { ", and weights down a tree," } else { "" },
            within / 1e9,
            between / 1e9
        )?;
        let most = self.columns.iter().map(DevicePlan::memory_bytes).fold(0.0, f64::max);
        match memory {
            Some(memory) if most > memory => writeln!(
                f,
                "More memory than the {} per device: train.checkpoint_blocks, a smaller \
                 train.batch_size with train.accumulate, or more devices need less, and several \
                 with train.shard_optimizer still less.",
                bytes(memory)
            )?,
            _ => {}
        }
        if self.kind != DeviceKind::Cpu && self.columns.iter().any(|column| column.devices > 1) {
            writeln!(
                f,
                "Bauta trains on one GPU or on several CPUs; several GPUs are not supported."
            )?;
        }
        Ok(())
    }
}

/// Decimal units, as datasheets count.
fn bytes(bytes: f64) -> String {
    if bytes < 1e9 { format!("{:.1} MB", bytes / 1e6) } else { format!("{:.2} GB", bytes / 1e9) }
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.3} ms", 1e3 * seconds)
}

#[cfg(test)]
mod tests;
