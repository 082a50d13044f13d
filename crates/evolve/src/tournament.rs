//! Tournament selection (Goldberg and Deb, 1991): children of the best of small samples.
//!
//! A child replaces the worst of its sample. If it is no better than that, it replaces the oldest
//! point, so that a lucky draw of a noisy cost does not survive indefinitely (Real et al., arXiv
//! 1802.01548).

use bauta_streams::{Purpose, RandomStream, StreamKey};
use serde::{Deserialize, Serialize};

/// Number of living points.
const POPULATION: usize = 20;
/// Number of points that compete to be a parent.
const SAMPLE: usize = 5;
/// Standard deviation of a mutation of all coordinates.
const CHANGE: f64 = 0.1;

/// The living points, from the oldest to the youngest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tournament {
    living: Vec<Living>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Living {
    point: Vec<f64>,
    /// None for a cost that was not finite.
    cost: Option<f64>,
}

impl Living {
    /// Whether it has a lower cost; a non-finite cost is not lower than any.
    fn beats(&self, other: &Self) -> bool {
        match (self.cost, other.cost) {
            (Some(own), Some(other)) => own < other,
            (own, other) => own.is_some() && other.is_none(),
        }
    }
}

impl Tournament {
    /// Draws children of the living points; uniform points of the box while there are too few.
    pub(crate) fn draw(
        &self,
        population: usize,
        dimensions: usize,
        seed: u64,
        generation: u32,
    ) -> Vec<Vec<f64>> {
        let child = |place: usize| {
            let mut stream = stream(seed, generation, place);
            if self.living.len() < POPULATION {
                return (0..dimensions).map(|_| stream.uniform_in(0.0, 1.0)).collect();
            }
            let sample = self.sample(&mut stream);
            let mut point = self.living[self.best(&sample)].point.clone();
            if stream.uniform() < 0.5 {
                point[stream.below(dimensions as u64) as usize] = stream.uniform_in(0.0, 1.0);
            } else {
                point.iter_mut().for_each(|x| *x = (*x + CHANGE * stream.normal()).clamp(0.0, 1.0));
            }
            point
        };
        (0..population).map(child).collect()
    }

    /// Adds the children, each competing with the sample that its parent won.
    pub(crate) fn update(&mut self, drawn: &[Vec<f64>], costs: &[f64], seed: u64, generation: u32) {
        let grown = self.living.len() >= POPULATION;
        let losers: Vec<Living> = match grown {
            true => (0..drawn.len())
                .map(|place| {
                    let sample = self.sample(&mut stream(seed, generation, place));
                    self.living[self.worst(&sample)].clone()
                })
                .collect(),
            false => Vec::new(),
        };
        for (place, (point, cost)) in drawn.iter().zip(costs).enumerate() {
            let child = Living { point: point.clone(), cost: cost.is_finite().then_some(*cost) };
            if self.living.len() >= POPULATION {
                // Another child may have replaced it by now.
                let loser = losers.get(place).filter(|loser| child.beats(loser));
                let found = loser.and_then(|loser| self.living.iter().position(|one| one == loser));
                self.living.remove(found.unwrap_or(0));
            }
            self.living.push(child);
        }
    }

    fn sample(&self, stream: &mut RandomStream) -> Vec<usize> {
        (0..SAMPLE).map(|_| stream.below(self.living.len() as u64) as usize).collect()
    }

    fn best(&self, sample: &[usize]) -> usize {
        let better = |a: usize, b: usize| if self.living[b].beats(&self.living[a]) { b } else { a };
        sample.iter().copied().reduce(better).expect("a sample has points")
    }

    fn worst(&self, sample: &[usize]) -> usize {
        let worse = |a: usize, b: usize| if self.living[a].beats(&self.living[b]) { b } else { a };
        sample.iter().copied().reduce(worse).expect("a sample has points")
    }
}

fn stream(seed: u64, generation: u32, place: usize) -> RandomStream {
    let purpose = Purpose::named("candidates by tournament");
    StreamKey { seed, purpose, epoch: u64::from(generation), sample: place as u64 }.stream()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_child_goes_in_for_the_oldest_and_never_wins() {
        let mut tournament = Tournament::default();
        let first = tournament.draw(POPULATION, 2, 0, 0);
        let costs: Vec<f64> = (0..POPULATION).map(|place| place as f64).collect();
        tournament.update(&first, &costs, 0, 0);
        let children = tournament.draw(1, 2, 0, 1);
        tournament.update(&children, &[f64::NAN], 0, 1);
        assert_eq!(tournament.living.len(), POPULATION);
        assert_eq!(tournament.living[0].point, first[1], "the oldest has gone");
        let youngest = tournament.living.last().unwrap();
        assert!(tournament.living.iter().all(|one| !youngest.beats(one)));
    }
}
