//! Class-balanced parts of a training split, for learning from few labels.
//!
//! Results on 1 % of the labels depend on which labels those are. Here the list is
//! determined by the labels and the seed alone: each class has its own order, and a
//! part takes the first samples of each. So parts with the same seed are nested: the
//! 1 % are among the 10 %.

use bauta_streams::{Purpose, StreamKey};

use crate::EvalError;

const PURPOSE: Purpose = Purpose::named("class-balanced subset");

/// Indices of `per_class` samples of each of `classes` classes, ascending.
///
/// `draw` numbers the independent draws of one seed.
///
/// ```
/// let labels = [0, 1, 0, 1, 0, 1, 0, 1];
/// let two_each = bauta_eval::class_balanced(&labels, 2, 2, 0, 0)?;
/// assert_eq!(two_each.iter().filter(|&&sample| labels[sample] == 1).count(), 2);
/// # Ok::<(), bauta_eval::EvalError>(())
/// ```
///
/// # Errors
/// [`EvalError::TooFew`] when a class has fewer samples; [`EvalError::Label`]
/// when a label lies outside 0..`classes`.
pub fn class_balanced(
    labels: &[i64],
    classes: usize,
    per_class: usize,
    seed: u64,
    draw: u64,
) -> Result<Vec<usize>, EvalError> {
    let mut members = vec![Vec::new(); classes];
    for (sample, &label) in labels.iter().enumerate() {
        match usize::try_from(label).ok().and_then(|class| members.get_mut(class)) {
            Some(class) => class.push(sample),
            None => {
                let (lowest, highest) = (label, label);
                let classes = classes as i64;
                return Err(EvalError::Label { split: "training", lowest, highest, classes });
            }
        }
    }
    enough(&members.iter().map(Vec::len).collect::<Vec<_>>(), per_class)?;
    let mut chosen = Vec::with_capacity(classes * per_class);
    for (class, mut members) in members.into_iter().enumerate() {
        let key = StreamKey { seed, purpose: PURPOSE, epoch: draw, sample: class as u64 };
        key.stream().shuffle(&mut members);
        chosen.extend_from_slice(&members[..per_class]);
    }
    chosen.sort_unstable();
    Ok(chosen)
}

/// Number of samples of each class in a class-balanced part of `percent` % of
/// `samples` samples, at least one.
pub fn per_class(samples: usize, classes: usize, percent: f64) -> usize {
    ((samples as f64 * percent / 100.0 / classes as f64).round() as usize).max(1)
}

/// Refuses training splits with fewer than `per_class` samples of a class, given
/// the number of samples of each class.
pub(crate) fn enough(counts: &[usize], per_class: usize) -> Result<(), EvalError> {
    match counts.iter().position(|&found| found < per_class) {
        Some(class) => Err(EvalError::TooFew { class, found: counts[class], wanted: per_class }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seven classes of unequal size, unordered.
    fn labels() -> Vec<i64> {
        (0..2000).map(|i: i64| i * 7919 % 101 % 11 % 7).collect()
    }

    #[test]
    fn parts_are_balanced_without_repeats() {
        let labels = labels();
        let chosen = class_balanced(&labels, 7, 30, 3, 0).unwrap();
        let mut distinct = chosen.clone();
        distinct.dedup();
        assert_eq!((distinct.len(), &distinct), (7 * 30, &chosen));
        for class in 0..7 {
            assert_eq!(chosen.iter().filter(|&&sample| labels[sample] == class).count(), 30);
        }
    }

    #[test]
    fn a_smaller_part_lies_within_a_larger_one() {
        let [few, many] = [3, 40].map(|n| class_balanced(&labels(), 7, n, 1, 0).unwrap());
        assert!(few.iter().all(|sample| many.contains(sample)));
    }

    #[test]
    fn the_list_follows_from_seed_and_draw_alone() {
        let list = |seed, draw| class_balanced(&labels(), 7, 5, seed, draw).unwrap();
        assert_eq!(list(0, 0), list(0, 0));
        assert_ne!(list(0, 0), list(1, 0));
        assert_ne!(list(0, 0), list(0, 1));
        let tenths: Vec<i64> = (0..1000).map(|i| i % 10).collect();
        let fixed = class_balanced(&tenths, 10, 1, 0, 0).unwrap();
        let published = [59, 286, 307, 480, 524, 533, 578, 811, 825, 892];
        assert_eq!(fixed, published, "published lists must not change");
    }

    #[test]
    fn parts_have_whole_classes() {
        assert_eq!(per_class(50_000, 10, 1.0), 50);
        assert_eq!(per_class(50_000, 10, 10.0), 500);
        assert_eq!(per_class(60_000, 10, 0.01), 1);
        assert_eq!(per_class(1_281_167, 1000, 1.0), 13);
        assert_eq!(per_class(30, 3, 100.0), 10);
    }

    #[test]
    fn classes_that_are_too_small_are_named() {
        let error = class_balanced(&[0, 1, 1], 2, 2, 0, 0).unwrap_err().to_string();
        assert_eq!(error, "class 0 has 1 training sample, 2 are needed of each class");
        let error = class_balanced(&[0, 1], 3, 1, 0, 0).unwrap_err().to_string();
        assert_eq!(error, "class 2 has 0 training samples, 1 is needed of each class");
        assert!(matches!(class_balanced(&[0, 3], 3, 1, 0, 0), Err(EvalError::Label { .. })));
        assert!(matches!(class_balanced(&[0, -1], 3, 1, 0, 0), Err(EvalError::Label { .. })));
    }
}
