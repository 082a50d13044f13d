//! A search with an ask-and-tell interface, for any method that proposes points.

use bauta_streams::{Purpose, StreamKey};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

use crate::cma::{CmaEs, usual_population};
use crate::error::EvolveError;
use crate::grid;
use crate::tournament::Tournament;

/// Number of good points that are kept for re-evaluation.
const ELITES: usize = 3;

/// Levels of a grid's weights: 0 and 1.
const LEVELS: usize = 2;

/// The method that proposes points.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Method {
    /// A normal distribution that adapts to the costs.
    CmaEs,
    /// Children of the best of small samples.
    Tournament,
    /// Zeros and ones for as many weights as the budget allows.
    Grid,
    /// Uniform in the box.
    Random,
}

/// Search space, method and budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchConfig {
    /// The method that proposes points.
    pub method: Method,
    /// Number of coordinates of a point, n, at least 1.
    pub dimensions: usize,
    /// Number of generations, at least 1.
    pub generations: u32,
    /// Points per generation, P, at least 2: new ones, and good ones that are evaluated again.
    pub population: usize,
    /// Initial step size of CMA-ES, σ₀, in (0, 1].
    pub step: f64,
    /// Number of evaluations after which a good point counts as reliable, at least 1. CMA-ES, which
    /// recommends no point of a generation, evaluates none again.
    pub repeats: u32,
    /// Seed of all draws.
    pub seed: u64,
}

impl SearchConfig {
    /// The published population 4 + ⌊3 ln n⌋, σ₀ of 0.25, three evaluations, seed 0.
    pub fn new(method: Method, dimensions: usize, generations: u32) -> Self {
        let population = usual_population(dimensions.max(1));
        Self { method, dimensions, generations, population, step: 0.25, repeats: 3, seed: 0 }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// The setting that is out of range.
    pub fn check(&self) -> Result<(), EvolveError> {
        let least = [
            ("dimensions", self.dimensions, 1),
            ("generations", self.generations as usize, 1),
            ("population", self.population, 2),
            ("repeats", self.repeats as usize, 1),
        ];
        for (name, value, least) in least {
            if value < least {
                return Err(EvolveError::setting(name, value, format!("must be at least {least}")));
            }
        }
        if !(self.step > 0.0 && self.step <= 1.0) {
            return Err(EvolveError::setting("step", self.step, "must be in (0, 1]"));
        }
        Ok(())
    }
}

/// A point to evaluate.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Its coordinates, each in [0, 1].
    pub point: Vec<f64>,
    /// Whether it has been evaluated before, and is evaluated again because it was good.
    pub again: bool,
}

/// A good point, with the costs of its evaluations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Elite {
    /// Its coordinates.
    pub point: Vec<f64>,
    /// Its costs, all finite, the first from the generation that proposed it.
    pub costs: Vec<f64>,
    /// The generation that proposed it, from 0.
    pub generation: u32,
}

impl Elite {
    /// Mean of its costs.
    pub fn cost(&self) -> f64 {
        self.costs.iter().sum::<f64>() / self.costs.len() as f64
    }
}

/// A generation's points and their costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// New points, each in [0, 1]ⁿ.
    pub points: Vec<Vec<f64>>,
    /// Their costs; `None` for a cost that was not finite, which is the worst of all.
    pub costs: Vec<Option<f64>>,
    /// Points that were evaluated again.
    pub repeats: usize,
    /// The position of the search afterwards: the mean of CMA-ES, otherwise the best point so far;
    /// empty if there is none.
    pub centre: Vec<f64>,
    /// Step size of CMA-ES afterwards.
    pub step: Option<f64>,
}

impl Generation {
    /// The lowest cost of the new points; `None` if none is finite.
    pub fn best(&self) -> Option<f64> {
        self.finite_costs().reduce(f64::min)
    }

    /// The mean of the finite costs of the new points; `None` if there is none.
    pub fn mean(&self) -> Option<f64> {
        let count = self.points.len() - self.failed();
        (count > 0).then(|| self.finite_costs().sum::<f64>() / count as f64)
    }

