//! The results of a run: scores, sections of the report, the packed subnetworks.

use anyhow::{Context, Result};
use bauta_eval::{AccuracyMatrix, Metrics, Scores};
use bauta_recipe::ExSsNet as Settings;
use bauta_report::{Body, Section, Series, TableCell};
use bauta_supermask::{Learner, TaskUse};

use super::results::Results;
use super::settings::Method;
use super::stream::Stream;
use crate::run::Run;

/// Maximum number of curves in one drawing.
const CURVES: usize = 8;

/// Writes sections and packed subnetworks, and returns the scores.
pub(super) fn write(
    settings: &Settings,
    run: &mut Run<'_>,
    stream: &Stream,
    learner: &Learner,
    results: &Results,
) -> Result<Scores> {
    let methods = Method::of(settings);
    let (own, against) = methods.split_last().context("the recipe's own method is one")?;
    let matrix = |method: &Method| results.matrix(method.name()).context("it was measured");
    let uses = learner.capacity();
    let mut scores = Scores::from(matrix(own)?.metrics());
    scores.eval.extend(early(results, *own, stream.tasks.len()));
    scores.eval.extend(used(&uses, learner));
    for method in against {
        let mut metrics = matrix(method)?.metrics();
        metrics.extend(early(results, *method, stream.tasks.len()));
        scores.extend_baseline(method.name(), metrics);
    }

    run.section(matrices(&methods, stream, results)?);
    run.section(table(&methods, results)?);
    run.section(curves(*own, stream, results));
    if !uses.is_empty() {
        run.section(capacity(&uses, settings.mask.density, learner));
    }
    learner.export(&run.folder().join("subnetworks.safetensors"))?;
    run.explain(explanation(settings));
    Ok(scores)
}

/// Mean validation accuracy after the first epoch of all tasks but the first: how fast new
/// ones are learnt.
fn early(results: &Results, method: Method, tasks: usize) -> Metrics {
    let firsts = (1..tasks).filter_map(|task| results.curve(method.name(), task).first().copied());
    let firsts: Vec<f64> = firsts.collect();
    let mean = firsts.iter().sum::<f64>() / firsts.len().max(1) as f64;
    (!firsts.is_empty()).then_some(("first_epoch_accuracy", mean)).into_iter().collect()
}

fn used(uses: &[TaskUse], learner: &Learner) -> Metrics {
    let Some(last) = uses.last() else { return Metrics::new() };
    let later = uses.iter().skip(1).map(TaskUse::overlap);
    let overlap = later.sum::<f64>() / (uses.len() - 1).max(1) as f64;
    let bytes = learner.mask_bytes() as f64 / uses.len() as f64;
    let named = [
        ("overlap", overlap),
        ("last_free_share", last.free_share()),
        ("mask_bytes_per_task", bytes),
    ];
    named.into_iter().collect()
}

fn matrices(methods: &[Method], stream: &Stream, results: &Results) -> Result<Section> {
    let names: Vec<String> =
        (1..).zip(&stream.tasks).map(|(n, task)| format!("{n}: {}", task.name)).collect();
    let mut body = vec![Body::Text(
        "Test accuracy on each task (columns) after learning each task (rows). A column that \
         stays as it is down to the last row is not forgotten."
            .to_owned(),
    )];
    // Networks that never see two tasks in turn have no such matrix.
    let in_turn = |method: &&Method| !matches!(method, Method::Individual | Method::Joint);
    for method in methods.iter().rev().filter(in_turn) {
        let matrix = results.matrix(method.name()).context("it was measured")?;
        body.push(Body::Matrix {
            rows: names.clone(),
            columns: (1..=names.len()).map(|task| task.to_string()).collect(),
            values: matrix.rows().to_vec(),
            caption: method.name().to_owned(),
        });
    }
    Ok(Section { title: "Accuracy after each task".to_owned(), body })
}

