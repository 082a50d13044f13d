//! Quality of the decisions: the policies', and those of baselines by the same classifier.

use anyhow::Result;
use bauta_eval::{Metrics, Scores};
use bauta_multilabel::ndarray::{Array2, Axis, concatenate};
use bauta_multilabel::{
    DocumentMetrics, Hierarchy, LabelMetrics, PrecisionRecall, decide, global_threshold,
    label_counts, label_thresholds, most_probable, shrink,
};
use bauta_recipe::{LearntPolicies, Multilabel as Settings};
use bauta_streams::{Purpose, RandomStream, StreamKey};
use tch::Tensor;

use super::Multilabel;
use super::documents::{Part, Texts};
use super::sections::{self, Findings};
use crate::run::Run;

/// Minimum number of training documents of the labels whose thresholds are compared with the known
/// best ones.
const MANY: usize = 200;

/// A part of the corpus: probabilities and truth, both [D, N].
pub(super) struct Measured {
    pub(super) scores: Array2<f32>,
    pub(super) truth: Array2<bool>,
}

/// The decisions of one method.
pub(super) struct Decided {
    pub(super) name: &'static str,
    pub(super) decisions: Array2<bool>,
}

/// Measures the final classifier with the policies' thresholds and with those of baselines; the
/// classifier that the policies were learnt on; and the one with inverse-frequency weights.
pub(super) fn measure(
    last: &Multilabel,
    teacher: Option<&Multilabel>,
    weighted: Option<&Multilabel>,
    texts: &Texts,
    settings: &Settings,
    run: &mut Run<'_>,
) -> Result<Scores> {
    let hierarchy = settings.eval.closure.then(|| Hierarchy::of_paths(&texts.corpus.labels));
    let closed = |mut decisions: Array2<bool>| {
        hierarchy.iter().for_each(|hierarchy| hierarchy.close(&mut decisions));
        decisions
    };
    let [meta, test] = [Part::Meta, Part::Test].map(|part| last.measured(texts, part));
    let labels = test.scores.ncols();
    let by = |thresholds: &[f32]| closed(decide(test.scores.view(), thresholds));
    let own = last.thresholds(&meta, settings.policies.guard);
    let decided = |name, thresholds: &[f32]| Decided { name, decisions: by(thresholds) };
    let mut all = vec![decided("policies", &own), decided("half", &vec![0.5; labels])];
    let global = global_threshold(meta.scores.view(), meta.truth.view());
    if settings.eval.baselines {
        let mut stream = stream(run.seed);
        let tuned = label_thresholds(meta.scores.view(), meta.truth.view());
        let mean = own.iter().sum::<f32>() / labels as f32;
        let mut shuffled = own.clone();
        stream.shuffle(&mut shuffled);
        let random = (0..labels).map(|_| stream.uniform_in(0.05, 0.95) as f32);
        all.extend([
            decided("global_threshold", &vec![global; labels]),
            decided("label_threshold", &tuned),
            decided("mean_threshold", &vec![mean; labels]),
            decided("shuffled_threshold", &shuffled),
            decided("random_threshold", &random.collect::<Vec<_>>()),
        ]);
        let cardinality = texts.corpus.prevalence().iter().sum::<f64>().round().max(1.0) as usize;
        let decisions = closed(most_probable(test.scores.view(), cardinality));
        all.push(Decided { name: "cardinality", decisions });
    }

    let mut scores = Scores::default();
    for Decided { name, decisions } in &all {
        match *name {
            "policies" => scores.eval.extend(metrics(&test.truth, decisions)),
            name => scores.extend_baseline(name, metrics(&test.truth, decisions)),
        }
    }
    scores.eval.extend([("average_precision", average_precision(&test))]);
    scores.eval.extend(thresholds(&own, global));
    if let Some(teacher) = teacher {
        let [meta, test] = [Part::Meta, Part::Test].map(|part| teacher.measured(texts, part));
        let own = teacher.thresholds(&meta, settings.policies.guard);
        let mut learning =
            Scores::from(metrics(&test.truth, &closed(decide(test.scores.view(), &own))));
        let half = closed(decide(test.scores.view(), &vec![0.5; labels]));
        learning.extend_baseline("half", metrics(&test.truth, &half));
        scores.extend(learning.prefixed("learning"));
    }
    if let Some(weighted) = weighted {
        let test = weighted.measured(texts, Part::Test);
        let half = closed(decide(test.scores.view(), &vec![0.5; labels]));
        scores.extend_baseline("inverse_frequency", metrics(&test.truth, &half));
    }
    scores.eval.extend(against_the_tree(&own, &test, &all[0].decisions, texts));
    run.explain(explanations(settings, texts));
    let findings = Findings { texts, test: &test, decided: &all, thresholds: &own, last, teacher };
    sections::show(&findings, settings, run);
    Ok(scores)
}

