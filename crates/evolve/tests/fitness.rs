//! The fitness on values computed by hand and on Gaussian blobs, and its invariants.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use bauta_evolve::{
    EvolveError, KMeans, KMeansConfig, Points, ZipfFitness, kl_divergence, soft_sizes, zipf_prior,
};
use bauta_streams::{Purpose, RandomStream, StreamKey};
use proptest::prelude::*;

fn stream(seed: u64, sample: u64) -> RandomStream {
    StreamKey { seed, purpose: Purpose::named("test"), epoch: 0, sample }.stream()
}

/// 1,500 points of 20 Gaussian classes in 32 dimensions, with standard deviation 1 around centres
/// of standard deviation `separation`.
fn blobs(separation: f64, shares: &[f64], seed: u64) -> Points {
    let (count, dim) = (1500, 32);
    let mut centres = stream(seed, 0);
    let centres: Vec<f64> =
        (0..shares.len() * dim).map(|_| separation * centres.normal()).collect();
    let mut draws = stream(seed, 1);
    let mut values = Vec::new();
    for _ in 0..count {
        let mut left = draws.uniform_in(0.0, 1.0);
        let class = shares.iter().position(|share| {
            left -= share;
            left < 0.0
        });
        let class = class.unwrap_or(shares.len() - 1);
        values.extend((0..dim).map(|i| (centres[class * dim + i] + draws.normal()) as f32));
    }
    Points::new(values, dim).unwrap()
}

