//! Features of the official splits: a frozen encoder's output for each image.

use bauta_backbones::{Encode, ImageEncoder, ImageNormalization, ModelError, Pooling};
use tch::{Device, Kind, Tensor};

use crate::EvalError;
use crate::feature_store::{FeatureStore, Rows};

/// Numbers of features that are processed at once: 16 Mi numbers, 64 MiB.
const BLOCK: i64 = 1 << 24;

/// Features [N, D] and labels \[N\] of one split.
#[derive(Debug)]
pub struct EncodedSplit {
    features: Tensor,
    labels: Tensor,
}

impl EncodedSplit {
    /// Takes features [N, D] (any float kind, kept as f32) and labels \[N\] (i64).
    ///
    /// The labels move to the features' device.
    ///
    /// # Errors
    /// [`EvalError::Shape`] unless N > 0, D > 0 and the lengths agree;
    /// [`EvalError::Kind`] unless the kinds are as above;
    /// [`EvalError::NotFinite`] when a feature is NaN or infinite.
    pub fn new(features: Tensor, labels: Tensor) -> Result<Self, EvalError> {
        let (what, shape) = ("features", features.size());
        if shape.len() != 2 || shape.contains(&0) {
            let expected = "[N, D] with N > 0 and D > 0".into();
            return Err(EvalError::Shape { what, found: shape, expected });
        }
        if labels.size() != shape[..1] {
            let expected = format!("[{}], one for each feature vector", shape[0]);
            return Err(EvalError::Shape { what: "labels", found: labels.size(), expected });
        }
        if !features.is_floating_point() {
            let found = features.kind();
            return Err(EvalError::Kind { what, found, expected: "a float kind" });
        }
        if labels.kind() != Kind::Int64 {
            let found = labels.kind();
            return Err(EvalError::Kind { what: "labels", found, expected: "Int64" });
        }
        check_finite(what, &features)?;
        let labels = labels.to_device(features.device());
        Ok(Self { features: features.detach().to_kind(Kind::Float), labels })
    }

    /// Encodes a split, batch by batch, without gradients.
    ///
    /// Each batch has images [B, …] with B labels. The images are moved to `device`;
    /// `encode` maps them to [B, D], and its result stays on its device. The order
    /// of the samples is that of the batches.
    ///
    /// # Errors
    /// The first error of `batches`; [`EvalError::Shape`] when `encode` returns
    /// anything other than [B, D] with the D of the first batch, or when there is
    /// no batch; and the errors of [`Self::new`].
    pub fn encode<E: From<EvalError>>(
        batches: impl IntoIterator<Item = Result<(Tensor, Vec<i64>), E>>,
        device: Device,
        encode: impl FnMut(&Tensor) -> Tensor,
    ) -> Result<Self, E> {
        let store = FeatureStore::default();
        let mut rows = store.rows();
        let labels = encode_into(&mut rows, batches, device, encode)?;
        Ok(Self::new(rows.finish()?, Tensor::from_slice(&labels))?)
    }

    /// Features [N, D], f32.
    pub fn features(&self) -> &Tensor {
        &self.features
    }

    /// Labels \[N\], i64, on the device of the features.
    pub fn labels(&self) -> &Tensor {
        &self.labels
    }

    /// Number of samples, N.
    pub fn samples(&self) -> i64 {
        self.features.size()[0]
    }

    /// Number of features per sample, D.
    pub fn width(&self) -> i64 {
        self.features.size()[1]
    }

    /// The same features and labels on the CPU.
    fn on_host(self) -> Self {
        let host = |tensor: Tensor| tensor.to_device(Device::Cpu);
        Self { features: host(self.features), labels: host(self.labels) }
    }

    pub(crate) fn labels_on_host(&self) -> Vec<i64> {
        Vec::try_from(self.labels.contiguous()).expect("labels are one row of i64")
    }

    fn check_labels(&self, split: &'static str, classes: i64) -> Result<(), EvalError> {
        let (lowest, highest) = self.labels.aminmax(None, false);
        let (lowest, highest) = (lowest.int64_value(&[]), highest.int64_value(&[]));
        if lowest < 0 || highest >= classes {
            return Err(EvalError::Label { split, lowest, highest, classes });
        }
        Ok(())
    }
}

/// A training and a test split over the same classes.
///
/// A class can be missing from either split; its test samples then count as wrong.
#[derive(Debug)]
pub struct EncodedData {
    train: EncodedSplit,
    test: EncodedSplit,
    classes: i64,
}

