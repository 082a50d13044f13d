//! Searches of known functions, compared with the crate `cmaes` and with each other; saved
//! searches.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use bauta_evolve::{EvolveError, Method, Search, SearchConfig};
use bauta_streams::{Purpose, StreamKey};
use cmaes::{CMAESOptions, DVector};
use proptest::prelude::*;

const METHODS: [Method; 4] = [Method::CmaEs, Method::Tournament, Method::Grid, Method::Random];

fn config(method: Method, dimensions: usize, generations: u32, seed: u64) -> SearchConfig {
    SearchConfig { seed, repeats: 1, ..SearchConfig::new(method, dimensions, generations) }
}

/// Number of new points evaluated until one costs at most `target`; all of them if none does.
fn evaluations(mut search: Search, target: f64, cost: impl Fn(&[f64]) -> f64) -> usize {
    let mut evaluated = 0;
    while !search.is_over() {
        let costs: Vec<f64> = search.ask().iter().map(|one| cost(&one.point)).collect();
        if let Some(place) = costs.iter().position(|cost| *cost <= target) {
            return evaluated + place + 1;
        }
        evaluated += costs.len();
        search.tell(&costs).unwrap();
    }
    evaluated
}

fn sphere(x: &[f64]) -> f64 {
    x.iter().map(|x| (x - 0.3).powi(2)).sum()
}

/// Rosenbrock's function on [0, 1]ⁿ, whose optimum is 0.75 in every coordinate.
fn rosenbrock(x: &[f64]) -> f64 {
    let x: Vec<f64> = x.iter().map(|x| 4.0 * x - 2.0).collect();
    x.windows(2).map(|p| 100.0 * (p[1] - p[0] * p[0]).powi(2) + (1.0 - p[0]).powi(2)).sum()
}

fn peer(dimensions: usize, target: f64, seed: u64, cost: fn(&[f64]) -> f64) -> usize {
    let function = move |x: &DVector<f64>| cost(x.as_slice());
    let mut search = CMAESOptions::new(vec![0.5; dimensions], 0.25)
        .fun_target(target)
        .max_function_evals(40_000)
        .seed(seed)
        .build(function)
        .unwrap();
    search.run();
    search.function_evals()
}

fn median(mut values: Vec<usize>) -> usize {
    values.sort_unstable();
    values[values.len() / 2]
}

/// The median over five seeds can be at most a third worse than that of the crate `cmaes`, which
/// also uses negative weights.
#[test]
fn cma_es_needs_no_more_evaluations_than_the_crate_cmaes() {
    for (name, dimensions, cost) in
        [("sphere", 10, sphere as fn(&[f64]) -> f64), ("rosenbrock", 5, rosenbrock)]
    {
        let target = 1e-8;
        let own = (0..5).map(|seed| {
            let search = Search::new(config(Method::CmaEs, dimensions, 4000, seed)).unwrap();
            evaluations(search, target, cost)
        });
        let (own, other) = (
            median(own.collect()),
            median((0..5).map(|seed| peer(dimensions, target, seed, cost)).collect()),
        );
        assert!(own < 30_000, "{name}: not solved");
        assert!(3 * own <= 4 * other, "{name}: {own} evaluations, cmaes needs {other}");
    }
}

/// A noisy cost whose best point lies partly on the border of the box.
fn noisy(x: &[f64], seed: u64) -> f64 {
    let sample = x.iter().fold(0_u64, |hash, x| hash.rotate_left(7) ^ x.to_bits());
    let key = StreamKey { seed, purpose: Purpose::named("noise"), epoch: 0, sample };
    let best = |i: usize| [0.0, 1.0, 0.2, 0.7][i % 4];
    let clean: f64 = x.iter().enumerate().map(|(i, x)| (x - best(i)).powi(2)).sum();
    clean + 0.05 * key.stream().normal()
}

fn clean_cost_found(method: Method, seed: u64) -> f64 {
    let dimensions = 12;
    let mut search =
        Search::new(SearchConfig { seed, ..SearchConfig::new(method, dimensions, 40) }).unwrap();
    while !search.is_over() {
        let asked = search.ask();
        assert!(asked.iter().all(|one| one.point.iter().all(|x| (0.0..=1.0).contains(x))));
        let generation = u64::from(search.generation());
        let costs: Vec<f64> =
            asked.iter().map(|one| noisy(&one.point, seed * 1000 + generation)).collect();
        search.tell(&costs).unwrap();
    }
    let evaluated = search.winner().unwrap().costs.len();
    assert_eq!(evaluated, if method == Method::CmaEs { 1 } else { 3 }, "{method}");
    distance(&search.recommended().unwrap())
}

/// Squared distance from the best point of [`noisy`].
fn distance(point: &[f64]) -> f64 {
    let wanted = |i: usize| [0.0, 1.0, 0.2, 0.7][i % 4];
    point.iter().enumerate().map(|(i, x)| (x - wanted(i)).powi(2)).sum()
}

