//! The sections of the report: weights and fitness over the generations, clusters, clips.

use anyhow::Result;
use bauta_eval::{Exhibit, PictureLayout, film_strips};
use bauta_evolve::{Generation, zipf_prior};
use bauta_recipe::{Elo as Settings, LEAST_WEIGHT};
use bauta_report::{Body, Section, Series, TableCell};

use super::clips::Clips;
use super::search::{Searched, Told};
use crate::run::Run;

/// Number of clips that are shown.
const SHOWN: usize = 8;

/// Number of weights that are drawn in one chart.
const DRAWN: usize = 7;

/// Adds the sections and pictures to the report; `sizes` are those of the final network's clusters,
/// unless it has collapsed.
pub(super) fn show(
    found: &Searched,
    sizes: Option<&[f64]>,
    clips: &Clips,
    settings: &Settings,
    run: &mut Run<'_>,
) -> Result<()> {
    let mut search = vec![weights(found, &clips.task_names())];
    if let Some(told) = &found.told {
        search.extend(courses(found, told));
        search.push(fitness(told));
        search.push(generations(told));
    }
    run.section(Section { title: "Search".to_owned(), body: search });
    if let Some(sizes) = sizes {
        let body = vec![clusters(sizes, settings)];
        run.section(Section { title: "Clusters".to_owned(), body });
    }
    let count = SHOWN.min(clips.test().labels.len());
    let shown = clips.pixels(clips.test(), 0..count);
    let layout = PictureLayout { columns: 1, min_height: 64, ..PictureLayout::default() };
    let labels = clips.test().labels[..count].iter();
    let names: Vec<&str> =
        labels.filter_map(|label| Some(clips.classes().get(*label as usize)?.as_str())).collect();
    let of = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    let caption = format!(
        "Test clips frame by frame, one clip per row{of}. The last {} frames are predicted from \
         those before them.",
        clips.sizes().future
    );
    run.show(Exhibit::new("clips.png", &film_strips(&shown, &layout)?, caption)?)
}

/// The weights of the final training.
fn weights(found: &Searched, tasks: &[&'static str]) -> Body {
    let row = |(&name, weight): (&&'static str, &f64)| -> Vec<TableCell> {
        let how =
            if found.told.is_some() && found.names.contains(&name) { "found" } else { "given" };
        vec![name.into(), (*weight).into(), how.into()]
    };
    Body::Table {
        head: ["task", "weight", ""].map(str::to_owned).to_vec(),
        rows: tasks.iter().zip(&found.weights).map(row).collect(),
        caption: format!(
            "Weight of each task in the final training; tasks below {LEAST_WEIGHT} were left out."
        ),
    }
}

/// The state of the search after each generation, a few weights per chart.
fn courses(found: &Searched, told: &Told) -> Vec<Body> {
    let names: Vec<(usize, &str)> = found.names.iter().copied().enumerate().collect();
    let chart = |names: &[(usize, &str)]| {
        let series = names.iter().map(|(place, name)| Series {
            name: (*name).to_owned(),
            points: told
                .search
                .history()
                .iter()
                .enumerate()
                .filter_map(|(at, told)| Some(((at + 1) as f64, *told.centre.get(*place)?)))
                .collect(),
        });
        Body::Curves {
            x: "generation".to_owned(),
            y: "weight".to_owned(),
            series: series.collect(),
            caption: "Position of the search: the mean of CMA-ES, otherwise the best candidate."
                .to_owned(),
        }
    };
    names.chunks(DRAWN).map(chart).collect()
}

/// Costs of the candidates over the generations.
fn fitness(told: &Told) -> Body {
    let series = |name: &str, of: fn(&Generation) -> Option<f64>| {
        let told = told.search.history().iter().enumerate();
        let points = told.filter_map(|(at, told)| Some(((at + 1) as f64, of(told)?))).collect();
        Series { name: name.to_owned(), points }
    };
    let failed = told.candidates.iter().filter(|one| one.cost.is_none()).count();
    Body::Curves {
        x: "generation".to_owned(),
        y: "KL from Zipf's law in nats".to_owned(),
        series: vec![series("mean", Generation::mean), series("best", Generation::best)],
        caption: format!(
            "Divergence of the cluster sizes from Zipf's law for the new candidates of each \
             generation; lower is fitter. {} evaluations, {failed} of which diverged, collapsed or \
             had no task.",
            told.search.evaluations()
        ),
    }
}

/// Candidates, costs and the step size of each generation.
fn generations(told: &Told) -> Body {
    let row = |(at, told): (usize, &Generation)| -> Vec<TableCell> {
        let number = |value: Option<f64>| value.map_or(TableCell::Empty, TableCell::from);
        let count = |count: usize| TableCell::from(count as f64);
        vec![
            count(at + 1),
            count(told.points.len()),
            count(told.repeats),
            count(told.failed()),
            number(told.best()),
            number(told.mean()),
            number(told.step),
        ]
    };
    let head = ["generation", "new", "again", "failed", "best", "mean", "step size"];
    Body::Table {
        head: head.map(str::to_owned).to_vec(),
        rows: told.search.history().iter().enumerate().map(row).collect(),
        caption: "Candidates of each generation: new ones, those evaluated again, new ones that \
                  diverged, collapsed or had no task, the best and the mean divergence in nats, \
                  and the step size of CMA-ES afterwards."
            .to_owned(),
    }
}

/// Sizes of the clusters of held-out clips next to Zipf's law.
fn clusters(sizes: &[f64], settings: &Settings) -> Body {
    let law = zipf_prior(sizes.len(), settings.search.exponent);
    let series = |name: &str, shares: &[f64]| Series {
        name: name.to_owned(),
        points: shares.iter().enumerate().map(|(at, share)| ((at + 1) as f64, *share)).collect(),
    };
    Body::Curves {
        x: "rank".to_owned(),
        y: "share of held-out clips".to_owned(),
        series: vec![series("clusters", sizes), series("Zipf's law", &law)],
        caption: "Soft sizes of the final network's clusters, from the largest to the smallest."
            .to_owned(),
    }
}
