//! Learning from few labelled samples: learners compared on the same draws.
//!
//! A draw is a prefix of one permutation of the pool, so the samples of a smaller size are
//! among those of a larger one, and all learners of a draw see the same samples.

use bauta_report::{Body, Section, Series, TableCell};
use bauta_streams::{Purpose, StreamKey};
use bauta_train::{Objective, OptimizerConfig, Schedule, StepMaker, TrainConfig};

use crate::{EvalError, Metrics, Scores};

/// The labelled samples that a learner gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledDraw {
    /// The number of the draw; a learner's own random choices should depend on it.
    pub number: u64,
    /// Distinct samples of the pool.
    pub samples: Vec<usize>,
}

impl LabelledDraw {
    /// Draws `size` of `pool` samples, or all if there are fewer.
    pub fn new(seed: u64, number: u64, pool: usize, size: usize) -> Self {
        let key = StreamKey { seed, purpose: Purpose::EVALUATE, epoch: number, sample: 0 };
        let mut samples: Vec<usize> = (0..pool).collect();
        key.stream().shuffle(&mut samples);
        samples.truncate(size);
        Self { number, samples }
    }
}

/// A learner's predicted classes and the true classes of all test samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// The predicted classes.
    pub predicted: Vec<i64>,
    /// The true classes.
    pub labels: Vec<i64>,
}

impl Answers {
    /// The share of correct answers, in [0, 1].
    pub fn top1(&self) -> f64 {
        let right = self.predicted.iter().zip(&self.labels).filter(|(one, other)| one == other);
        right.count() as f64 / self.labels.len().max(1) as f64
    }

    /// The share of the most frequent class.
    pub fn majority(&self) -> f64 {
        let mut labels = self.labels.clone();
        labels.sort_unstable();
        let most = labels.chunk_by(|one, other| one == other).map(<[i64]>::len).max();
        most.unwrap_or(0) as f64 / labels.len().max(1) as f64
    }

    /// The share of each true class (row) that is predicted as each class (column); `None` in rows
    /// without samples.
    fn shares(&self, classes: usize) -> Vec<Vec<Option<f64>>> {
        let mut counts = vec![vec![0.0; classes]; classes];
        for (&predicted, &label) in self.predicted.iter().zip(&self.labels) {
            counts[label as usize][predicted as usize] += 1.0;
        }
        let share = |row: Vec<f64>| {
            let all: f64 = row.iter().sum();
            row.into_iter().map(|count| (all > 0.0).then(|| count / all)).collect()
        };
        counts.into_iter().map(share).collect()
    }
}

/// A learner that is compared on labelled samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learner {
    /// Its name; for all but the first learner, the name of a baseline.
    pub name: &'static str,
    /// Maximum number of labelled samples that it learns from.
    pub most: usize,
}

/// A comparison of learners.
#[derive(Clone, Copy, Debug)]
pub struct FewLabels<'a> {
    /// The name of the task; the metrics of N labelled samples are `WHAT_top1_N` and
    /// `WHAT_top1_N_deviation`.
    pub what: &'a str,
    /// Names of the classes, at least one.
    pub classes: &'a [String],
    /// The samples' name, in the plural.
    pub samples: &'a str,
    /// Numbers of labelled samples; those above the pool are left out.
    pub sizes: &'a [usize],
    /// Number of samples in the pool.
    pub pool: usize,
    /// Number of draws of each size, at least one.
    pub draws: u64,
    /// Seed of the draws.
    pub seed: u64,
    /// The measured learner, first, and its baselines.
    pub learners: &'a [Learner],
}

/// The result of a comparison.
#[derive(Debug, Default)]
pub struct FewLabelled {
    /// Mean and standard deviation over the draws: the first learner's as scores, the others' as
    /// baselines; and the share of the most frequent class as baseline `majority`.
    pub scores: Scores,
    /// A table of all draws, curves if there are several sizes, and a confusion matrix.
    pub section: Option<Section>,
    /// The first learner's answers in the first draw of the first size.
    pub first: Option<Answers>,
}