/// All points of a generation share initial weights and batches, and so a part of their costs.
/// Means over generations of different luck rank points worse than comparisons within generations.
#[test]
fn costs_that_a_generation_shares_do_not_decide_what_cma_es_recommends() {
    for seed in 0..3 {
        let config = SearchConfig { seed, ..SearchConfig::new(Method::CmaEs, 12, 40) };
        let mut search = Search::new(config.clone()).unwrap();
        let mut plain = Search::new(config).unwrap();
        while !search.is_over() {
            let generation = u64::from(search.generation());
            let luck = if generation == 3 { -100.0 } else { 0.0 };
            for (search, shared) in [(&mut search, luck), (&mut plain, 0.0)] {
                let costs: Vec<f64> = search
                    .ask()
                    .iter()
                    .map(|one| noisy(&one.point, seed * 1000 + generation) + shared)
                    .collect();
                search.tell(&costs).unwrap();
            }
        }
        let [recommended, usual] = [&search, &plain].map(|search| search.recommended().unwrap());
        assert_eq!(recommended, usual);
        assert!(distance(&recommended) < 0.25, "{}", distance(&recommended));
        let winner = search.winner().unwrap();
        assert!(winner.generation <= 3, "{}", winner.generation);
        assert!(distance(&winner.point) > 2.0 * distance(&recommended));
    }
}

/// The mean of points that all lie on the border can be rounded to the wrong side of it.
#[test]
fn the_position_of_a_search_lies_in_the_box_even_on_its_border() {
    for seed in 0..6 {
        let mut search = Search::new(config(Method::CmaEs, 3, 40, seed)).unwrap();
        while !search.is_over() {
            let cost = |x: &[f64]| x[0] - x[1] + (x[2] - 0.3).powi(2);
            let costs: Vec<f64> = search.ask().iter().map(|one| cost(&one.point)).collect();
            search.tell(&costs).unwrap();
        }
        let recommended = search.recommended().unwrap();
        assert!(recommended[0] < 0.01 && recommended[1] > 0.99, "{recommended:?}");
        for centre in search.history().iter().map(|told| &told.centre).chain([&recommended]) {
            assert!(centre.iter().all(|x| (0.0..=1.0).contains(x)), "{centre:?}");
        }
    }
}

/// The crate `cmaes` has no bounds; it gets the usual penalty, which suits costs of about 1.
#[test]
fn in_a_noisy_box_cma_es_comes_as_near_as_the_crate_cmaes() {
    let seeds = 0..5;
    let own: f64 = seeds.clone().map(|seed| clean_cost_found(Method::CmaEs, seed)).sum();
    let other = |seed: u64| {
        let inside = |x: &[f64]| x.iter().map(|x| x.clamp(0.0, 1.0)).collect::<Vec<f64>>();
        let cost = move |x: &DVector<f64>| {
            let outside: f64 = x.iter().map(|x| (x - x.clamp(0.0, 1.0)).powi(2)).sum();
            noisy(&inside(x.as_slice()), seed) + 10.0 * outside
        };
        let options = CMAESOptions::new(vec![0.5; 12], 0.25).seed(seed).max_generations(40);
        let mut search = options.build(cost).unwrap();
        search.run();
        distance(&inside(search.mean().as_slice()))
    };
    let other: f64 = seeds.map(other).sum();
    assert!(3.0 * own <= 4.0 * other, "{own} from the best point in all, cmaes {other}");
}

#[test]
fn in_a_noisy_box_cma_es_beats_the_others_at_equal_evaluations() {
    let found = METHODS.map(|method| (0..5).map(|seed| clean_cost_found(method, seed)).collect());
    let [own, others @ ..]: [Vec<f64>; 4] = found;
    assert!(own.iter().all(|distance| *distance < 0.25), "{own:?}");
    let sum = |distances: &Vec<f64>| distances.iter().sum::<f64>();
    assert!(others.iter().all(|other| sum(&own) < sum(other)), "{own:?}, others {others:?}");
}

#[test]
fn a_search_that_is_saved_and_loaded_goes_on_alike() {
    for method in METHODS {
        let mut search = Search::new(SearchConfig::new(method, 5, 8)).unwrap();
        let mut other = search.clone();
        while !search.is_over() {
            let text = serde_json::to_string(&other).unwrap();
            other = serde_json::from_str(&text).unwrap();
            assert_eq!(other, search);
            let asked = search.ask();
            assert_eq!(other.ask(), asked);
            // One in five evaluations fails.
            let failed = |x: &[f64]| if x[0] < 0.2 { f64::NAN } else { sphere(x) };
            let costs: Vec<f64> = asked.iter().map(|one| failed(&one.point)).collect();
            search.tell(&costs).unwrap();
            other.tell(&costs).unwrap();
        }
        assert!(search.ask().is_empty());
        assert_eq!(search.tell(&[]), Err(EvolveError::Over(8)));
        assert!(search.winner().unwrap().point[0] >= 0.2, "{method}: a failed point wins");
    }
}

