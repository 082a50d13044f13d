//! Features in the plane: their two principal components.

use tch::{Kind, Tensor};

use crate::EvalError;

/// Features projected on the directions in which they vary most.
#[derive(Debug)]
pub struct Projection {
    /// Coordinates [N, 2], f32, each column of mean zero.
    pub points: Tensor,
    /// The fraction of the features' variance that each direction holds.
    pub explained: [f64; 2],
}

impl Projection {
    /// Projects features [N, D] on their two principal components.
    ///
    /// A component's sign is chosen so that its largest weight is positive.
    ///
    /// # Errors
    /// [`EvalError::Shape`] unless there are at least two samples and two columns.
    pub fn new(features: &Tensor) -> Result<Self, EvalError> {
        let found = features.size();
        if found.len() != 2 || found.iter().any(|&side| side < 2) {
            let expected = "[N, D] with N and D at least 2".into();
            return Err(EvalError::Shape { what: "features to project", found, expected });
        }
        let features = features.detach().to_kind(Kind::Double);
        let centred = &features - features.mean_dim([0].as_slice(), true, None);
        let covariance = centred.transpose(0, 1).matmul(&centred);
        // Ascending eigenvalues: the last two are wanted, the greatest first.
        let (values, vectors) = covariance.linalg_eigh("L");
        let two = vectors.narrow(1, found[1] - 2, 2).flip([1]);
        let largest = two.gather(0, &two.abs().argmax(0, true), false);
        let points = centred.matmul(&(two * largest.sign())).to_kind(Kind::Float);
        let values = Vec::<f64>::try_from(values).expect("a vector of doubles");
        let total: f64 = values.iter().sum();
        let share = |from_last: usize| {
            if total > 0.0 { (values[values.len() - from_last] / total).max(0.0) } else { 0.0 }
        };
        Ok(Self { points, explained: [share(1), share(2)] })
    }

    /// The coordinates of each sample, on the host.
    pub fn coordinates(&self) -> Vec<(f64, f64)> {
        let column = |at: i64| {
            Vec::<f64>::try_from(self.points.select(1, at).to_kind(Kind::Double))
                .expect("a vector of doubles")
        };
        column(0).into_iter().zip(column(1)).collect()
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn a_plane_in_space_is_found() {
        // 3 · a along (1, 1, 0)/√2 and b along the third axis, a and b uncorrelated.
        let a = [-1.0_f32, -1.0, 1.0, 1.0];
        let b = [-1.0_f32, 1.0, -1.0, 1.0];
        let side = 3.0 / 2.0_f32.sqrt();
        let rows: Vec<f32> =
            a.iter().zip(b).flat_map(|(a, b)| [side * a + 7.0, side * a, b]).collect();
        let found = Projection::new(&Tensor::from_slice(&rows).view([4, 3])).unwrap();
        let points = Vec::<f32>::try_from(found.points.flatten(0, -1)).unwrap();
        for (point, (a, b)) in points.chunks_exact(2).zip(a.iter().zip(b)) {
            assert!((point[0] - 3.0 * a).abs() < 1e-5 && (point[1] - b).abs() < 1e-5, "{point:?}");
        }
        assert!((found.explained[0] - 0.9).abs() < 1e-6);
        assert!((found.explained[1] - 0.1).abs() < 1e-6);
    }

    #[test]
    fn one_sample_has_no_directions() {
        let one = Tensor::zeros([1, 5], (Kind::Float, Device::Cpu));
        assert!(Projection::new(&one).unwrap_err().to_string().contains("[1, 5]"));
    }
}
