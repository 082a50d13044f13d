//! The held-out pairs: by their captions, so that pictures of one caption stay together.

use super::Captioned;
use crate::error::DataError;
use crate::source::holdout::divide;

/// Divides pairs into those trained on and those held out; halves of pairs are trained on.
///
/// # Errors
/// As [`divide`], and when no pair is whole.
pub(super) fn divided(all: &Captioned, fraction: f64) -> Result<(Captioned, Captioned), DataError> {
    let whole: Vec<usize> =
        (0..all.captions.len()).filter(|&index| !all.captions[index].is_empty()).collect();
    let halves = (0..all.captions.len()).filter(|&index| all.captions[index].is_empty());
    let key = |index: usize| spoken(&all.captions[whole[index]]).into_bytes();
    let [kept, held] = divide(whole.len(), &[], |_| None, key, fraction)?;
    let of = |places: Vec<usize>| places.into_iter().map(|place| whole[place]);
    let mut train: Vec<usize> = of(kept).chain(halves).collect();
    train.sort_unstable();
    let test: Vec<usize> = of(held).collect();
    Ok((all.at(&train), Captioned { texts: Vec::new(), ..all.at(&test) }))
}

/// A caption without what does not change what is said: case, marks and spaces.
fn spoken(caption: &str) -> String {
    let words = caption.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}
