//! A grid over some of the weights, searched within a budget.
//!
//! With n weights of two levels, a full grid has 2ⁿ points, far beyond any budget for n = 29. So
//! the grid covers as many randomly chosen weights as fit; the others are fixed at one half. The
//! rest of the budget goes to random points of the full grid. Points that are evaluated again use up
//! a part of the budget: without repeats the grid is searched exhaustively, with repeats some of its
//! points may not be reached.

use bauta_streams::{Purpose, StreamKey};

/// The point at an index in 0..`budget`.
pub(crate) fn point(
    place: usize,
    dimensions: usize,
    levels: usize,
    budget: usize,
    seed: u64,
) -> Vec<f64> {
    let level = |level: usize| level as f64 / (levels - 1) as f64;
    let mut axes: Vec<usize> = (0..dimensions).collect();
    stream(seed, "axes of a grid", 0).shuffle(&mut axes);
    let mut points = 1_usize;
    let mut used = 0;
    while used < dimensions && points * levels <= budget {
        points *= levels;
        used += 1;
    }
    if place >= points {
        let mut stream = stream(seed, "rest of a grid", place);
        return (0..dimensions).map(|_| level(stream.below(levels as u64) as usize)).collect();
    }
    let mut order: Vec<usize> = (0..points).collect();
    stream(seed, "order of a grid", 0).shuffle(&mut order);
    let mut point = vec![0.5; dimensions];
    let mut rest = order[place];
    for &axis in &axes[..used] {
        point[axis] = level(rest % levels);
        rest /= levels;
    }
    point
}

fn stream(seed: u64, purpose: &str, place: usize) -> bauta_streams::RandomStream {
    let purpose = Purpose::named(purpose);
    StreamKey { seed, purpose, epoch: 0, sample: place as u64 }.stream()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_point_of_a_grid_that_fits_is_visited_once() {
        let visited: BTreeSet<String> =
            (0..9).map(|place| format!("{:?}", point(place, 2, 3, 9, 1))).collect();
        assert_eq!(visited.len(), 9);
    }

    #[test]
    fn of_many_weights_some_stand_at_one_half() {
        // 10 = 2³ + 2: three weights, then two points at random.
        let free = |place| point(place, 29, 2, 10, 1).iter().filter(|x| **x != 0.5).count();
        assert!((0..8).all(|place| free(place) == 3));
        assert!((8..10).all(|place| free(place) == 29));
    }
}