impl EncodedData {
    /// Combines two splits whose labels lie in 0..`classes`; on the CPU if they are on different
    /// devices.
    ///
    /// # Errors
    /// [`EvalError::Setting`] unless there are two classes or more;
    /// [`EvalError::Shape`] when the splits differ in D;
    /// [`EvalError::Label`] when a label is out of range.
    pub fn new(train: EncodedSplit, test: EncodedSplit, classes: usize) -> Result<Self, EvalError> {
        if classes < 2 {
            let (value, expected) = (classes as f64, "at least 2");
            return Err(EvalError::Setting { name: "number of classes", value, expected });
        }
        if train.width() != test.width() {
            let expected = format!("[N, {}] as the training features", train.width());
            let found = test.features.size();
            return Err(EvalError::Shape { what: "test features", found, expected });
        }
        // Features in a file are on the CPU, also where those of the other split are not.
        let (train, test) = match train.features.device() == test.features.device() {
            true => (train, test),
            false => (train.on_host(), test.on_host()),
        };
        let classes = classes as i64;
        train.check_labels("training", classes)?;
        test.check_labels("test", classes)?;
        Ok(Self { train, test, classes })
    }

    /// The split that protocols learn from.
    pub fn train(&self) -> &EncodedSplit {
        &self.train
    }

    /// The split that protocols are measured on.
    pub fn test(&self) -> &EncodedSplit {
        &self.test
    }

    /// Number of classes.
    pub fn classes(&self) -> i64 {
        self.classes
    }

    /// Number of training samples of each class.
    pub fn training_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes as usize];
        for label in self.train.labels_on_host() {
            counts[label as usize] += 1;
        }
        counts
    }

    /// The same test split, with only the training samples at these indices.
    ///
    /// # Panics
    /// When there is no index, or one outside the training split.
    pub fn with_training_part(&self, indices: &[usize]) -> Self {
        assert!(!indices.is_empty(), "a part of a training split has samples");
        let indices: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
        let indices = Tensor::from_slice(&indices).to_device(self.train.features.device());
        let train = EncodedSplit {
            features: self.train.features.index_select(0, &indices),
            labels: self.train.labels.index_select(0, &indices),
        };
        let (features, labels) = (&self.test.features, &self.test.labels);
        let test =
            EncodedSplit { features: features.shallow_clone(), labels: labels.shallow_clone() };
        Self { train, test, classes: self.classes }
    }

    /// Shifts and scales each feature to mean 0 and variance 1 over the training split.
    ///
    /// The test split is shifted and scaled by the same amounts. A feature that is constant
    /// over the training split becomes 0 everywhere.
    pub fn standardized(&self) -> Self {
        let standard = Standardization::over(&self.train.features);
        let apply = |split: &EncodedSplit| EncodedSplit {
            features: standard.apply(&split.features),
            labels: split.labels.shallow_clone(),
        };
        Self { train: apply(&self.train), test: apply(&self.test), classes: self.classes }
    }
}

/// The shift and scale that bring each feature to mean 0 and variance 1 over some samples.
pub(crate) struct Standardization {
    mean: Tensor,
    scale: Tensor,
}

impl Standardization {
    /// Computes both over features [N, D], one block at a time.
    pub(crate) fn over(features: &Tensor) -> Self {
        let (mean, variance) = moments(features, block_rows(features));
        let deviation = variance.sqrt();
        // Rounding gives a constant column a standard deviation of about 1e-7 of its value.
        let varies = deviation.greater_tensor(&(mean.abs() * 1e-6));
        let scale =
            varies.to_kind(Kind::Float) / deviation.where_self(&varies, &deviation.ones_like());
        Self { mean, scale }
    }

    /// Features [N, D], shifted and scaled; a feature that was constant becomes 0.
    pub(crate) fn apply(&self, features: &Tensor) -> Tensor {
        (features - &self.mean).g_mul_(&self.scale)
    }
}

/// Number of samples of features [N, D] that are processed at once.
pub(crate) fn block_rows(features: &Tensor) -> i64 {
    let size = features.size();
    (BLOCK / size[1].max(1)).clamp(1, size[0].max(1))
}

