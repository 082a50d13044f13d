//! Photos from files to batches: decode, random resized crop to 224, flip.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use bauta_data::{Augment, DatasetName, Loader, LoaderConfig, Split, open};

use crate::photos::{self, COUNT};
use crate::{Measurement, Setting};

const BATCH: usize = 128;
const SIDE: usize = 224;

/// Times one stretch of batches, because batches that are prepared in parallel arrive in bursts.
///
/// The stretch is two passes or more. It starts after as many batches as the other side has under
/// way at its start, and both are multiples of the number of threads: PyTorch's workers finish a
/// batch each at about the same time.
pub fn measure(setting: &Setting) -> Result<Measurement> {
    let source =
        open(DatasetName::Folder, Split::Train, Path::new(&photos::root(&setting.shared)))?;
    let config = LoaderConfig { threads: setting.threads, ..LoaderConfig::new(BATCH, SIDE, SIDE) };
    // The defaults are those of MAE's pre-training, as the other side has them.
    let loader = Loader::new(source, Augment::default(), config)?;
    let timed = (2 * COUNT / BATCH).max(setting.steps).next_multiple_of(setting.threads);
    let warm_up = 2 * setting.threads;
    let mut batches = loader.batches(0..(warm_up + timed) as u64, |batch| batch);
    for _ in 0..warm_up {
        black_box(batches.next().transpose()?);
    }
    let start = Instant::now();
    for batch in batches {
        black_box(batch?);
    }
    let seconds = vec![start.elapsed().as_secs_f64()];
    Ok(Measurement { seconds, unit: "images", items: timed * BATCH, losses: None, work: None })
}