    /// Number of new points without a finite cost.
    pub fn failed(&self) -> usize {
        self.points.len() - self.finite_costs().count()
    }

    fn finite_costs(&self) -> impl Iterator<Item = f64> {
        self.costs.iter().flatten().copied()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Strategy {
    CmaEs(CmaEs),
    Tournament(Tournament),
    Grid,
    Random,
}

/// A search for the point of lowest cost in the box [0, 1]ⁿ.
///
/// A search that is serialized and read back continues exactly as it would have: all random numbers
/// are drawn from streams keyed by the seed, the generation and the position in it.
///
/// Costs are assumed to be noisy. The best new point of each generation is evaluated again in the
/// next ones until it has [`SearchConfig::repeats`] costs, and the winner is chosen by their mean,
/// so that a lucky draw does not win. Repeated evaluations take the place of new points, so that all
/// methods have equally many evaluations. CMA-ES [recommends](Self::recommended) its mean instead, and
/// evaluates no point again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    config: SearchConfig,
    strategy: Strategy,
    elites: Vec<Elite>,
    history: Vec<Generation>,
}

impl Search {
    /// A search before its first generation.
    ///
    /// # Errors
    /// As [`SearchConfig::check`].
    pub fn new(config: SearchConfig) -> Result<Self, EvolveError> {
        config.check()?;
        let strategy = match config.method {
            Method::CmaEs => Strategy::CmaEs(CmaEs::new(config.dimensions, config.step)),
            Method::Tournament => Strategy::Tournament(Tournament::default()),
            Method::Grid => Strategy::Grid,
            Method::Random => Strategy::Random,
        };
        Ok(Self { config, strategy, elites: Vec::new(), history: Vec::new() })
    }

    /// The settings of the search.
    pub fn config(&self) -> &SearchConfig {
        &self.config
    }

    /// The current generation, from 0.
    pub fn generation(&self) -> u32 {
        self.history.len() as u32
    }

    /// Whether all generations have their costs.
    pub fn is_over(&self) -> bool {
        self.generation() >= self.config.generations
    }

    /// The evaluated generations so far.
    pub fn history(&self) -> &[Generation] {
        &self.history
    }

    /// Number of costs so far.
    pub fn evaluations(&self) -> usize {
        self.history.iter().map(|told| told.points.len() + told.repeats).sum()
    }

    /// The points of the current generation: the new ones, then those that are evaluated again.
    /// They stay the same until [`Self::tell`] is called; empty when the search is over.
    pub fn ask(&self) -> Vec<Candidate> {
        if self.is_over() {
            return Vec::new();
        }
        let fresh = self.drawn().into_iter().map(|point| Candidate { point, again: false });
        let again = self
            .doubted()
            .map(|place| Candidate { point: self.elites[place].point.clone(), again: true });
        fresh.chain(again).collect()
    }

    /// Ends a generation with the costs of its points, in the order of [`Self::ask`]. A cost that
    /// is not finite is the worst of all.
    ///
    /// # Errors
    /// When the number of costs is not the number of points, or the search is over.
    pub fn tell(&mut self, costs: &[f64]) -> Result<(), EvolveError> {
        if self.is_over() {
            return Err(EvolveError::Over(self.config.generations));
        }
        let asked = self.ask();
        if asked.len() != costs.len() {
            return Err(EvolveError::Costs { found: costs.len(), expected: asked.len() });
        }
        let points: Vec<Vec<f64>> =
            asked.into_iter().filter(|one| !one.again).map(|one| one.point).collect();
        let (generation, seed) = (self.generation(), self.config.seed);
        let (costs, again) = costs.split_at(points.len());
        match &mut self.strategy {
            Strategy::CmaEs(distribution) => distribution.update(&points, costs),
            Strategy::Tournament(living) => living.update(&points, costs, seed, generation),
            Strategy::Grid | Strategy::Random => {}
        }
        self.judge(&points, costs, again);
        let step = match &self.strategy {
            Strategy::CmaEs(distribution) => Some(distribution.step),
            _ => None,
        };
        let centre = self.centre();
        let costs = costs.iter().map(|cost| cost.is_finite().then_some(*cost)).collect();
        self.history.push(Generation { points, costs, repeats: again.len(), centre, step });
        Ok(())
    }

