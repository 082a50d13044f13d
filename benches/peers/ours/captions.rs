//! Converts captions to the ids of word pieces.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use bauta_data::text::{Ends, WordPieces, bert_vocabulary};
use bauta_data::{cache_root, fetched};
use bauta_streams::{Purpose, StreamKey};

use crate::{Measurement, Setting};

/// Number of captions, and ids of each.
const CAPTIONS: usize = 10_000;
const LENGTH: usize = 64;

/// Writes captions of 5 to 20 words, and bert-base-uncased's rules next to them.
pub fn write(shared: &Path) -> Result<()> {
    let folder = fetched(bert_vocabulary(), &cache_root()?)?;
    let from = folder.join("tokenizer.json");
    fs::copy(&from, shared.join("tokenizer.json"))
        .with_context(|| format!("cannot copy {}", from.display()))?;
    let words: Vec<String> = fs::read_to_string(folder.join("vocab.txt"))?
        .lines()
        .filter(|piece| piece.len() > 2 && piece.bytes().all(|byte| byte.is_ascii_lowercase()))
        .map(str::to_owned)
        .collect();
    let caption = |sample: usize| {
        let purpose = Purpose::named("bench captions");
        let mut stream = StreamKey { seed: 0, purpose, epoch: 0, sample: sample as u64 }.stream();
        let count = 5 + stream.below(16);
        // Every eighth word is two words joined, and so several pieces.
        let mut word = || {
            let mut one = || words[stream.below(words.len() as u64) as usize].clone();
            let first = one();
            if first.len() % 8 == 0 { first + &one() } else { first }
        };
        let mut text = (0..count).map(|_| word()).collect::<Vec<_>>().join(" ");
        text[..1].make_ascii_uppercase();
        text + "."
    };
    let captions: Vec<String> = (0..CAPTIONS).map(caption).collect();
    let path = shared.join("captions.json");
    fs::write(&path, serde_json::to_vec(&captions)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Times encoding all captions to a fixed length, once per step.
pub fn measure(setting: &Setting) -> Result<Measurement> {
    let path = setting.shared.join("captions.json");
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let captions: Vec<String> = serde_json::from_slice(&bytes)?;
    let captions: Vec<&str> = captions.iter().map(String::as_str).collect();
    let pieces = WordPieces::open(&setting.shared.join("tokenizer.json"))?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(setting.threads).build()?;
    let mut seconds = Vec::new();
    for step in 0..=setting.steps.clamp(1, 20) {
        let start = Instant::now();
        black_box(pool.install(|| pieces.encode_all(&captions, LENGTH, Ends::Bare))?);
        // The first step is a warm-up.
        if step > 0 {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    Ok(Measurement { seconds, unit: "captions", items: CAPTIONS, losses: None, work: None })
}