/// Mean and variance of each feature over samples [N, D], combined from blocks of `rows` rows
/// (Chan, Golub and LeVeque's update).
fn moments(features: &Tensor, rows: i64) -> (Tensor, Tensor) {
    let of = |block: &Tensor| {
        let (variance, mean) = block.var_mean_correction([0].as_slice(), 0, true);
        (mean, variance)
    };
    let blocks = features.split(rows, 0);
    let (first, rest) = blocks.split_first().expect("a split has one block at least");
    let (mean, variance) = of(first);
    if rest.is_empty() {
        return (mean, variance);
    }
    let double = |tensor: Tensor| tensor.to_kind(Kind::Double);
    let (mut mean, mut variance) = (double(mean), double(variance));
    let mut count = first.size()[0] as f64;
    for block in rest {
        let (next, spread) = of(block);
        let (samples, apart) = (block.size()[0] as f64, double(next) - &mean);
        let part = samples / (count + samples);
        variance = variance * (1.0 - part)
            + double(spread) * part
            + apart.square() * (part * (1.0 - part));
        mean += apart * part;
        count += samples;
    }
    (mean.to_kind(Kind::Float), variance.to_kind(Kind::Float))
}

/// Encodes batches into `rows`, without gradients; returns their labels.
pub(crate) fn encode_into<E: From<EvalError>>(
    rows: &mut Rows<'_>,
    batches: impl IntoIterator<Item = Result<(Tensor, Vec<i64>), E>>,
    device: Device,
    mut encode: impl FnMut(&Tensor) -> Tensor,
) -> Result<Vec<i64>, E> {
    let (mut labels, mut width) = (Vec::new(), None);
    for batch in batches {
        let (images, batch_labels) = batch?;
        let encoded = tch::no_grad(|| encode(&images.to_device(device)).to_kind(Kind::Float));
        let (found, samples) = (encoded.size(), batch_labels.len() as i64);
        let columns = *width.get_or_insert(*found.last().unwrap_or(&0));
        if found != [samples, columns] {
            let expected = format!("[{samples}, {columns}]");
            return Err(EvalError::Shape { what: "encoded batch", found, expected }.into());
        }
        rows.push(encoded)?;
        labels.extend(batch_labels);
    }
    Ok(labels)
}

/// An encoder's features [B, D] of whole images, u8 pixels [B, C, H, W].
///
/// # Errors
/// [`ModelError::Shape`] when the images are of another size.
pub fn image_features(
    encoder: &dyn ImageEncoder,
    normalization: &ImageNormalization,
    pooling: Pooling,
    pixels: &Tensor,
) -> Result<Tensor, ModelError> {
    Ok(pooling.pool(&encoder.encode(&normalization.normalize(pixels), Encode::whole())?))
}

/// Concatenates an encoder's outputs for consecutive batches, [B, …] each, along B.
///
/// # Errors
/// The first error among the batches, or [`EvalError::Shape`] when there are none.
pub fn join_batches<E: From<EvalError>>(
    batches: impl IntoIterator<Item = Result<Tensor, E>>,
) -> Result<Tensor, E> {
    let batches = batches.into_iter().collect::<Result<Vec<_>, E>>()?;
    if batches.is_empty() {
        let expected = "at least one batch".into();
        return Err(EvalError::Shape { what: "batches", found: vec![0], expected }.into());
    }
    Ok(Tensor::cat(&batches, 0))
}

/// Refuses NaN and infinity, with one read from the device, or one per block of features.
pub(crate) fn check_finite(what: &'static str, tensor: &Tensor) -> Result<(), EvalError> {
    let total = tensor.numel() as i64;
    let of = |block: &Tensor| block.isfinite().sum(Kind::Int64).int64_value(&[]);
    let finite = match tensor.dim() {
        // Testing a number takes more memory than the number itself.
        2 => tensor.split((block_rows(tensor) / 16).max(1), 0).iter().map(of).sum(),
        _ => of(tensor),
    };
    if finite != total {
        return Err(EvalError::NotFinite { what, count: total - finite, total });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_the_moments_of_the_whole() {
        let features = Tensor::arange(60, (Kind::Float, Device::Cpu)).view([20, 3]).sin() + 4.0;
        let close = |one: &Tensor, other: &Tensor| one.allclose(other, 1e-5, 1e-6, false);
        let (mean, variance) = moments(&features, 20);
        for rows in [1, 6, 19] {
            let (found, spread) = moments(&features, rows);
            assert!(close(&found, &mean) && close(&spread, &variance), "{rows} rows at once");
        }
        assert_eq!(block_rows(&Tensor::zeros([5, 3], (Kind::Float, Device::Cpu))), 5);
        let wide = Tensor::zeros([1, 1], (Kind::Float, Device::Cpu)).expand([9, BLOCK / 2], false);
        assert_eq!(block_rows(&wide), 2);
    }
}
