//! Mean intersection over union, from a confusion matrix over all pixels.
//!
//! Counts are added over the whole split before they are divided, as in
//! PASCAL VOC and ADE20K; means over images would weight small objects differently.

use tch::{Device, Kind, Tensor};

use crate::{EvalError, Metrics};

/// Counts pixels by their true and their predicted class.
///
/// ```
/// use bauta_eval::dense::ConfusionMatrix;
/// use tch::{Device, Tensor};
///
/// let mut matrix = ConfusionMatrix::new(2, Some(255), Device::Cpu)?;
/// let truth = Tensor::from_slice(&[0_i64, 0, 1, 1, 255]);
/// matrix.add(&truth, &Tensor::from_slice(&[0_i64, 1, 1, 1, 0]))?;
/// assert_eq!(matrix.counts(), [[1, 1], [0, 2]]);
/// assert_eq!(matrix.ious(), [Some(1.0 / 2.0), Some(2.0 / 3.0)]);
/// # Ok::<(), bauta_eval::EvalError>(())
/// ```
#[derive(Debug)]
pub struct ConfusionMatrix {
    /// [K · K], i64: true class, then predicted class.
    counts: Tensor,
    classes: i64,
    ignored: Option<i64>,
}

impl ConfusionMatrix {
    /// An empty matrix. Pixels whose true label is `ignored` are left out.
    ///
    /// # Errors
    /// [`EvalError::Setting`] unless there are two classes or more, or when
    /// `ignored` is one of them.
    pub fn new(classes: usize, ignored: Option<i64>, device: Device) -> Result<Self, EvalError> {
        let classes = classes as i64;
        if classes < 2 {
            let (value, expected) = (classes as f64, "at least 2");
            return Err(EvalError::Setting { name: "number of classes", value, expected });
        }
        if let Some(label) = ignored.filter(|label| (0..classes).contains(label)) {
            let (value, expected) = (label as f64, "no class's number");
            return Err(EvalError::Setting { name: "the ignored label", value, expected });
        }
        let counts = Tensor::zeros([classes * classes], (Kind::Int64, device));
        Ok(Self { counts, classes, ignored })
    }

    /// Adds pixels: true and predicted classes of one shape and of integer kinds.
    ///
    /// # Errors
    /// [`EvalError::Shape`] when the shapes differ, [`EvalError::Kind`] for
    /// floats, [`EvalError::Label`] for a label that names no class; nothing is added then.
    pub fn add(&mut self, truth: &Tensor, predicted: &Tensor) -> Result<(), EvalError> {
        if truth.size() != predicted.size() {
            let expected = format!("{:?} as the true labels", truth.size());
            let (what, found) = ("predicted labels", predicted.size());
            return Err(EvalError::Shape { what, found, expected });
        }
        for (what, labels) in [("true labels", truth), ("predicted labels", predicted)] {
            let found = labels.kind();
            if labels.is_floating_point() || found == Kind::Bool {
                return Err(EvalError::Kind { what, found, expected: "an integer kind" });
            }
        }
        let flat = |labels: &Tensor| {
            labels.to_device(self.counts.device()).to_kind(Kind::Int64).reshape([-1])
        };
        let (mut truth, mut predicted) = (flat(truth), flat(predicted));
        if let Some(ignored) = self.ignored {
            let kept = truth.not_equal(ignored);
            (truth, predicted) = (truth.masked_select(&kept), predicted.masked_select(&kept));
        }
        if truth.numel() == 0 {
            return Ok(());
        }
        self.check("true", &truth)?;
        self.check("predicted", &predicted)?;
        let cells = truth * self.classes + predicted;
        self.counts += cells.bincount(None::<&Tensor>, self.classes * self.classes);
        Ok(())
    }

    fn check(&self, split: &'static str, labels: &Tensor) -> Result<(), EvalError> {
        let (lowest, highest) = labels.aminmax(None, false);
        let (lowest, highest) = (lowest.int64_value(&[]), highest.int64_value(&[]));
        if lowest < 0 || highest >= self.classes {
            return Err(EvalError::Label { split, lowest, highest, classes: self.classes });
        }
        Ok(())
    }

