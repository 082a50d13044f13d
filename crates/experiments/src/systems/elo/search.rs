//! The search of weights: each candidate is a phase, and the costs so far are in `search.json`.
//! With several processes, the first judges and searches, and sends the result to the others.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use bauta_evolve::{GroupedCorrelation, Method, Search, SearchConfig, grouped_rank_correlation};
use bauta_files::write_whole;
use bauta_recipe::{Elo as Settings, LEAST_WEIGHT, Train, WeightSearch};
use bauta_train::TrainError;
use serde::{Deserialize, Serialize};

use super::clips::Clips;
use super::{Elo, judge};
use crate::run::{Run, RunPhase};

/// The weights found, and the search for them.
pub(super) struct Searched {
    /// The weight of each task.
    pub(super) weights: Vec<f64>,
    /// Names of the weights that were searched, in the order of a point.
    pub(super) names: Vec<&'static str>,
    /// The search with its history; `None` if nothing was searched.
    pub(super) told: Option<Told>,
}

/// The search and the results of its candidates: the contents of `search.json`.
#[derive(Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) search: Search,
    /// The candidates of the finished generations, and those of the current one so far.
    pub(super) candidates: Vec<Judged>,
}

impl Told {
    /// Rank correlation of fitness and cluster purity, if clips have labels. Candidates of one
    /// generation share initial weights and batches; costs of different generations cannot be
    /// compared.
    pub(super) fn fitness_rank_correlation(&self) -> Option<GroupedCorrelation> {
        let generations = self.candidates.chunk_by(|one, next| one.generation == next.generation);
        let pairs: Vec<Vec<(f64, f64)>> = generations
            .map(|these| these.iter().filter_map(|one| Some((-one.cost?, one.purity?))).collect())
            .collect();
        grouped_rank_correlation(pairs.iter().map(Vec::as_slice))
    }
}

/// A candidate that was trained and judged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Judged {
    pub(super) generation: u32,
    /// `None` for one that diverged, collapsed, or had no task.
    pub(super) cost: Option<f64>,
    /// The share of clips that are of their cluster's most frequent class, if they have labels.
    pub(super) purity: Option<f64>,
    /// Sizes of its clusters, from the largest.
    pub(super) sizes: Vec<f64>,
}

/// The weights of a recipe; those that it does not give are searched.
pub(super) fn search(settings: &Settings, clips: &Clips, run: &mut Run<'_>) -> Result<Searched> {
    let tasks = clips.task_names();
    let given: Vec<Option<f64>> = {
        let by_name = settings.lambda.given();
        let weight = |name: &str| by_name.iter().find(|(known, _)| known == name);
        tasks.iter().map(|name| weight(name).and_then(|(_, weight)| *weight)).collect()
    };
    let names: Vec<&'static str> =
        tasks.into_iter().zip(&given).filter(|(_, w)| w.is_none()).map(|(n, _)| n).collect();
    let all = |point: &[f64]| -> Vec<f64> {
        let mut point = point.iter();
        given.iter().map(|w| w.unwrap_or_else(|| point.next().copied().unwrap_or(1.0))).collect()
    };
    let Some(method) = method(settings.search.method) else {
        return Ok(Searched { weights: all(&vec![1.0; names.len()]), names, told: None });
    };
    let mut told = run.by_first(|| begin(settings, method, names.len(), run))?;
    while !told.search.is_over() {
        let generation = told.search.generation();
        let asked = told.search.ask();
        let done = told.candidates.iter().filter(|one| one.generation == generation).count();
        for (place, candidate) in asked.iter().enumerate().skip(done) {
            let weights = all(&candidate.point);
            told.candidates.push(evaluate(
                settings,
                clips,
                weights,
                [generation, place as u32],
                run,
            )?);
            keep(&told, run)?;
        }
        let of_now = told.candidates.iter().filter(|one| one.generation == generation);
        let costs: Vec<f64> = of_now.map(|one| one.cost.unwrap_or(f64::INFINITY)).collect();
        told = run.by_first(|| {
            told.search.tell(&costs)?;
            keep(&told, run)?;
            tell_progress(&told.search);
            Ok(told)
        })?;
    }
    let best = told.search.recommended().context(
        "no candidate of the search could be judged: each diverged, collapsed or had no task; \
         lower train.base_lr or raise search.steps",
    )?;
    let weights = all(&best);
    ensure!(
        weights.iter().any(|weight| *weight >= LEAST_WEIGHT),
        "the search recommends weights below {LEAST_WEIGHT} for all tasks, so none would be \
         trained; give one of them a weight, or search with another seed"
    );
    Ok(Searched { weights, names, told: Some(told) })
}