fn table(methods: &[Method], results: &Results) -> Result<Section> {
    let row = |method: &Method| -> Result<Vec<TableCell>> {
        let matrix = results.matrix(method.name()).context("it was measured")?;
        let numbers = [
            AccuracyMatrix::average_accuracy,
            AccuracyMatrix::forgetting,
            AccuracyMatrix::backward_transfer,
        ]
        .map(|of| TableCell::from(of(&matrix)));
        Ok([method.name().into()].into_iter().chain(numbers).collect())
    };
    let head = ["method", "average accuracy", "forgetting", "backward transfer"];
    let joint = match methods.contains(&Method::Joint) {
        true => {
            " joint takes the tasks' batches in strict turn: the same total number of steps, but \
             equally many of each task, whatever its size."
        }
        false => "",
    };
    let body = vec![Body::Table {
        head: head.map(str::to_owned).to_vec(),
        rows: methods.iter().rev().map(row).collect::<Result<_>>()?,
        caption: format!(
            "The same network, data and number of epochs per task.{joint} Forgetting: best \
             accuracy before the last task less that after it. Backward transfer: accuracy after \
             the last task less that right after the task."
        ),
    }];
    Ok(Section { title: "Against other ways to learn".to_owned(), body })
}

fn curves(method: Method, stream: &Stream, results: &Results) -> Section {
    let tasks = stream.tasks.len();
    let shown = (0..tasks).step_by(tasks.div_ceil(CURVES));
    let series = shown.map(|task| {
        let epochs = (1..).map(f64::from).zip(results.curve(method.name(), task));
        Series {
            name: format!("{}: {}", task + 1, stream.tasks[task].name),
            points: epochs.collect(),
        }
    });
    let body = vec![Body::Curves {
        x: "epoch of the task".to_owned(),
        y: "validation accuracy".to_owned(),
        series: series.collect(),
        caption: format!("{}: the samples held out of training, after each epoch.", method.name()),
    }];
    Section { title: "Learning curves".to_owned(), body }
}

fn capacity(uses: &[TaskUse], density: f64, learner: &Learner) -> Section {
    let row = |(task, of_task): (usize, &TaskUse)| -> Vec<TableCell> {
        let expected = (1.0 - density).powi(task as i32);
        let numbers = [of_task.free_share(), expected, of_task.overlap()];
        let task: TableCell = (task + 1).to_string().into();
        [task].into_iter().chain(numbers.map(TableCell::from)).collect()
    };
    let head = ["task", "free share", "independent masks", "overlap"];
    let layers = uses[0].layers.iter().enumerate();
    let free = |layer: usize, of_task: &TaskUse| {
        let layer = &of_task.layers[layer];
        Some(layer.free as f64 / layer.kept as f64)
    };
    let n: usize = uses[0].layers.iter().map(|layer| layer.weights).sum();
    let bytes = learner.mask_bytes() / uses.len();
    let body = vec![
        Body::Text(format!(
            "Of the weights that a task's mask keeps, the share that no earlier mask keeps: what \
             ExSSNeT may train. The masks take {bytes} bytes per task, one bit for each of the {n} \
             weights."
        )),
        Body::Table {
            head: head.map(str::to_owned).to_vec(),
            rows: uses.iter().enumerate().map(row).collect(),
            caption: "Over all layers, and as independent masks of this density would leave it."
                .to_owned(),
        },
        Body::Matrix {
            rows: layers.clone().map(|(_, layer)| layer.layer.clone()).collect(),
            columns: (1..=uses.len()).map(|task| task.to_string()).collect(),
            values: layers
                .map(|(place, _)| uses.iter().map(|of_task| free(place, of_task)).collect())
                .collect(),
            caption: "Free share of each layer (rows) in each task (columns).".to_owned(),
        },
    ];
    Section { title: "Free capacity".to_owned(), body }
}

fn explanation(settings: &Settings) -> Vec<String> {
    let tasks = &settings.tasks;
    vec![
        "The task of each sample is known. Labels are each task's own, from 0.".to_owned(),
        format!(
            "The weights that were best on a held-out {} % of a task's training samples are \
             tested.",
            100.0 * tasks.validation
        ),
    ]
}
