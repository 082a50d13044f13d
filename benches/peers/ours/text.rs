//! Converts documents to tf-idf features: counts words, fits weights and applies them.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use bauta_data::text::Vectorizer;
use bauta_streams::{Purpose, StreamKey};

use crate::{Measurement, Setting};

/// Number of documents, words per document, and number of different words.
const DOCUMENTS: usize = 20_000;
const WORDS: usize = 130;
const VOCABULARY: f64 = 40_000.0;
/// Number of word ids.
const IDS: usize = 1 << 15;

fn path(shared: &Path) -> PathBuf {
    shared.join("documents.json")
}

/// Writes documents of words whose frequencies fall as their ranks rise.
pub fn write(shared: &Path) -> Result<()> {
    let document = |sample: usize| {
        let purpose = Purpose::named("bench documents");
        let mut stream = StreamKey { seed: 0, purpose, epoch: 0, sample: sample as u64 }.stream();
        let mut word = || {
            // Log-uniform ranks: Zipf's law.
            let rank = VOCABULARY.powf(stream.uniform_in(0.0, 1.0)) as usize;
            let capital = stream.below(8) == 0;
            format!("{}ord{rank}", if capital { 'W' } else { 'w' })
        };
        (0..WORDS).map(|_| word()).collect::<Vec<_>>().join(" ") + "."
    };
    let documents: Vec<String> = (0..DOCUMENTS).map(document).collect();
    let path = path(shared);
    fs::write(&path, serde_json::to_vec(&documents)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Times fitting and transforming all documents, once per step.
pub fn measure(setting: &Setting) -> Result<Measurement> {
    let path = path(&setting.shared);
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let documents: Vec<String> = serde_json::from_slice(&bytes)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(setting.threads).build()?;
    let mut seconds = Vec::new();
    for step in 0..=setting.steps.clamp(1, 5) {
        let start = Instant::now();
        let bags = pool
            .install(|| -> Result<_> { Ok(Vectorizer::fit(&documents, IDS)?.bags(&documents)) })?;
        black_box(bags);
        // The first step is a warm-up.
        if step > 0 {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    Ok(Measurement { seconds, unit: "documents", items: DOCUMENTS, losses: None, work: None })
}
