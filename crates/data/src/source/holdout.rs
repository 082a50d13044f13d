//! A part of the samples that is held out for evaluation.

use std::sync::Arc;

use bauta_datasets::DataError;
use sha2::{Digest, Sha256};

use super::{Source, Subset};

/// Divides a source into a training part and a held-out part, as [`divide`] does.
pub(crate) fn hold_out(
    source: Arc<dyn Source>,
    key: impl Fn(usize) -> Vec<u8>,
    fraction: f64,
) -> Result<[Subset; 2], DataError> {
    let parts = divide(source.len(), source.classes(), |index| source.label(index), key, fraction)?;
    Ok(parts.map(|indices| Subset::new(Arc::clone(&source), indices)))
}

/// Divides `count` samples into a training part and a held-out part; returns the indices of both.
///
/// Whether a sample is held out depends only on its `key` (its path below the data's root) and
/// `fraction`: it stays so when other samples come or go or the folder moves, and a smaller
/// fraction holds out a subset of what a larger one does.
///
/// # Errors
/// [`DataError::Setting`] when the fraction is outside (0, 1), when it holds out nothing,
/// or when it leaves a class without training samples.
pub(crate) fn divide(
    count: usize,
    classes: &[String],
    label: impl Fn(usize) -> Option<u32>,
    key: impl Fn(usize) -> Vec<u8>,
    fraction: f64,
) -> Result<[Vec<usize>; 2], DataError> {
    let refuse = |rule: String| Err(DataError::setting("holdout", fraction, rule));
    if !(fraction > 0.0 && fraction < 1.0) {
        return refuse("must be in (0, 1)".to_owned());
    }
    let (held, kept): (Vec<usize>, Vec<usize>) =
        (0..count).partition(|&index| place(&key(index)) < fraction);
    if held.is_empty() || kept.is_empty() {
        let which = if held.is_empty() { "held out" } else { "left for training" };
        return refuse(format!(
            "of {count} samples, none would be {which}; choose another fraction"
        ));
    }
    let mut trained = vec![false; classes.len()];
    for label in kept.iter().filter_map(|&index| label(index)) {
        trained[label as usize] = true;
    }
    for label in held.iter().filter_map(|&index| label(index)) {
        if !trained[label as usize] {
            let class = &classes[label as usize];
            return refuse(format!("holds out all of class {class}; choose a smaller fraction"));
        }
    }
    Ok([kept, held])
}

/// The position of a key's hash in [0, 1).
pub(crate) fn place(key: &[u8]) -> f64 {
    let digest = Sha256::digest(key);
    let first = digest.iter().take(8).fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    // 53 bits, which an f64 holds exactly.
    (first >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::{InMemory, Statistics};

    fn source(count: usize, classes: u8) -> Arc<dyn Source> {
        let names = (0..classes).map(|class| class.to_string()).collect();
        let labels = (0..count).map(|i| (i % usize::from(classes)) as u8).collect();
        let pixels = vec![0; count];
        let source = InMemory::new("t", [1, 1, 1], pixels, labels, names, Statistics::MNIST);
        Arc::new(source.unwrap())
    }

    fn key(index: usize) -> Vec<u8> {
        format!("class/{index}.jpg").into_bytes()
    }

    proptest! {
        #[test]
        fn parts_never_overlap_and_what_is_held_out_stays_so(
            count in 200_usize..400, more in 0_usize..200, fraction in 0.1..0.8, wider in 0.0..0.1,
        ) {
            let [kept, held] = hold_out(source(count, 1), key, fraction).unwrap();
            let mut all = [kept.indices(), held.indices()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..count).collect::<Vec<_>>());
            // Images that are added later do not move the earlier ones.
            let [_, later] = hold_out(source(count + more, 1), key, fraction).unwrap();
            let old = later.indices().iter().filter(|&&index| index < count);
            prop_assert!(old.eq(held.indices()));
            let [_, wide] = hold_out(source(count, 1), key, fraction + wider).unwrap();
            prop_assert!(held.indices().iter().all(|index| wide.indices().contains(index)));
            // Five standard deviations of a binomial.
            let off = (held.indices().len() as f64 - fraction * count as f64).abs();
            prop_assert!(off < 5.0 * (fraction * (1.0 - fraction) * count as f64).sqrt());
        }
    }

    #[test]
    fn the_same_paths_are_held_out_for_ever() {
        // Values from Python's hashlib for the same keys.
        let held: Vec<usize> = (0..20).filter(|&index| place(&key(index)) < 0.2).collect();
        assert_eq!(held, [2, 5, 11, 15, 19]);
    }

    #[test]
    fn what_cannot_be_held_out_is_refused() {
        let error = |count, classes, fraction| {
            hold_out(source(count, classes), key, fraction).err().unwrap().to_string()
        };
        for fraction in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(error(100, 1, fraction).contains("(0, 1)"));
        }
        assert!(error(3, 1, 1e-9).contains("none would be held out"));
        assert!(error(3, 1, 1.0 - 1e-9).contains("left for training"));
        assert!(error(40, 40, 0.5).contains("all of class"));
    }
}