    /// The counts: a row for each true class, a column for each predicted one.
    pub fn counts(&self) -> Vec<Vec<i64>> {
        let counts = Vec::<i64>::try_from(&self.counts).expect("a flat tensor of integers");
        counts.chunks_exact(self.classes as usize).map(<[i64]>::to_vec).collect()
    }

    /// Intersection over union of each class; `None` for a class that occurs in neither labels nor
    /// predictions.
    pub fn ious(&self) -> Vec<Option<f64>> {
        let counts = self.counts();
        (0..counts.len())
            .map(|class| {
                let truth: i64 = counts[class].iter().sum();
                let predicted: i64 = counts.iter().map(|row| row[class]).sum();
                let both = counts[class][class];
                let union = truth + predicted - both;
                (union > 0).then(|| both as f64 / union as f64)
            })
            .collect()
    }

    /// The mean over the classes that have an IoU; `None` before any pixel.
    ///
    /// A class that is predicted but never true counts with an IoU of 0.
    pub fn mean_iou(&self) -> Option<f64> {
        let ious: Vec<f64> = self.ious().into_iter().flatten().collect();
        (!ious.is_empty()).then(|| ious.iter().sum::<f64>() / ious.len() as f64)
    }

    /// The share of pixels whose class is predicted correctly; `None` before any pixel.
    pub fn pixel_accuracy(&self) -> Option<f64> {
        let counts = self.counts();
        let all: i64 = counts.iter().flatten().sum();
        let right: i64 = (0..counts.len()).map(|class| counts[class][class]).sum();
        (all > 0).then(|| right as f64 / all as f64)
    }

    /// `miou` and `pixel_accuracy`, where there are pixels.
    pub fn metrics(&self) -> Metrics {
        let named = [("miou", self.mean_iou()), ("pixel_accuracy", self.pixel_accuracy())];
        named.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> ConfusionMatrix {
        ConfusionMatrix::new(3, Some(255), Device::Cpu).unwrap()
    }

    #[test]
    fn absent_classes_have_no_iou_and_stray_predictions_count_against_the_mean() {
        let mut matrix = matrix();
        assert_eq!((matrix.mean_iou(), matrix.metrics().iter().count()), (None, 0));
        matrix.add(&Tensor::from_slice(&[0_u8, 0]), &Tensor::from_slice(&[0_i64, 0])).unwrap();
        assert_eq!(matrix.ious(), [Some(1.0), None, None]);
        assert_eq!(matrix.mean_iou(), Some(1.0));
        matrix.add(&Tensor::from_slice(&[0_u8, 255]), &Tensor::from_slice(&[2_i64, 1])).unwrap();
        assert_eq!(matrix.ious(), [Some(2.0 / 3.0), None, Some(0.0)]);
        assert_eq!(matrix.mean_iou(), Some(1.0 / 3.0));
        assert_eq!(matrix.pixel_accuracy(), Some(2.0 / 3.0));
    }

    #[test]
    fn what_cannot_be_counted_is_refused_and_not_counted() {
        let mut matrix = matrix();
        let labels = |values: &[i64]| Tensor::from_slice(values);
        let refuse =
            |m: &mut ConfusionMatrix, t: &Tensor, p: &Tensor| m.add(t, p).unwrap_err().to_string();
        let message = refuse(&mut matrix, &labels(&[0, 1]), &labels(&[0]));
        assert!(message.contains("[1], expected [2]"), "{message}");
        let message = refuse(&mut matrix, &labels(&[0]), &labels(&[3]));
        assert!(message.contains("3 classes need 0 to 2"), "{message}");
        let message = refuse(&mut matrix, &labels(&[-1]), &labels(&[0]));
        assert!(message.contains("-1"), "{message}");
        let floats = Tensor::from_slice(&[0.5_f32]);
        assert!(refuse(&mut matrix, &labels(&[0]), &floats).contains("integer"));
        assert_eq!(matrix.counts().concat().iter().sum::<i64>(), 0);
        assert!(ConfusionMatrix::new(1, None, Device::Cpu).is_err());
        assert!(ConfusionMatrix::new(3, Some(2), Device::Cpu).is_err());
    }
}