    /// The point that the search recommends; `None` if no cost has been finite.
    ///
    /// For CMA-ES it is the mean of the distribution: only comparisons within a
    /// generation move it, so neither the noise of single costs nor what the candidates of a
    /// generation share decides. For the other methods it is the [winner](Self::winner).
    pub fn recommended(&self) -> Option<Vec<f64>> {
        self.winner()?;
        Some(self.centre())
    }

    /// The mean of CMA-ES, otherwise the best point so far; empty if there is none.
    fn centre(&self) -> Vec<f64> {
        match &self.strategy {
            Strategy::CmaEs(distribution) => distribution.centre(),
            _ => self.winner().map(|best| best.point.clone()).unwrap_or_default(),
        }
    }

    /// The point of the lowest mean cost among those evaluated often enough, or else most often;
    /// `None` if no cost has been finite.
    pub fn winner(&self) -> Option<&Elite> {
        let known = |elite: &Elite| elite.costs.len().min(self.config.repeats as usize);
        let best = |a: &&Elite, b: &&Elite| {
            known(b).cmp(&known(a)).then_with(|| a.cost().total_cmp(&b.cost()))
        };
        self.elites.iter().min_by(best)
    }

    /// New points as drawn by the method.
    fn drawn(&self) -> Vec<Vec<f64>> {
        let SearchConfig { dimensions, seed, generations, .. } = self.config;
        let generation = self.generation();
        let population = self.config.population - self.doubted().count();
        match &self.strategy {
            Strategy::CmaEs(distribution) => distribution.draw(population, seed, generation),
            Strategy::Tournament(living) => living.draw(population, dimensions, seed, generation),
            Strategy::Grid => {
                let first = self.history.iter().map(|told| told.points.len()).sum();
                let budget = generations as usize * self.config.population;
                let places = first..first + population;
                places.map(|place| grid::point(place, dimensions, LEVELS, budget, seed)).collect()
            }
            Strategy::Random => (0..population)
                .map(|place| {
                    let purpose = Purpose::named("candidates at random");
                    let (epoch, sample) = (u64::from(generation), place as u64);
                    let mut stream = StreamKey { seed, purpose, epoch, sample }.stream();
                    (0..dimensions).map(|_| stream.uniform_in(0.0, 1.0)).collect()
                })
                .collect(),
        }
    }

    /// Elites that are evaluated again in this generation; at least one of its points is new.
    fn doubted(&self) -> impl Iterator<Item = usize> {
        let repeats = match self.config.method {
            Method::CmaEs => 1,
            _ => self.config.repeats as usize,
        };
        (0..self.elites.len())
            .filter(move |&place| self.elites[place].costs.len() < repeats)
            .take(self.config.population - 1)
    }

    /// Adds the repeated costs to the elites, and the best new point to them.
    fn judge(&mut self, points: &[Vec<f64>], costs: &[f64], again: &[f64]) {
        let doubted: Vec<usize> = self.doubted().collect();
        for (&place, &cost) in doubted.iter().zip(again) {
            self.elites[place].costs.push(cost);
        }
        self.elites.retain(|elite| elite.costs.iter().all(|cost| cost.is_finite()));
        let generation = self.generation();
        let finite = costs.iter().zip(points).filter(|(cost, _)| cost.is_finite());
        if let Some((&cost, point)) = finite.min_by(|a, b| a.0.total_cmp(b.0)) {
            self.elites.push(Elite { point: point.clone(), costs: vec![cost], generation });
        }
        while self.elites.len() > ELITES {
            let kept = self.winner().cloned();
            let others = self.elites.iter().enumerate();
            let others = others.filter(|(_, elite)| Some(*elite) != kept.as_ref());
            let worst = others.max_by(|a, b| a.1.cost().total_cmp(&b.1.cost()));
            let Some((place, _)) = worst else { break };
            self.elites.remove(place);
        }
    }
}