impl Multilabel {
    /// The classifier's outputs for a part of the corpus.
    fn measured(&self, texts: &Texts, part: Part) -> Measured {
        let (words, labels) = texts.part(part);
        let scores: Vec<Array2<f32>> =
            words.iter().map(|words| self.classifier.probabilities(words)).collect();
        let views: Vec<_> = scores.iter().map(Array2::view).collect();
        let scores = concatenate(Axis(0), &views).expect("all batches have all labels");
        let mut truth = Array2::from_elem(scores.dim(), false);
        for (mut row, labels) in truth.rows_mut().into_iter().zip(labels) {
            labels.iter().for_each(|&label| row[label as usize] = true);
        }
        Measured { scores, truth }
    }

    /// The thresholds of the last step's policy, guarded by the meta part if `guard` is set.
    fn thresholds(&self, meta: &Measured, guard: bool) -> Vec<f32> {
        let own = host(self.learner.thresholds());
        if !guard || !self.learner.config().policies.prediction {
            return own;
        }
        let (scores, truth) = (meta.scores.view(), meta.truth.view());
        shrink(scores, truth, &own, global_threshold(scores, truth))
    }
}

/// A row of numbers, copied from the device.
pub(super) fn host(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(&tensor.to_device(tch::Device::Cpu)).expect("a vector of single precision")
}

fn stream(seed: u64) -> RandomStream {
    StreamKey { seed, purpose: Purpose::named("threshold baselines"), epoch: 0, sample: 0 }.stream()
}

fn metrics(truth: &Array2<bool>, decisions: &Array2<bool>) -> Metrics {
    let labels = LabelMetrics::of(&label_counts(truth.view(), decisions.view()));
    let documents = DocumentMetrics::of(truth.view(), decisions.view());
    Metrics::from_iter([
        ("micro_f1", labels.micro_f1),
        ("macro_f1", labels.macro_f1),
        ("micro_precision", labels.micro_precision),
        ("micro_recall", labels.micro_recall),
        ("exact_match", documents.strict),
        ("document_macro_f1", documents.loose_macro),
        ("document_micro_f1", documents.loose_micro),
    ])
}

fn average_precision(test: &Measured) -> f64 {
    let curve = PrecisionRecall::of(test.truth.iter().copied(), test.scores.iter().copied());
    curve.average_precision()
}

fn thresholds(own: &[f32], global: f32) -> Metrics {
    let mean = own.iter().map(|&threshold| f64::from(threshold)).sum::<f64>() / own.len() as f64;
    Metrics::from_iter([("mean_threshold", mean), ("tuned_global_threshold", f64::from(global))])
}

/// For a generated corpus: how far thresholds are from the known best ones, and whether parents are
/// found as often as children.
fn against_the_tree(
    own: &[f32],
    test: &Measured,
    decisions: &Array2<bool>,
    texts: &Texts,
) -> Metrics {
    let Some(tree) = &texts.tree else { return Metrics::new() };
    let names = &texts.corpus.labels;
    let best = tree.best_thresholds();
    let place = |name: &String| tree.names().iter().position(|known| known == name);
    let many = MANY as f64 / texts.corpus.train.len() as f64;
    let gaps = names.iter().zip(own).zip(texts.corpus.prevalence());
    let gaps: Vec<f64> = gaps
        .filter(|(_, share)| *share >= many)
        .filter_map(|((name, &own), _)| Some((f64::from(own) - best[place(name)?].0).abs()))
        .collect();
    let counts = label_counts(test.truth.view(), decisions.view());
    let (mut parents, mut children, mut above) = (0.0, 0.0, 0.0);
    for (label, parent) in Hierarchy::of_paths(names).parents().iter().enumerate() {
        let Some(parent) = *parent else { continue };
        parents += counts[parent].recall();
        children += counts[label].recall();
        above += 1.0;
    }
    let mean = |sum: f64, count: f64| if count > 0.0 { sum / count } else { 0.0 };
    Metrics::from_iter([
        ("threshold_gap", mean(gaps.iter().sum(), gaps.len() as f64)),
        ("largest_threshold_gap", gaps.iter().copied().fold(0.0, f64::max)),
        ("parent_recall", mean(parents, above)),
        ("child_recall", mean(children, above)),
    ])
}

fn explanations(settings: &Settings, texts: &Texts) -> Vec<String> {
    let Texts { corpus, .. } = texts;
    let guard = match (settings.policies.guard, settings.policies.learn) {
        (true, LearntPolicies::Both | LearntPolicies::Prediction) => {
            ", drawn towards the tuned global one where a label has few meta documents or gains \
             nothing there"
        }
        _ => "",
    };
    vec![
        format!(
            "decisions: a probability above its label's threshold; thresholds are those of the \
             policies' mean in the last step{guard}"
        ),
        format!(
            "micro_f1 sums the counts of {} labels, macro_f1 is the mean F1 of those that some \
             test document bears; exact_match and document_* look at the labels of each of {} test \
             documents",
            corpus.labels.len(),
            corpus.test.len()
        ),
        format!(
            "baselines use the same classifier, thresholds tuned on {} meta documents; \
             inverse_frequency is a classifier of its own, decided at 0.5; learning is the \
             classifier on which the policies were learnt",
            corpus.meta.len()
        ),
    ]
}
