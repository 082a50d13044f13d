//! Spearman's rank correlation of two quantities (1904).

/// Spearman's rank correlation of pairs, in [−1, 1]: the correlation of ranks, where equal values
/// share their mean rank. `None` for fewer than three pairs, or if one side is constant or holds a
/// NaN, which has no rank.
///
/// ```
/// use bauta_evolve::rank_correlation;
/// assert_eq!(rank_correlation(&[(1.0, 10.0), (2.0, 11.0), (3.0, 500.0)]), Some(1.0));
/// assert_eq!(rank_correlation(&[(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]), Some(-1.0));
/// assert_eq!(rank_correlation(&[(1.0, 5.0), (2.0, 5.0), (3.0, 5.0)]), None);
/// ```
pub fn rank_correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    if pairs.len() < 3 || pairs.iter().any(|(one, other)| one.is_nan() || other.is_nan()) {
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

/// A rank correlation within groups, and the level that chance reaches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupedCorrelation {
    /// Mean of the groups' rank correlations, weighted by N − 1, in [−1, 1].
    pub correlation: f64,
    /// The correlation that one in twenty random orders of the same groups exceeds, in (0, 1].
    pub chance: f64,
}

/// [Rank correlation](rank_correlation) of pairs that can only be compared within their group, such
/// as the costs of a generation. `None` if no group has a rank correlation.
///
/// In random order, the rank correlation of N pairs has variance 1 / (N − 1), so the weighted mean
/// has variance 1 / Σ(N − 1); the chance level is 1.645 of its standard deviations.
///
/// ```
/// use bauta_evolve::grouped_rank_correlation;
/// let rising = [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)];
/// let higher = rising.map(|(x, y)| (x + 9.0, y - 9.0));
/// assert_eq!(grouped_rank_correlation([&rising[..], &higher]).unwrap().correlation, 1.0);
/// ```
pub fn grouped_rank_correlation<'a>(
    groups: impl IntoIterator<Item = &'a [(f64, f64)]>,
) -> Option<GroupedCorrelation> {
    let (mut sum, mut freedom) = (0.0, 0.0);
    for pairs in groups {
        if let Some(correlation) = rank_correlation(pairs) {
            let weight = pairs.len() as f64 - 1.0;
            sum += weight * correlation;
            freedom += weight;
        }
    }
    (freedom > 0.0).then(|| GroupedCorrelation {
        correlation: sum / freedom,
        chance: (1.645 / freedom.sqrt()).min(1.0),
    })
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
    use bauta_streams::{Purpose, StreamKey};

    use super::*;

    #[test]
    fn equal_values_share_a_rank() {
        assert_eq!(ranks([3.0, 1.0, 3.0, 2.0].into_iter()), [3.5, 1.0, 3.5, 2.0]);
        // scipy.stats.spearmanr gives 0.9486832980505138.
        let found = rank_correlation(&[(1.0, 1.0), (2.0, 2.0), (3.0, 2.0), (4.0, 9.0)]).unwrap();
        assert!((found - 0.948_683_298_050_513_8).abs() < 1e-14, "{found}");
    }

    #[test]
    fn what_has_no_rank_has_no_correlation() {
        for pair in [(2.0, f64::NAN), (f64::NAN, 2.0)] {
            assert_eq!(rank_correlation(&[(1.0, 1.0), pair, (3.0, 3.0)]), None);
        }
        assert_eq!(rank_correlation(&[(1.0, 1.0), (2.0, 2.0), (3.0, f64::INFINITY)]), Some(1.0));
    }

    #[test]
    fn groups_weigh_by_their_pairs_less_one() {
        let rising = [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)];
        let falling = [(1.0, 5.0), (2.0, 4.0), (3.0, 3.0), (4.0, 2.0), (5.0, 1.0)];
        let (two, constant) = ([(0.0, 0.0), (1.0, 1.0)], [(1.0, 0.0), (1.0, 1.0), (1.0, 2.0)]);
        let found = grouped_rank_correlation([&rising[..], &two, &falling, &constant]).unwrap();
        assert!((found.correlation - (2.0 - 4.0) / 6.0).abs() < 1e-15, "{found:?}");
        assert!((found.chance - 1.645 / 6_f64.sqrt()).abs() < 1e-15, "{found:?}");
        assert_eq!(grouped_rank_correlation([&two[..], &constant]), None);
    }

    /// Groups of unequal sizes in random order.
    #[test]
    fn one_random_order_in_twenty_exceeds_the_chance_level() {
        let purpose = Purpose::named("test");
        let exceeds = |sample: u64| {
            let mut draws = StreamKey { seed: 7, purpose, epoch: 0, sample }.stream();
            let groups = [6, 7, 13].map(|count| -> Vec<(f64, f64)> {
                (0..count).map(|_| (draws.normal(), draws.normal())).collect()
            });
            let found = grouped_rank_correlation(groups.iter().map(Vec::as_slice)).unwrap();
            found.correlation > found.chance
        };
        let share = (0..4_000).filter(|sample| exceeds(*sample)).count() as f64 / 4_000.0;
        assert!((share - 0.05).abs() < 0.012, "{share}");
    }
}
