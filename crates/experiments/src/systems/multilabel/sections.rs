//! The sections of the report on labels, policies and documents.

use bauta_multilabel::{LabelCounts, PrecisionRecall, label_counts};
use bauta_recipe::Multilabel as Settings;
use bauta_report::{Body, Section, Series, TableCell};

use super::Multilabel;
use super::documents::Texts;
use super::measures::{Decided, Measured, host};
use crate::run::Run;

/// Number of labels whose thresholds and weights are drawn, from the most to the least frequent.
const DRAWN: usize = 6;
/// Number of characters of a document that are shown.
const BEGINNING: usize = 160;
/// Number of points of a curve that are drawn.
const POINTS: usize = 150;

/// The measurements.
pub(super) struct Findings<'a> {
    pub(super) texts: &'a Texts,
    pub(super) test: &'a Measured,
    /// The policies' decisions first, then those of 0.5.
    pub(super) decided: &'a [Decided],
    pub(super) thresholds: &'a [f32],
    pub(super) last: &'a Multilabel,
    pub(super) teacher: Option<&'a Multilabel>,
}

/// Adds the sections to the report.
pub(super) fn show(findings: &Findings<'_>, settings: &Settings, run: &mut Run<'_>) {
    run.section(section("Labels", vec![frequency(findings), labels(findings), curve(findings)]));
    let mut policies = Vec::new();
    let learning = findings.teacher.map(|teacher| ("while they are learnt", teacher));
    for (when, system) in learning.into_iter().chain([("in the final training", findings.last)]) {
        policies.extend(course(findings, system, when));
    }
    run.section(section("Policies", policies));
    run.section(section("Documents", vec![corpus(findings.texts), documents(findings, settings)]));
}

fn section(title: &str, body: Vec<Body>) -> Section {
    Section { title: title.to_owned(), body }
}

/// The number of training documents of each label.
fn trained(texts: &Texts) -> Vec<f64> {
    let documents = texts.corpus.train.len() as f64;
    texts.corpus.prevalence().iter().map(|share| (share * documents).round()).collect()
}

fn counts(findings: &Findings<'_>, name: &str) -> Option<Vec<LabelCounts>> {
    let found = findings.decided.iter().find(|decided| decided.name == name)?;
    Some(label_counts(findings.test.truth.view(), found.decisions.view()))
}

/// F1 of each label against its frequency.
fn frequency(findings: &Findings<'_>) -> Body {
    let trained = trained(findings.texts);
    let series =
        ["policies", "half", "global_threshold", "label_threshold"].iter().filter_map(|name| {
            let counts = counts(findings, name)?;
            let mut points: Vec<(f64, f64)> = trained
                .iter()
                .zip(&counts)
                .filter(|(documents, count)| **documents > 0.0 && count.borne > 0)
                .map(|(documents, count)| (documents.log10(), count.f1()))
                .collect();
            points.sort_by(|one, other| one.0.total_cmp(&other.0));
            Some(Series { name: (*name).to_owned(), points })
        });
    Body::Curves {
        x: "log₁₀ of training documents".to_owned(),
        y: "F1 on the test documents".to_owned(),
        series: series.collect(),
        caption: "F1 of each label against its frequency, by how decisions are made.".to_owned(),
    }
}

fn labels(findings: &Findings<'_>) -> Body {
    let corpus = &findings.texts.corpus;
    let trained = trained(findings.texts);
    let names = ["policies", "half", "global_threshold", "label_threshold"];
    let found: Vec<_> = names.iter().map(|name| counts(findings, name)).collect();
    let weights = host(findings.last.learner.weights());
    let rows = corpus.labels.iter().enumerate().map(|(label, name)| {
        let f1 = found.iter().map(|counts| counts.as_ref().map(|c| c[label].f1()).into());
        let borne = found[0].as_ref().map(|counts| counts[label].borne as f64);
        let policy = [f64::from(findings.thresholds[label]), f64::from(weights[label])];
        [name.as_str().into(), trained[label].into(), borne.into()]
            .into_iter()
            .chain(f1)
            .chain(policy.map(TableCell::from))
            .collect()
    });
    let head =
        ["label", "training", "test", "F1", "at 0.5", "global", "per label", "threshold", "weight"];
    Body::Table {
        head: head.map(str::to_owned).to_vec(),
        rows: rows.collect(),
        caption: "Each label: documents, F1 with the policies' thresholds, at 0.5, with one tuned \
                  threshold for all and with one tuned for each, and the final threshold and weight."
            .to_owned(),
    }
}

