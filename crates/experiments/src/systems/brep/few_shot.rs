//! Classes of faces, or families of parts, from a few labelled parts: a head on frozen codes,
//! on those of frozen random encoders, and a head that is trained together with an encoder from
//! scratch, all on the same labelled parts.

mod head;
mod shown;

use anyhow::{Result, ensure};
use bauta_backbones::Parameters;
use bauta_brep::model::{FaceClassifier, FaceEncoder, PartClassifier, predicted};
use bauta_eval::{Metrics, Scores};
use bauta_recipe::{Brep as Settings, FaceEval};
use bauta_report::TableCell;
use bauta_streams::{Purpose, StreamKey};
use bauta_train::{OptimizerConfig, Schedule, StepMaker, TrainConfig};
use tch::Tensor;

use self::head::{Answers, Fit, Head, Labelled, labelled, majority};
use self::shown::{matrix, section};
use super::parts::CadParts;
use super::{Brep, encoder};
use crate::run::Run;

/// Parts that are encoded at once.
const CHUNK: usize = 64;

/// What is classified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// Faces.
    Segmentation,
    /// Parts.
    Classification,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    Trained,
    RandomInit,
    Scratch,
}

impl Variant {
    const ALL: [Self; 3] = [Self::Trained, Self::RandomInit, Self::Scratch];

    fn name(self) -> &'static str {
        ["trained", "random_init", "scratch"][self as usize]
    }
}

/// The numbers of the labelled parts of a draw: the first of its own shuffling, so those of a
/// smaller size are among those of a larger one.
pub(super) fn labelled_parts(seed: u64, draw: u64, pool: usize, size: usize) -> Vec<usize> {
    let key = StreamKey { seed, purpose: Purpose::EVALUATE, epoch: draw, sample: 0 };
    let mut numbers: Vec<usize> = (0..pool).collect();
    key.stream().shuffle(&mut numbers);
    numbers.truncate(size);
    numbers
}

impl Brep {
    /// Measures heads on few labelled parts; gives the classes of the test faces by the first
    /// head on trained codes, where there are labels.
    pub(super) fn few_shot(
        &self,
        settings: &Settings,
        parts: &CadParts,
        run: &mut Run<'_>,
        scores: &mut Scores,
    ) -> Result<Option<Vec<i64>>> {
        let mut shown = None;
        for (task, names) in [
            (Task::Segmentation, &parts.splits.classes),
            (Task::Classification, &parts.splits.families),
        ] {
            if names.len() < 2 {
                tracing::info!("the parts have no labels for {task:?}: nothing to measure");
                continue;
            }
            let test = labelled(&parts.splits.test, 0..parts.splits.test.len(), task, run.device)?;
            let bench = Bench { brep: self, settings, parts, task, classes: names.len(), test };
            let first = bench.measure(run, scores, names)?;
            if task == Task::Segmentation {
                shown = first;
            }
        }
        Ok(shown)
    }
}

/// One task, measured.
struct Bench<'a> {
    brep: &'a Brep,
    settings: &'a Settings,
    parts: &'a CadParts,
    task: Task,
    classes: usize,
    test: Vec<Labelled>,
}

