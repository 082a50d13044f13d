//! The masks of a batch: drawn from the samples' streams, or computed from given noise.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, Result};
use bauta_masking::{Grid, MaskPlan, RandomMask};
use bauta_streams::{Purpose, StreamKey};

use crate::{Measurement, Setting};

const BATCH: usize = 256;
const RATIO: f64 = 0.75;

/// A plan takes about a millisecond, so this many are timed for each requested step.
const PLANS_A_STEP: usize = 10;
const WARM_UP: usize = 20;

/// Times plans; the variant is `draw-TOKENS` or `noise-TOKENS`.
pub fn measure(variant: &str, setting: &Setting) -> Result<Measurement> {
    let (how, tokens) = variant.split_once('-').context("a variant is HOW-TOKENS")?;
    let tokens: usize = tokens.parse()?;
    // 14 × 14 patches of an image, or of each of eight pairs of frames.
    let grid = Grid::new(tokens / 196, 14, 14)?;
    let strategy = RandomMask::new(grid, RATIO)?;
    let samples: Vec<u64> = (0..BATCH as u64).collect();
    let key = StreamKey { seed: 0, purpose: Purpose::named("noise"), epoch: 0, sample: 0 };
    let mut stream = key.stream();
    let noise: Vec<f32> = (0..BATCH * tokens).map(|_| stream.uniform()).collect();
    let mut seconds = Vec::new();
    for call in 0..WARM_UP + PLANS_A_STEP * setting.steps {
        let start = Instant::now();
        black_box(match how {
            "draw" => MaskPlan::draw(&strategy, 0, call as u64, &samples)?,
            _ => MaskPlan::from_noise(&noise, BATCH, RATIO)?,
        });
        if call >= WARM_UP {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    Ok(Measurement { seconds, unit: "samples", items: BATCH, losses: None, work: None })
}