/// Precision and recall over all decisions of the test documents.
fn curve(findings: &Findings<'_>) -> Body {
    let test = findings.test;
    let curve = PrecisionRecall::of(test.truth.iter().copied(), test.scores.iter().copied());
    let points: Vec<(f64, f64)> =
        curve.recall.iter().copied().zip(curve.precision.iter().copied()).collect();
    let every = points.len().div_ceil(POINTS).max(1);
    let points = points.into_iter().step_by(every).collect();
    Body::Curves {
        x: "recall".to_owned(),
        y: "precision".to_owned(),
        series: vec![Series { name: "all labels".to_owned(), points }],
        caption: "Precision and recall of one threshold for all labels.".to_owned(),
    }
}

fn rows(tensor: &tch::Tensor) -> Vec<Vec<f32>> {
    (0..tensor.size()[0]).map(|row| host(&tensor.get(row))).collect()
}

/// Thresholds and weights of some labels over the steps of training.
fn course(findings: &Findings<'_>, system: &Multilabel, when: &str) -> Vec<Body> {
    let names = &findings.texts.corpus.labels;
    let count = names.len().min(DRAWN);
    let drawn: Vec<usize> =
        (0..count).map(|i| i * (names.len() - 1) / (count - 1).max(1)).collect();
    let config = system.learner.config();
    let [weights, thresholds] = system.learner.history();
    let acts = [
        ("thresholds", thresholds, config.policies.prediction),
        ("weights", weights, config.policies.training),
    ];
    let acts = acts.into_iter().filter(|(.., acts)| *acts);
    acts.map(|(what, history, _)| {
        let history = rows(history);
        let points = |of: &dyn Fn(&[f32]) -> f64| -> Vec<(f64, f64)> {
            let step = |window: usize| ((window + 1) * config.window) as f64;
            history.iter().enumerate().map(|(window, row)| (step(window), of(row))).collect()
        };
        let mean = |row: &[f32]| f64::from(row.iter().sum::<f32>()) / row.len() as f64;
        let mut series: Vec<Series> = drawn
            .iter()
            .map(|&label| Series {
                name: names[label].clone(),
                points: points(&|row| f64::from(row[label])),
            })
            .collect();
        series.push(Series { name: "mean of all".to_owned(), points: points(&mean) });
        Body::Curves {
            x: "step".to_owned(),
            y: what.to_owned(),
            series,
            caption: format!(
                "The policies' mean {what} {when}, of labels from the most to the least frequent."
            ),
        }
    })
    .collect()
}

/// A description of the corpus and of what was left out of it.
fn corpus(texts: &Texts) -> Body {
    let (corpus, left_out) = (&texts.corpus, &texts.corpus.left_out);
    let rare = match left_out.rare_labels.len() {
        0 => "none".to_owned(),
        count => format!("{count} ({})", beginning(&left_out.rare_labels.join(", "), 300)),
    };
    Body::Text(format!(
        "{} documents to train on, {} held out of them for the policies, {} to test on; {} labels. \
         Left out: {} documents without text, {} without a label that is learnt, {} training \
         documents that are test documents too; labels that are too rare: {rare}.",
        corpus.train.len(),
        corpus.meta.len(),
        corpus.test.len(),
        corpus.labels.len(),
        left_out.without_text,
        left_out.without_label,
        left_out.duplicates,
    ))
}

/// Some test documents with their labels.
fn documents(findings: &Findings<'_>, settings: &Settings) -> Body {
    let (test, corpus) = (findings.test, &findings.texts.corpus);
    let decisions = &findings.decided[0].decisions;
    let listed = |is: &dyn Fn(usize) -> bool| {
        let labels = (0..corpus.labels.len()).filter(|&label| is(label));
        labels.map(|label| corpus.labels[label].as_str()).collect::<Vec<_>>().join(", ")
    };
    // From all over the test part, the same in every run on it.
    let shown = settings.eval.documents.min(corpus.test.len());
    let rows = (0..shown).map(|row| row * corpus.test.len() / shown).map(|document| {
        let (truth, decided) = (test.truth.row(document), decisions.row(document));
        vec![
            beginning(&corpus.test[document].text, BEGINNING).into(),
            listed(&|label| truth[label]).into(),
            listed(&|label| decided[label]).into(),
            listed(&|label| truth[label] != decided[label]).into(),
        ]
    });
    Body::Table {
        head: ["document", "true", "predicted", "disputed"].map(str::to_owned).to_vec(),
        rows: rows.collect(),
        caption: "Test documents with their labels, the predicted ones, and those of either that \
                  the other lacks."
            .to_owned(),
    }
}

fn beginning(text: &str, characters: usize) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}
