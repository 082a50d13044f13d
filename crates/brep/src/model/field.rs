//! The decoder's targets, its loss and its errors.

use tch::{Device, Kind, Reduction, Tensor};

use crate::geometry::{Part, TARGET_WIDTH};

/// Points and values of a decoder's targets: (u, v) [F, P, 2], and x, y, z, d [F, P, 4], from rows
/// [F · P, 6].
pub fn field_targets(rows: &[[f32; TARGET_WIDTH]], faces: usize) -> (Tensor, Tensor) {
    let rows = Tensor::from_slice(rows.as_flattened());
    let rows = rows.view([faces as i64, -1, TARGET_WIDTH as i64]);
    (rows.narrow(2, 0, 2).contiguous(), rows.narrow(2, 2, 4).contiguous())
}

/// The two parts of the loss, each a mean of squares, so that the surface's point has the same
/// weight as the distance to the trim.
#[derive(Debug)]
pub struct FieldLoss {
    /// The part for x, y and z.
    pub surface: Tensor,
    /// The part for d.
    pub trim: Tensor,
}

impl FieldLoss {
    /// Computes the loss of predictions and targets [F, P, 4].
    pub fn of(prediction: &Tensor, target: &Tensor) -> Self {
        let part = |from: i64, count: i64| {
            let [own, wanted] = [prediction, target].map(|it| it.narrow(2, from, count));
            own.mse_loss(&wanted, Reduction::Mean)
        };
        Self { surface: part(0, 3), trim: part(3, 1) }
    }
}

/// Errors of predictions, one number per face.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldErrors {
    /// Mean distance between the predicted and the true point, in the part's units: the part is 2
    /// units long.
    pub xyz: Vec<f64>,
    /// Mean absolute difference of d.
    pub distance: Vec<f64>,
    /// The fraction of points with the correct sign of d.
    pub sign: Vec<f64>,
}

impl FieldErrors {
    /// Computes the errors of predictions and targets [F, P, 4]; waits for the device.
    pub fn of(prediction: &Tensor, target: &Tensor) -> Self {
        let off = prediction - target;
        let xyz = off.narrow(2, 0, 3).square().sum_dim_intlist([2].as_slice(), false, Kind::Float);
        let [own, wanted] =
            [prediction, target].map(|it| it.narrow(2, 3, 1).squeeze_dim(2).lt(0.0));
        let mean = |of: Tensor| -> Vec<f64> {
            let means = of.to_kind(Kind::Float).mean_dim([1].as_slice(), false, Kind::Float);
            Vec::try_from(means.to_kind(Kind::Double).to_device(Device::Cpu))
                .expect("a vector of doubles")
        };
        Self {
            xyz: mean(xyz.sqrt()),
            distance: mean(off.narrow(2, 3, 1).squeeze_dim(2).abs()),
            sign: mean(own.eq_tensor(&wanted)),
        }
    }

    /// Appends the errors of other faces.
    pub fn extend(&mut self, other: Self) {
        self.xyz.extend(other.xyz);
        self.distance.extend(other.distance);
        self.sign.extend(other.sign);
    }

    /// Errors of a decoder without codes that predicts the mean of all targets at every point.
    pub fn of_constant(parts: &[&Part]) -> Self {
        let mut errors = Self::default();
        let rows = parts.iter().flat_map(|part| &part.targets);
        let (mut sum, mut count) = ([0.0; 4], 0.0);
        for row in rows {
            sum.iter_mut().zip(&row[2..]).for_each(|(sum, &number)| *sum += f64::from(number));
            count += 1.0;
        }
        let mean = Tensor::from_slice(&sum.map(|sum| (sum / count) as f32)).view([1, 1, 4]);
        for part in parts {
            let (_, target) = field_targets(&part.targets, part.faces.len());
            errors.extend(Self::of(&mean.expand_as(&target), &target));
        }
        errors
    }
}