/// Logs the costs of the last generation.
fn tell_progress(search: &Search) {
    let Some(told) = search.history().last() else { return };
    let costs = match told.best().zip(told.mean()) {
        Some((best, mean)) => format!("divergence {best:.4} at best, {mean:.4} on average"),
        None => "no candidate could be judged".to_owned(),
    };
    tracing::info!(
        "generation {} of {}: {costs}",
        search.generation(),
        search.config().generations
    );
}

fn method(named: WeightSearch) -> Option<Method> {
    match named {
        WeightSearch::CmaEs => Some(Method::CmaEs),
        WeightSearch::Tournament => Some(Method::Tournament),
        WeightSearch::Grid => Some(Method::Grid),
        WeightSearch::Random => Some(Method::Random),
        WeightSearch::None => None,
    }
}

fn begin(settings: &Settings, method: Method, dimensions: usize, run: &Run<'_>) -> Result<Told> {
    let table = &settings.search;
    let config = SearchConfig {
        population: table.population,
        step: table.step,
        repeats: table.repeats,
        seed: run.seed,
        ..SearchConfig::new(method, dimensions, table.generations)
    };
    let path = path(run);
    if path.is_file() {
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let told: Told = serde_json::from_str(&text)
            .with_context(|| format!("{} is incomplete; start the run again", path.display()))?;
        ensure!(
            *told.search.config() == config,
            "{} belongs to another search; start the run again",
            path.display()
        );
        return Ok(told);
    }
    Ok(Told { search: Search::new(config)?, candidates: Vec::new() })
}

fn path(run: &Run<'_>) -> PathBuf {
    run.folder().join("search.json")
}

/// Writes the search to its file, if this process is the one that writes.
fn keep(told: &Told, run: &Run<'_>) -> Result<()> {
    if !run.ranks().leads() {
        return Ok(());
    }
    let path = path(run);
    fs::create_dir_all(run.folder())
        .and_then(|()| write_whole(&path, &serde_json::to_vec(told)?))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Whether training ended because a loss or gradient was not finite.
pub(super) fn has_diverged(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(TrainError::NonFinite { .. }))
}

/// Trains networks with a candidate's weights, and has the first process judge them. The networks
/// of one generation have the same initial weights and batches.
fn evaluate(
    settings: &Settings,
    clips: &Clips,
    weights: Vec<f64>,
    [generation, place]: [u32; 2],
    run: &mut Run<'_>,
) -> Result<Judged> {
    let failed = Judged { generation, cost: None, purity: None, sizes: Vec::new() };
    if weights.iter().all(|weight| *weight < LEAST_WEIGHT) {
        return Ok(failed);
    }
    let train = Train {
        epochs: 1,
        warmup_epochs: 0.0,
        checkpoint_every: 0,
        milestones: Vec::new(),
        log_every: settings.search.steps,
        ..run.train.clone()
    };
    let name = format!("g{}-c{}", generation + 1, place + 1);
    let phase = RunPhase::new(&name, &train, settings.search.steps);
    let round = u64::from(generation) + 1;
    let mut system = Elo::new(settings, clips, weights, round)?;
    if let Err(error) = run.train(&phase, &mut system, clips.inputs(round)) {
        if !has_diverged(&error) {
            return Err(error);
        }
        run.abandon(phase.name())?;
        return Ok(failed);
    }
    run.by_first(|| {
        let judged = judge::judge(system.networks.rgb(), clips, &settings.search)?;
        let Some((fitness, purity)) = judged else { return Ok(failed) };
        let cost = Some(fitness.cost()).filter(|cost| cost.is_finite());
        Ok(Judged { cost, purity, sizes: fitness.sizes, ..failed })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bauta_recipe::TaskWeights;
    use bauta_targets::pretext::{TASKS, Task};

    /// A weight under another name would be searched although the recipe gives it.
    #[test]
    fn each_task_has_a_weight_of_its_name() {
        let weights = TaskWeights::default().given();
        let weights: BTreeSet<&str> = weights.iter().map(|(name, _)| &**name).collect();
        assert_eq!(weights, TASKS.map(Task::name).into_iter().collect());
    }
}
