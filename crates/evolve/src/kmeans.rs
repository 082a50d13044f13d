//! k-means: Lloyd's iterations (1982) from centroids of k-means++ (Arthur and Vassilvitskii, 2007).

use bauta_streams::{Purpose, RandomStream, StreamKey};

use crate::error::EvolveError;
use crate::points::{Points, squared_distance};

/// Settings of the clustering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KMeansConfig {
    /// Number of clusters, k, at least 1.
    pub clusters: usize,
    /// Number of starts, at least 1; the one with the lowest inertia is kept.
    pub restarts: u32,
    /// Maximum number of iterations per start, at least 1; a start ends when no point changes its
    /// cluster.
    pub iterations: u32,
    /// Seed of the starts.
    pub seed: u64,
}

impl KMeansConfig {
    /// Four starts with at most 100 iterations each.
    pub fn new(clusters: usize, seed: u64) -> Self {
        Self { clusters, restarts: 4, iterations: 100, seed }
    }
}

/// The most frequent class of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Majority {
    /// The class; 0 for a cluster without points.
    pub class: usize,
    /// Number of the cluster's points that belong to it.
    pub points: usize,
}

/// Centroids, and the nearest one of each point.
#[derive(Clone, Debug, PartialEq)]
pub struct KMeans {
    centroids: Points,
    assignment: Vec<usize>,
    inertia: f64,
}

impl KMeans {
    /// Clusters points.
    ///
    /// # Errors
    /// When there are fewer points than clusters, or a setting is 0.
    pub fn fit(points: &Points, config: &KMeansConfig) -> Result<Self, EvolveError> {
        let least = [
            ("clusters", config.clusters),
            ("restarts", config.restarts as usize),
            ("iterations", config.iterations as usize),
        ];
        for (name, value) in least {
            if value == 0 {
                return Err(EvolveError::setting(name, 0, "must be at least 1"));
            }
        }
        if points.count() < config.clusters {
            let rule = format!("must be at most the number of points, {}", points.count());
            return Err(EvolveError::setting("clusters", config.clusters, rule));
        }
        let starts = (0..config.restarts).map(|start| {
            let purpose = Purpose::named("starts of k-means");
            let key = StreamKey { seed: config.seed, purpose, epoch: 0, sample: u64::from(start) };
            Self::run(points, config, &mut key.stream())
        });
        let better = |a: Self, b: Self| if b.inertia < a.inertia { b } else { a };
        Ok(starts.reduce(better).expect("there is a start"))
    }

    /// The centroids, k points.
    pub fn centroids(&self) -> &Points {
        &self.centroids
    }

    /// The cluster of each of the points that were clustered.
    pub fn assignment(&self) -> &[usize] {
        &self.assignment
    }

    /// The most frequent class among the points of each cluster, given the points' classes in
    /// order, each below `classes`; the first of equally frequent ones.
    ///
    /// # Panics
    /// When a class is not below `classes`.
    pub fn majorities(&self, of: impl IntoIterator<Item = usize>, classes: usize) -> Vec<Majority> {
        let mut votes = vec![0_usize; self.centroids.count() * classes];
        for (cluster, class) in self.assignment.iter().zip(of) {
            assert!(class < classes, "class {class} of {classes}");
            votes[cluster * classes + class] += 1;
        }
        let majority = |votes: &[usize]| {
            let class = (0..classes).rev().max_by_key(|&class| votes[class]).unwrap_or(0);
            Majority { class, points: votes[class] }
        };
        votes.chunks_exact(classes).map(majority).collect()
    }

    /// Sum of the squared distances from the nearest centroid.
    pub fn inertia(&self) -> f64 {
        self.inertia
    }

    /// The cluster whose centroid is nearest to a point; the first of equally near ones.
    pub fn nearest(&self, point: &[f32]) -> usize {
        nearest(&self.centroids, point).0
    }

    fn run(points: &Points, config: &KMeansConfig, stream: &mut RandomStream) -> Self {
        let mut centroids = seeds(points, config.clusters, stream);
        let mut assignment = vec![usize::MAX; points.count()];
        let mut inertia = 0.0;
        for _ in 0..config.iterations {
            let found: Vec<(usize, f32)> =
                points.rows().map(|row| nearest(&centroids, row)).collect();
            inertia = found.iter().map(|(_, distance)| f64::from(*distance)).sum();
            let next: Vec<usize> = found.iter().map(|(cluster, _)| *cluster).collect();
            if next == assignment {
                break;
            }
            assignment = next;
            centroids = means(points, &centroids, &assignment);
        }
        Self { centroids, assignment, inertia }
    }
}

/// k-means++: each further centroid is a point drawn with probability proportional to its squared
/// distance from the nearest centroid so far.
fn seeds(points: &Points, clusters: usize, stream: &mut RandomStream) -> Points {
    let first = stream.below(points.count() as u64) as usize;
    let mut values = points.row(first).to_vec();
    let mut distances: Vec<f32> =
        points.rows().map(|row| squared_distance(row, points.row(first))).collect();
    for _ in 1..clusters {
        let total: f64 = distances.iter().map(|distance| f64::from(*distance)).sum();
        let mut left = stream.uniform_in(0.0, total);
        // If all points lie on centroids, all distances are 0, and any point will do.
        let chosen = distances.iter().position(|distance| {
            left -= f64::from(*distance);
            left < 0.0
        });
        let chosen = match chosen {
            Some(chosen) => chosen,
            None => stream.below(points.count() as u64) as usize,
        };
        let centroid = points.row(chosen);
        values.extend(centroid);
        for (distance, row) in distances.iter_mut().zip(points.rows()) {
            *distance = distance.min(squared_distance(row, centroid));
        }
    }
    Points::new(values, points.dim()).expect("rows of points are a point each")
}

fn nearest(centroids: &Points, point: &[f32]) -> (usize, f32) {
    let distances = centroids.rows().map(|centroid| squared_distance(centroid, point)).enumerate();
    let nearer = |a: (usize, f32), b: (usize, f32)| if b.1 < a.1 { b } else { a };
    distances.reduce(nearer).expect("there is a centroid")
}

/// The mean of each cluster's points; a cluster without points keeps its centroid.
fn means(points: &Points, centroids: &Points, assignment: &[usize]) -> Points {
    let (k, dim) = (centroids.count(), points.dim());
    let (mut sums, mut counts) = (vec![0.0_f64; k * dim], vec![0_u32; k]);
    for (row, &cluster) in points.rows().zip(assignment) {
        counts[cluster] += 1;
        let sum = &mut sums[cluster * dim..][..dim];
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    let mean = |place: usize| {
        let (cluster, column) = (place / dim, place % dim);
        match counts[cluster] {
            0 => centroids.row(cluster)[column],
            count => (sums[place] / f64::from(count)) as f32,
        }
    };
    let values = (0..k * dim).map(mean).collect();
    Points::new(values, dim).expect("means of finite points are finite")
}