impl FewLabels<'_> {
    /// Calls `learn` with the index of each learner and each draw; it predicts all test samples.
    ///
    /// # Errors
    /// Those of `learn`.
    pub fn compare<E>(
        &self,
        mut learn: impl FnMut(usize, &LabelledDraw) -> Result<Answers, E>,
    ) -> Result<FewLabelled, E> {
        let (mut scores, mut first, mut body) = (Scores::default(), None, Vec::new());
        let (mut rows, mut curves) = (Vec::new(), vec![Vec::new(); self.learners.len()]);
        for &size in self.sizes.iter().filter(|&&size| size <= self.pool) {
            let metric = format!("{}_top1_{size}", self.what);
            for (place, learner) in self.learners.iter().enumerate() {
                if size > learner.most {
                    continue;
                }
                let mut found = Vec::new();
                for number in 0..self.draws {
                    let draw = LabelledDraw::new(self.seed, number, self.pool, size);
                    let answers = learn(place, &draw)?;
                    found.push(answers.top1());
                    if number == 0 && place == 0 {
                        let share = [(metric.clone(), answers.majority())];
                        scores.extend_baseline("majority", Metrics::from_iter(share));
                        if first.is_none() {
                            body.push(self.matrix(size, &answers));
                            first = Some(answers);
                        }
                    }
                }
                let [mean, spread] = mean_and_deviation(&found);
                let metrics = [(metric.clone(), mean), (format!("{metric}_deviation"), spread)];
                let metrics = Metrics::from_iter(metrics);
                match place {
                    0 => scores.eval.extend(metrics),
                    _ => scores.extend_baseline(learner.name, metrics),
                }
                curves[place].push(((size as f64).log10(), mean));
                let mut row: Vec<TableCell> = vec![size.to_string().into(), learner.name.into()];
                row.extend([mean, spread].into_iter().chain(found).map(TableCell::from));
                rows.push(row);
            }
        }
        if !rows.is_empty() {
            body.push(self.table(rows));
            body.extend(self.curves(curves));
        }
        let title = format!("Few-shot {}", self.what);
        let section = (!body.is_empty()).then_some(Section { title, body });
        Ok(FewLabelled { scores, section, first })
    }

    fn matrix(&self, size: usize, answers: &Answers) -> Body {
        Body::Matrix {
            rows: self.classes.to_vec(),
            columns: self.classes.to_vec(),
            values: answers.shares(self.classes.len()),
            caption: format!(
                "Share of each true class (rows) that the first head on {size} labelled {} assigns \
                 to each class (columns).",
                self.samples
            ),
        }
    }

    fn table(&self, rows: Vec<Vec<TableCell>>) -> Body {
        let mut head = vec![format!("labelled {}", self.samples)];
        head.extend(["learner", "top-1", "deviation"].map(str::to_owned));
        head.extend((1..=self.draws).map(|draw| format!("draw {draw}")));
        let caption = format!(
            "Accuracy on the test {0}; mean and standard deviation over the draws. In a draw, all \
             learners see the same labelled {0}.",
            self.samples
        );
        Body::Table { head, rows, caption }
    }

    fn curves(&self, curves: Vec<Vec<(f64, f64)>>) -> Option<Body> {
        let drawn = self.learners.iter().zip(curves).filter(|(_, points)| !points.is_empty());
        let series = drawn.map(|(it, points)| Series { name: it.name.to_owned(), points });
        (self.sizes.len() > 1).then(|| Body::Curves {
            x: format!("labelled {} (log10)", self.samples),
            y: "top-1".to_owned(),
            series: series.collect(),
            caption: String::new(),
        })
    }
}

/// Mean and population standard deviation.
fn mean_and_deviation(values: &[f64]) -> [f64; 2] {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    [mean, (squares / count).sqrt()]
}

/// How a head is trained on few labelled samples: steps of Adam at a constant learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadTraining {
    /// Number of steps.
    pub steps: u64,
    /// Learning rate.
    pub lr: f64,
}