#[test]
fn a_lucky_draw_does_not_win() {
    let mut search = Search::new(SearchConfig::new(Method::Random, 2, 6)).unwrap();
    while !search.is_over() {
        let first = search.generation() == 0;
        let asked = search.ask();
        // The first point looks best once, and is always the worst afterwards.
        let cost = |(place, one): (usize, &bauta_evolve::Candidate)| match (first, place, one.again)
        {
            (true, 0, false) => -1.0,
            (false, _, true) if one.point == search.history()[0].points[0] => 100.0,
            _ => one.point[0],
        };
        let costs: Vec<f64> = asked.iter().enumerate().map(cost).collect();
        search.tell(&costs).unwrap();
    }
    let winner = search.winner().unwrap();
    assert_ne!(winner.point, search.history()[0].points[0]);
    // Repeated evaluations take the place of new points.
    assert!(search.history().iter().any(|one| one.repeats > 0));
    assert_eq!(search.evaluations(), 6 * search.config().population);
}

#[test]
fn a_generation_tells_its_best_its_mean_and_its_failures() {
    let mut search = Search::new(config(Method::Random, 2, 2, 0)).unwrap();
    let count = search.ask().len();
    let costs: Vec<f64> = (0..count).map(|at| if at == 0 { f64::NAN } else { at as f64 }).collect();
    search.tell(&costs).unwrap();
    search.tell(&vec![f64::INFINITY; count]).unwrap();
    let [first, second] = search.history() else { panic!("two generations were told") };
    let mean = count as f64 / 2.0;
    assert_eq!((first.best(), first.mean(), first.failed()), (Some(1.0), Some(mean), 1));
    assert_eq!((second.best(), second.mean(), second.failed()), (None, None, count));
}

#[test]
fn without_any_finite_cost_nothing_wins_and_nothing_moves() {
    let mut search = Search::new(SearchConfig::new(Method::CmaEs, 3, 2)).unwrap();
    let count = search.ask().len();
    search.tell(&vec![f64::INFINITY; count]).unwrap();
    assert!(search.winner().is_none() && search.recommended().is_none());
    assert_eq!(search.history()[0].centre, [0.5; 3]);
}

#[test]
fn what_cannot_be_is_refused() {
    let usual = SearchConfig::new(Method::CmaEs, 3, 2);
    let refused = |config: SearchConfig| Search::new(config).unwrap_err().to_string();
    let one = refused(SearchConfig { population: 1, ..usual.clone() });
    assert_eq!(one, "population is 1; it must be at least 2");
    let wide = refused(SearchConfig { step: f64::NAN, ..usual.clone() });
    assert_eq!(wide, "step is NaN; it must be in (0, 1]");
    assert!(Search::new(SearchConfig { dimensions: 0, ..usual.clone() }).is_err());
    assert!(Search::new(SearchConfig { generations: 0, ..usual.clone() }).is_err());
    let mut search = Search::new(usual).unwrap();
    let told = search.tell(&[1.0]).unwrap_err();
    assert_eq!(told, EvolveError::Costs { found: 1, expected: 7 });
    assert_eq!(search.generation(), 0);
}

proptest! {
    #[test]
    fn points_lie_in_the_box_whatever_they_cost(
        seed: u64,
        method in prop::sample::select(&METHODS[..]),
        costs in prop::collection::vec(prop::num::f64::ANY, 10 * 30),
    ) {
        let mut search = Search::new(config(method, 4, 10, seed)).unwrap();
        let mut costs = costs.into_iter();
        while !search.is_over() {
            let asked = search.ask();
            for one in &asked {
                prop_assert!(one.point.iter().all(|x| (0.0..=1.0).contains(x)), "{:?}", one.point);
            }
            search.tell(&costs.by_ref().take(asked.len()).collect::<Vec<_>>()).unwrap();
        }
    }

    /// Whatever the candidates cost, and in whichever generation the search is saved and read back.
    #[test]
    fn a_search_that_is_resumed_asks_for_the_same_points(
        seed: u64,
        method in prop::sample::select(&METHODS[..]),
        saved_at in 0_u32..10,
        costs in prop::collection::vec(prop::num::f64::ANY, 10 * 30),
    ) {
        let mut search = Search::new(SearchConfig { repeats: 3, ..config(method, 4, 10, seed) }).unwrap();
        let mut resumed = search.clone();
        let mut costs = costs.into_iter();
        while !search.is_over() {
            if search.generation() == saved_at {
                resumed = serde_json::from_str(&serde_json::to_string(&search).unwrap()).unwrap();
            }
            let asked = search.ask();
            prop_assert_eq!(&resumed.ask(), &asked);
            let costs: Vec<f64> = costs.by_ref().take(asked.len()).collect();
            search.tell(&costs).unwrap();
            resumed.tell(&costs).unwrap();
        }
        prop_assert_eq!(search.recommended(), resumed.recommended());
        prop_assert_eq!(search, resumed);
    }
}