fn divergences(separation: f64, shares: &[f64]) -> Vec<f64> {
    (0..3)
        .map(|seed| {
            let fitness = ZipfFitness::new(20, seed);
            fitness.measure(&blobs(separation, shares, seed)).unwrap().divergence
        })
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn the_values_of_the_law() {
    let zipf = zipf_prior(20, 1.0);
    assert!((1.0 / zipf[0] - 3.5977).abs() < 1e-4, "H(20, 1)");
    let mut one_hot = vec![0.0; 20];
    one_hot[0] = 1.0;
    let uniform = |count: usize| vec![1.0 / count as f64; count];
    for (p, q, expected) in [
        (uniform(20), zipf.clone(), 0.4014),
        (one_hot, zipf.clone(), 1.2803),
        (uniform(50), zipf_prior(50, 1.0), 0.5614),
        (zipf.clone(), zipf, 0.0),
    ] {
        let found = kl_divergence(&p, &q);
        assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
    }
}

/// The better classes with Zipf's sizes are separated, the lower the
/// divergence; separated classes of equal sizes have a higher one.
#[test]
fn the_fitness_rises_with_the_separation_of_zipf_sized_classes() {
    let zipf = zipf_prior(20, 1.0);
    let [none, some, much] = [0.0, 1.0, 4.0].map(|separation| divergences(separation, &zipf));
    let deviation = |values: &[f64]| {
        let mean = mean(values);
        (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2.0).sqrt()
    };
    let noise =
        [&none, &some, &much].map(|values| deviation(values)).into_iter().fold(0.0, f64::max);
    assert!(mean(&much) + 3.0 * noise < mean(&some), "{much:?} {some:?}");
    assert!(mean(&some) + 3.0 * noise < mean(&none), "{some:?} {none:?}");
    let even = divergences(4.0, &[0.05; 20]);
    assert!(mean(&even) > mean(&much) + 0.05, "{even:?} {much:?}");
}

#[test]
fn a_collapsed_representation_is_told_apart() {
    let mut draws = stream(0, 0);
    let same: Vec<f32> = (0..400 * 8).map(|_| 3.0 + 1e-4 * draws.normal() as f32).collect();
    let found = ZipfFitness::new(20, 0).measure(&Points::new(same, 8).unwrap()).unwrap();
    assert!(found.collapsed() && found.cost() == f64::INFINITY);
    // The divergence alone would not show the collapse.
    assert!(found.divergence < 0.45);
    let zero = ZipfFitness::new(20, 0).measure(&Points::new(vec![0.0; 800], 8).unwrap()).unwrap();
    assert!(zero.collapsed());
    assert!((zero.divergence - 0.4014).abs() < 1e-4, "even sizes");
    let fine = ZipfFitness::new(20, 0).measure(&blobs(1.0, &[0.05; 20], 0)).unwrap();
    assert!(!fine.collapsed() && fine.cost() == fine.divergence);
}

#[test]
fn k_means_finds_clusters_that_are_far_apart() {
    let values: Vec<f32> = (0..300)
        .flat_map(|i| {
            let centre = (i % 3) as f32 * 100.0;
            [centre + (i % 7) as f32, -centre]
        })
        .collect();
    let points = Points::new(values, 2).unwrap();
    let found = KMeans::fit(&points, &KMeansConfig::new(3, 0)).unwrap();
    for i in 0..300 {
        assert_eq!(found.assignment()[i], found.assignment()[i % 3]);
        assert_eq!(found.nearest(points.row(i)), found.assignment()[i]);
    }
    // 100 values from 0 to 6 have a variance of about 4.
    assert!((found.inertia() / 300.0 - 4.0).abs() < 0.1, "{}", found.inertia());
}

#[test]
fn what_cannot_be_clustered_is_refused() {
    assert_eq!(
        Points::new(vec![0.0, 1.0, f32::NAN, 3.0], 2),
        Err(EvolveError::NotFinite { sample: 1, value: 0 })
    );
    assert!(Points::new(Vec::new(), 2).is_err() && Points::new(vec![0.0; 3], 2).is_err());
    let points = Points::new(vec![0.0; 10], 1).unwrap();
    let few = ZipfFitness::new(20, 0).measure(&points).unwrap_err().to_string();
    assert_eq!(few, "clusters is 20; it must be at most the number of points, 10");
    let cold = ZipfFitness { temperature: 0.0, ..ZipfFitness::new(2, 0) };
    assert_eq!(
        cold.measure(&points).unwrap_err().to_string(),
        "temperature is 0; it must be above 0"
    );
    assert!(ZipfFitness { draws: 0, ..ZipfFitness::new(2, 0) }.check().is_err());
    assert!(ZipfFitness::new(1, 0).check().is_err());
    // Identical points can be clustered, into a single effective cluster.
    assert_eq!(KMeans::fit(&points, &KMeansConfig::new(3, 0)).unwrap().inertia(), 0.0);
}

fn arbitrary_points() -> impl Strategy<Value = Points> {
    prop::collection::vec(-3.0_f32..3.0, 40 * 3).prop_map(|values| Points::new(values, 3).unwrap())
}

proptest! {
    #[test]
    fn divergences_are_at_least_zero_and_priors_sum_to_one(
        sizes in prop::collection::vec(0.0_f64..1.0, 2..30), exponent in 0.0_f64..3.0,
    ) {
        let total: f64 = sizes.iter().sum::<f64>() + 1e-9;
        let p: Vec<f64> = sizes.iter().map(|size| (size + 1e-9 / sizes.len() as f64) / total).collect();
        let q = zipf_prior(p.len(), exponent);
        prop_assert!((q.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        prop_assert!(q.windows(2).all(|pair| pair[0] >= pair[1]));
        prop_assert!(kl_divergence(&p, &q) >= 0.0);
        prop_assert!(kl_divergence(&q, &q) < 1e-12);
    }

    #[test]
    fn soft_sizes_sum_to_one_and_sharpen_to_counts(points in arbitrary_points(), seed: u64) {
        let clusters = KMeans::fit(&points, &KMeansConfig::new(4, seed)).unwrap();
        let soft = soft_sizes(&points, clusters.centroids(), 1.0);
        prop_assert!((soft.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let mut counts = vec![0.0; 4];
        points.rows().for_each(|row| counts[clusters.nearest(row)] += 1.0 / 40.0);
        let hard = soft_sizes(&points, clusters.centroids(), 1e-7);
        // A point halfway between two centroids can count half for each.
        prop_assert!(hard.iter().zip(&counts).all(|(a, b)| (a - b).abs() < 0.03), "{hard:?} {counts:?}");
    }

    #[test]
    fn the_order_of_points_and_clusters_does_not_count(points in arbitrary_points(), seed: u64) {
        let mut draws = stream(seed, 0);
        let mut ordered = |points: &Points| -> (Vec<usize>, Points) {
            let mut order: Vec<usize> = (0..points.count()).collect();
            draws.shuffle(&mut order);
            let values = order.iter().flat_map(|at| points.row(*at)).copied().collect();
            (order, Points::new(values, points.dim()).unwrap())
        };
        let clusters = KMeans::fit(&points, &KMeansConfig::new(4, seed)).unwrap();
        let (order, centroids) = ordered(clusters.centroids());
        let sizes = soft_sizes(&points, clusters.centroids(), 1.0);
        let moved = soft_sizes(&ordered(&points).1, &centroids, 1.0);
        for (found, at) in moved.iter().zip(order) {
            prop_assert!((found - sizes[at]).abs() < 1e-12);
        }
        let [one, other] = [sizes, moved].map(|mut sizes| {
            sizes.sort_by(|a, b| b.total_cmp(a));
            kl_divergence(&sizes, &zipf_prior(4, 1.0))
        });
        prop_assert!((one - other).abs() < 1e-11, "{one} {other}");
    }

    #[test]
    fn the_fitness_is_blind_to_place_scale_and_turn(
        points in arbitrary_points(), scale in 0.5_f32..4.0, shift in -1.0_f32..1.0, angle in 0.0_f32..6.3,
    ) {
        let fitness = ZipfFitness { draws: 1, ..ZipfFitness::new(4, 7) };
        let (sine, cosine) = angle.sin_cos();
        let moved = points.rows().flat_map(|row| {
            let turned = [cosine * row[0] - sine * row[1], sine * row[0] + cosine * row[1], row[2]];
            turned.map(|x| x * scale + shift)
        });
        let moved = Points::new(moved.collect(), 3).unwrap();
        let (one, other) = (fitness.measure(&points).unwrap(), fitness.measure(&moved).unwrap());
        // Rounding can change a draw of k-means++, but rarely does.
        prop_assert!((one.divergence - other.divergence).abs() < 2e-2, "{one:?} {other:?}");
        prop_assert!(one.sizes.windows(2).all(|pair| pair[0] >= pair[1]));
    }
}
