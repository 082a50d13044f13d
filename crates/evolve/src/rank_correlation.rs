//! Spearman's rank correlation of two quantities (1904).

/// Spearman's rank correlation of pairs, in [−1, 1]: the correlation of ranks, where equal values
/// share their mean rank. `None` for fewer than three pairs, or if one side is constant.
///
/// ```
/// use bauta_evolve::rank_correlation;
/// assert_eq!(rank_correlation(&[(1.0, 10.0), (2.0, 11.0), (3.0, 500.0)]), Some(1.0));
/// assert_eq!(rank_correlation(&[(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]), Some(-1.0));
/// assert_eq!(rank_correlation(&[(1.0, 5.0), (2.0, 5.0), (3.0, 5.0)]), None);
/// ```
pub fn rank_correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    if pairs.len() < 3 {
        return None;
    }
    let one = ranks(pairs.iter().map(|pair| pair.0));
    let other = ranks(pairs.iter().map(|pair| pair.1));
    let mean = (pairs.len() + 1) as f64 / 2.0;
    let product = |a: &[f64], b: &[f64]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum()
    };
    let spread = (product(&one, &one) * product(&other, &other)).sqrt();
    (spread > 0.0).then(|| product(&one, &other) / spread)
}

/// Ranks from 1.
fn ranks(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let values: Vec<f64> = values.collect();
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count() as f64;
        let equal = values.iter().filter(|other| *other == value).count() as f64;
        below + (equal + 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_a_rank() {
        assert_eq!(ranks([3.0, 1.0, 3.0, 2.0].into_iter()), [3.5, 1.0, 3.5, 2.0]);
        // scipy.stats.spearmanr gives 0.9486832980505138.
        let found = rank_correlation(&[(1.0, 1.0), (2.0, 2.0), (3.0, 2.0), (4.0, 9.0)]).unwrap();
        assert!((found - 0.948_683_298_050_513_8).abs() < 1e-14, "{found}");
    }
}