impl HeadTraining {
    /// Trains an objective that holds its own data.
    ///
    /// # Errors
    /// [`EvalError::Train`] when a step fails, [`EvalError::Unsuitable`] when the final loss is
    /// not finite.
    pub fn train(&self, head: &mut impl Objective<Input = ()>) -> Result<(), EvalError> {
        let config = TrainConfig {
            optimizer: OptimizerConfig::adam((0.9, 0.999), 0.0),
            ..TrainConfig::new(Schedule::constant(self.lr, self.steps), 1)
        };
        let mut inputs = std::iter::repeat_with(|| Ok(()));
        let mut maker = StepMaker::new(head, &config);
        for step in 0..self.steps {
            maker.make(&mut inputs, self.lr, step)?;
        }
        match maker.read().losses.last() {
            Some(last) if !last.is_finite() => Err(EvalError::Unsuitable(format!(
                "the loss of a head became {last}; lower its learning rate, which is {}",
                self.lr
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bauta_backbones::{Init, Parameters};
    use bauta_train::{Loss, ObjectiveError};
    use tch::{Device, Kind, Tensor};

    use super::*;

    const LEARNERS: [Learner; 2] =
        [Learner { name: "trained", most: 100 }, Learner { name: "scratch", most: 4 }];

    /// Learner 0 knows one answer per sample plus the draw's number; learner 1 knows none.
    fn compared(sizes: &[usize]) -> FewLabelled {
        let classes = ["a", "b"].map(str::to_owned);
        let few = FewLabels {
            what: "colour",
            classes: &classes,
            samples: "stones",
            sizes,
            pool: 10,
            draws: 2,
            seed: 3,
            learners: &LEARNERS,
        };
        let learn = |place: usize, draw: &LabelledDraw| -> Result<Answers, Infallible> {
            let labels = vec![0, 1, 1, 1];
            let known = if place == 0 { draw.samples.len() + draw.number as usize } else { 0 };
            let answer = |(i, &label): (usize, &i64)| if i < known { label } else { 1 - label };
            Ok(Answers { predicted: labels.iter().enumerate().map(answer).collect(), labels })
        };
        few.compare(learn).unwrap()
    }

    /// Smaller draws are prefixes of larger ones, and a draw is one permutation of all samples.
    #[test]
    fn samples_are_nested_within_a_draw() {
        let draw = |number, size| LabelledDraw::new(3, number, 100, size).samples;
        assert_eq!(draw(0, 10), draw(0, 10));
        assert_eq!(draw(0, 10)[..5], draw(0, 5));
        assert_ne!(draw(0, 10), draw(1, 10));
        assert_ne!(draw(0, 10), LabelledDraw::new(4, 0, 100, 10).samples);
        let mut all = draw(2, 200);
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn means_and_deviations_are_over_the_draws() {
        let FewLabelled { scores, first, section } = compared(&[1, 2, 5, 50]);
        // With one labelled stone, 1 and 2 of 4 answers are right in the two draws.
        assert_eq!(scores.eval.get("colour_top1_1"), Some(0.375));
        assert_eq!(scores.eval.get("colour_top1_1_deviation"), Some(0.125));
        assert_eq!(scores.eval.get("colour_top1_2"), Some(0.625));
        assert_eq!(scores.eval.get("colour_top1_5"), Some(1.0));
        assert_eq!(scores.eval.get("colour_top1_50"), None, "there are 10 stones");
        assert_eq!(scores.baseline.get("majority.colour_top1_5"), Some(0.75));
        assert_eq!(scores.baseline.get("scratch.colour_top1_2"), Some(0.0));
        assert_eq!(scores.baseline.get("scratch.colour_top1_5"), None, "at most 4");
        assert_eq!(first.unwrap().predicted, [0, 0, 0, 0]);
        let body = section.unwrap().body;
        let [Body::Matrix { values, .. }, Body::Table { rows, .. }, Body::Curves { series, .. }] =
            &body[..]
        else {
            panic!("{body:?}")
        };
        assert_eq!(values[0], [Some(1.0), Some(0.0)]);
        assert_eq!((rows.len(), rows[0].len()), (5, 6));
        assert_eq!(series.iter().map(|it| it.points.len()).collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn sizes_above_the_pool_leave_nothing_to_report() {
        let FewLabelled { scores, first, section } = compared(&[11]);
        assert_eq!((scores, first), (Scores::default(), None));
        assert!(section.is_none());
    }

    /// An objective whose loss is half the square of a number.
    struct Square(Parameters, Tensor);

    impl Objective for Square {
        type Input = ();

        fn loss(&mut self, (): &()) -> Result<Loss, ObjectiveError> {
            Ok((self.1.square() * 0.5).sum(Kind::Float).into())
        }

        fn parameters(&self) -> &Parameters {
            &self.0
        }

        fn config(&self) -> serde_json::Value {
            serde_json::Value::Null
        }

        fn tensors(&self, (): &()) -> Vec<(&'static str, Tensor)> {
            Vec::new()
        }
    }

    fn square(start: f32) -> Square {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let number = parameters.root().add("number", &[1], Init::Values(vec![start]));
        Square(parameters, number)
    }

    #[test]
    fn a_head_is_trained_by_adam_and_refused_where_its_loss_is_no_number() {
        let training = HeadTraining { steps: 3, lr: 0.1 };
        let mut head = square(1.0);
        training.train(&mut head).unwrap();
        // Adam's steps are about as long as its learning rate while the gradient keeps its sign.
        let left = head.1.double_value(&[0]);
        assert!((left - 0.7).abs() < 0.01, "{left}");
        let error = training.train(&mut square(f32::NAN)).unwrap_err().to_string();
        assert!(error.contains("the loss of a head became NaN"), "{error}");
    }
}
