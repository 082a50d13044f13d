//! Held-out pairs, chosen by their captions, so that pictures of one caption stay together.

use std::collections::{BTreeMap, BTreeSet};

use bauta_datasets::DataError;

use super::Captioned;
use crate::source::holdout::place;

/// Divides pairs into those trained on and those held out; incomplete pairs are trained on, except
/// captions that are held out with a picture as well.
///
/// Whether a pair is held out depends only on its caption and the fraction, except that at least
/// one caption is held out and at least one is not.
///
/// # Errors
/// [`DataError::Setting`] when the fraction is outside (0, 1), or there are fewer than two
/// captions.
pub(super) fn divided(all: &Captioned, fraction: f64) -> Result<(Captioned, Captioned), DataError> {
    let refuse = |rule: String| Err(DataError::setting("holdout", fraction, rule));
    if !(fraction > 0.0 && fraction < 1.0) {
        return refuse("must be in (0, 1)".to_owned());
    }
    let mut by_caption: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut train = Vec::new();
    for (index, caption) in all.captions.iter().enumerate() {
        match caption.is_empty() {
            true => train.push(index),
            false => by_caption.entry(spoken(caption)).or_default().push(index),
        }
    }
    let mut placed: Vec<(f64, Vec<usize>)> =
        by_caption.into_iter().map(|(caption, of)| (place(caption.as_bytes()), of)).collect();
    placed.sort_by(|a, b| a.0.total_cmp(&b.0));
    let count = placed.len();
    if count < 2 {
        return refuse(format!("needs pictures with at least two captions, but there are {count}"));
    }
    let held = placed.iter().filter(|(place, _)| *place < fraction).count().clamp(1, count - 1);
    let kept = placed.split_off(held);
    train.extend(kept.into_iter().flat_map(|(_, of)| of));
    let mut test: Vec<usize> = placed.into_iter().flat_map(|(_, of)| of).collect();
    train.sort_unstable();
    test.sort_unstable();
    let test = Captioned { texts: Vec::new(), ..all.at(&test) };
    let held: BTreeSet<String> = test.captions.iter().map(|caption| spoken(caption)).collect();
    let mut train = all.at(&train);
    train.texts.retain(|text| !held.contains(&spoken(text)));
    Ok((train, test))
}

/// A caption without case, punctuation and spacing, which do not change its meaning.
fn spoken(caption: &str) -> String {
    let words = caption.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}