impl Bench<'_> {
    fn eval(&self) -> &FaceEval {
        &self.settings.eval
    }

    fn measure(
        &self,
        run: &mut Run<'_>,
        scores: &mut Scores,
        names: &[String],
    ) -> Result<Option<Vec<i64>>> {
        let eval = self.eval();
        let what = format!("{:?}", self.task).to_lowercase();
        let pool = self.parts.splits.train.len();
        let (mut rows, mut shown): (Vec<Vec<TableCell>>, _) = (Vec::new(), None);
        let mut curves = Variant::ALL.map(|variant| (variant, Vec::new()));
        for &size in eval.labelled.iter().filter(|&&size| size <= pool) {
            let metric = format!("{what}_top1_{size}");
            for (variant, points) in &mut curves {
                let wanted = match variant {
                    Variant::Trained => true,
                    Variant::RandomInit => eval.baselines,
                    Variant::Scratch => eval.baselines && size <= eval.scratch_limit,
                };
                if !wanted {
                    continue;
                }
                let mut found = Vec::new();
                for draw in 0..eval.repeats as u64 {
                    run.measures()?;
                    let answers = self.fit(*variant, run.seed, draw, size)?;
                    found.push(answers.accuracy());
                    if *variant == Variant::Trained && shown.is_none() {
                        run.section(matrix(&what, size, names, &answers));
                        shown = Some(answers.predicted);
                    }
                }
                let mean = found.iter().sum::<f64>() / found.len() as f64;
                let spread = found.iter().map(|it| (it - mean).powi(2)).sum::<f64>();
                let spread = (spread / found.len() as f64).sqrt();
                let metrics = Metrics::from_iter([
                    (metric.clone(), mean),
                    (format!("{metric}_deviation"), spread),
                ]);
                match variant {
                    Variant::Trained => scores.eval.extend(metrics),
                    _ => scores.extend_baseline(variant.name(), metrics),
                }
                points.push((size as f64, mean));
                let mut row: Vec<TableCell> = vec![
                    size.to_string().into(),
                    variant.name().into(),
                    mean.into(),
                    spread.into(),
                ];
                row.extend(found.into_iter().map(TableCell::from));
                rows.push(row);
            }
            let share = Metrics::from_iter([(metric, majority(&self.test, self.classes))]);
            scores.extend_baseline("majority", share);
        }
        run.explain([format!(
            "{what}_top1_N: a head trained on N labelled parts, {} steps of Adam at {}; mean and \
             deviation of {} draws, the same parts for codes and baselines",
            eval.steps, eval.lr, eval.repeats
        )]);
        run.section(section(&what, eval, rows, curves));
        Ok(shown)
    }

    /// Trains a head of a draw and asks it about the test parts.
    fn fit(&self, variant: Variant, seed: u64, draw: u64, size: usize) -> Result<Answers> {
        let numbers = labelled_parts(seed, draw, self.parts.splits.train.len(), size);
        let device = self.brep.parameters.device();
        let data = labelled(&self.parts.splits.train, numbers, self.task, device)?;
        let config = encoder(self.settings);
        let mut parameters = Parameters::drawn(seed, draw, device);
        let head = match self.task {
            Task::Segmentation => Head::Faces(FaceClassifier::new(
                parameters.root().sub("head"),
                config.dim,
                self.eval().layers,
                self.classes as i64,
            )),
            Task::Classification => Head::Parts(PartClassifier::new(
                parameters.root().sub("head"),
                config.dim,
                self.classes as i64,
            )),
        };
        // A head has the same start in each variant, and so have both fresh encoders.
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
        self.train(&mut fit)?;
        let _no_grad = tch::no_grad_guard();
        let encoder = if trained { &self.brep.encoder } else { &fit.encoder };
        let mut answers = Answers { predicted: Vec::new(), labels: Vec::new() };
        for Labelled { graph, labels } in &self.test {
            let logits = fit.head.forward(&encoder.forward(graph), graph);
            answers.predicted.extend(predicted(&logits));
            answers.labels.extend(Vec::<i64>::try_from(labels)?);
        }
        Ok(answers)
    }

    fn train(&self, fit: &mut Fit<'_>) -> Result<()> {
        let eval = self.eval();
        let schedule = Schedule::constant(eval.lr, eval.steps);
        let config = TrainConfig {
            optimizer: OptimizerConfig::adam((0.9, 0.999), 0.0),
            ..TrainConfig::new(schedule, CHUNK)
        };
        let mut inputs = std::iter::repeat_with(|| Ok(()));
        let mut maker = StepMaker::new(fit, &config);
        for step in 0..eval.steps {
            maker.make(&mut inputs, eval.lr, step)?;
        }
        let last = maker.read().losses.last().copied().unwrap_or_default();
        ensure!(last.is_finite(), "the loss of a head became {last}; lower eval.lr");
        Ok(())
    }
}
