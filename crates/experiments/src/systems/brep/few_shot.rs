//! Classes of faces, or families of parts, from a few labelled parts: a head on frozen codes, a
//! head on the codes of frozen random encoders, and a head trained together with an encoder from
//! scratch, all on the same labelled parts.

mod head;

use anyhow::Result;
use bauta_backbones::Parameters;
use bauta_brep::model::{FaceClassifier, FaceEncoder, PartClassifier, predicted};
use bauta_eval::{Answers, FewLabels, HeadTraining, LabelledDraw, Learner, Scores};
use bauta_recipe::{Brep as Settings, FaceEval};
use tch::Tensor;

use self::head::{Fit, Head, Labelled, labelled};
use super::parts::CadParts;
use super::{Brep, encoder};
use crate::run::Run;

/// What is classified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// Faces.
    Segmentation,
    /// Parts.
    Classification,
}

/// The variants that are compared, in the order of [`learners`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    Trained,
    RandomInit,
    Scratch,
}

impl Variant {
    const ALL: [Self; 3] = [Self::Trained, Self::RandomInit, Self::Scratch];
}

fn learners(eval: &FaceEval) -> Vec<Learner> {
    let mut learners = vec![Learner { name: "trained", most: usize::MAX }];
    if eval.baselines {
        learners.push(Learner { name: "random_init", most: usize::MAX });
        learners.push(Learner { name: "scratch", most: eval.scratch_limit });
    }
    learners
}

impl Brep {
    /// Measures heads on few labelled parts; returns the classes of the test faces by the first
    /// head on trained codes, if there are labels.
    pub(super) fn few_shot(
        &self,
        settings: &Settings,
        parts: &CadParts,
        run: &mut Run<'_>,
        scores: &mut Scores,
    ) -> Result<Option<Vec<i64>>> {
        let eval = &settings.eval;
        let (pool, seed) = (parts.splits.train.len(), run.seed);
        let mut shown = None;
        for (task, classes) in [
            (Task::Segmentation, &parts.splits.classes),
            (Task::Classification, &parts.splits.families),
        ] {
            if classes.len() < 2 {
                tracing::info!("the parts have no labels for {task:?}: nothing to measure");
                continue;
            }
            for size in eval.labelled.iter().filter(|&&size| size > pool) {
                tracing::warn!(
                    "eval.labelled: {size} is left out, because there are only {pool} training \
                     parts"
                );
            }
            let test = labelled(&parts.splits.test, 0..parts.splits.test.len(), task, run.device)?;
            let labels = test.iter().map(|chunk| Vec::<i64>::try_from(&chunk.labels));
            let labels = labels.collect::<Result<Vec<_>, _>>()?.concat();
            if labels.iter().all(|&label| label == labels[0]) {
                tracing::info!(
                    "the test parts have only one class for {task:?}: nothing to measure"
                );
                continue;
            }
            let bench = Bench { brep: self, settings, parts, task, classes: classes.len(), test };
            let what = format!("{task:?}").to_lowercase();
            let few = FewLabels {
                what: &what,
                classes,
                samples: "parts",
                sizes: &eval.labelled,
                pool,
                draws: eval.repeats as u64,
                seed,
                learners: &learners(eval),
            };
            let found = few.compare(|learner, draw| {
                run.measures()?;
                bench.learn(Variant::ALL[learner], seed, draw)
            })?;
            scores.extend(found.scores);
            found.section.into_iter().for_each(|section| run.section(section));
            run.explain([format!(
                "{what}_top1_N: a head trained on N labelled parts, {} steps of Adam at {}; mean \
                 and standard deviation of {} draws, the same parts for codes and baselines",
                eval.steps, eval.lr, eval.repeats
            )]);
            if task == Task::Segmentation {
                shown = found.first.map(|answers| answers.predicted);
            }
        }
        Ok(shown)
    }
}

/// One task, and the test parts.
struct Bench<'a> {
    brep: &'a Brep,
    settings: &'a Settings,
    parts: &'a CadParts,
    task: Task,
    classes: usize,
    test: Vec<Labelled>,
}

impl Bench<'_> {
    /// Trains a head on the parts of a draw and applies it to the test parts.
    fn learn(&self, variant: Variant, seed: u64, draw: &LabelledDraw) -> Result<Answers> {
        let device = self.brep.parameters.device();
        let eval = &self.settings.eval;
        let samples = draw.samples.iter().copied();
        let data = labelled(&self.parts.splits.train, samples, self.task, device)?;
        let config = encoder(self.settings);
        let mut parameters = Parameters::drawn(seed, draw.number, device);
        let classes = self.classes as i64;
        let head = match self.task {
            Task::Segmentation => Head::Faces(FaceClassifier::new(
                parameters.root().sub("head"),
                config.dim,
                eval.layers,
                classes,
            )),
            Task::Classification => {
                Head::Parts(PartClassifier::new(parameters.root().sub("head"), config.dim, classes))
            }
        };
        // The head has the same initial weights in each variant, and so do both fresh encoders.
        let own = FaceEncoder::new(parameters.root().sub("encoder"), &config);
        let scratch = variant == Variant::Scratch;
        parameters.train_only(|name| scratch || name.starts_with("head."));
        let trained = variant == Variant::Trained;
        let codes: Vec<Tensor> = tch::no_grad(|| {
            let frozen = if trained { &self.brep.encoder } else { &own };
            data.iter().map(|chunk| frozen.forward(&chunk.graph)).collect()
        });
        let (data, codes) = (&data[..], &codes[..]);
        let mut fit = Fit { parameters, encoder: own, head, scratch, data, codes, step: 0 };
        HeadTraining { steps: eval.steps, lr: eval.lr }.train(&mut fit)?;
        let _no_grad = tch::no_grad_guard();
        let encoder = if trained { &self.brep.encoder } else { &fit.encoder };
        let mut answers = Answers::default();
        for Labelled { graph, labels } in &self.test {
            let logits = fit.head.forward(&encoder.forward(graph), graph);
            answers.predicted.extend(predicted(&logits));
            answers.labels.extend(Vec::<i64>::try_from(labels)?);
        }
        Ok(answers)
    }
}
