//! Memory that checkpointed blocks save and time they cost: training steps of a ViT on whole
//! images, with checkpointing and without.
//!
//! Usage: `checkpoint_blocks [DEPTH] [DIM] [HEADS] [IMAGE] [PATCH] [BATCH]`, by default ViT-B/16 at
//! batch size 64. Prints the process's peak memory next to the size of the kept values according to
//! `StepCost`.

#![allow(clippy::print_stdout, reason = "a program talks to people")]

use std::error::Error;
use std::time::Instant;
use std::{env, fs};

use bauta_backbones::{Encode, Parameters, VisionTransformer, VitConfig};
use bauta_libtorch::{Checkpointing, keep_freed_memory, normal};
use bauta_streams::{Purpose, StreamKey};
use tch::{Device, Kind, Tensor};

/// Steps of each kind; the first is not timed.
const STEPS: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    keep_freed_memory();
    let mut sizes = [12, 768, 12, 224, 16, 64];
    for (size, given) in sizes.iter_mut().zip(env::args().skip(1)) {
        *size = given.parse()?;
    }
    let [depth, dim, heads, image, patch, batch] = sizes;
    let config = VitConfig::new(image, patch, dim, depth, heads);
    let mut parameters = Parameters::new(0, Device::Cpu);
    let encoder = VisionTransformer::new(parameters.root(), &config)?;
    let wanted: Vec<Tensor> = parameters.trainable().map(|p| p.tensor.shallow_clone()).collect();
    let key = StreamKey { seed: 0, purpose: Purpose::named("images"), epoch: 0, sample: 0 };
    let side = image as i64;
    let images = normal(&[batch as i64, 3, side, side], 1.0, &mut key.stream());
    let cost = config.step_cost(encoder.grid().tokens());
    // The variant with the smaller peak runs first: a process's peak memory never falls.
    for (name, checkpointed) in [("checkpointed", true), ("kept", false)] {
        let mut fastest = f64::INFINITY;
        for step in 0..STEPS {
            let start = Instant::now();
            let loss = {
                let _checkpointing = checkpointed.then(Checkpointing::on);
                encoder.encode(&images, Encode::whole())?.square().mean(Kind::Float)
            };
            drop(Tensor::run_backward(&[&loss], &wanted, false, false));
            if step > 0 {
                fastest = fastest.min(start.elapsed().as_secs_f64());
            }
        }
        let kept = if checkpointed { cost.kept - cost.spared } else { cost.kept };
        let (peak, kept) = (peak_memory()?, 4e-6 * (kept * batch as u64) as f64);
        println!(
            "{name}: {fastest:.3} s a step, peak {peak:.0} MB; {kept:.0} MB of values counted"
        );
    }
    Ok(())
}

/// The process's peak memory so far, in MB.
fn peak_memory() -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.ok_or("no peak in /proc/self/status")?.parse::<f64>()? * 1.024e-3)
}
