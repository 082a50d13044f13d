//! Projection of features on their first principal components.

use tch::{Kind, Tensor};

use crate::EvalError;

/// Features projected on the directions in which they vary most.
#[derive(Debug)]
pub struct Projection {
    /// Coordinates [N, K], f32, with columns of mean zero; the first varies most.
    pub points: Tensor,
    /// The fraction of the features' variance that each of the K directions explains.
    pub explained: Vec<f64>,
}

impl Projection {
    /// Projects features [N, D] on their first K = `components` principal components.
    ///
    /// A component's sign is chosen so that its largest weight is positive.
    ///
    /// # Errors
    /// [`EvalError::Shape`] unless there are at least two samples and K ≥ 1 columns.
    pub fn new(features: &Tensor, components: usize) -> Result<Self, EvalError> {
        let (found, components) = (features.size(), components as i64);
        if found.len() != 2 || found[0] < 2 || found[1] < components || components < 1 {
            let expected = format!("[N, D] with N at least 2 and D at least {components}");
            return Err(EvalError::Shape { what: "features to project", found, expected });
        }
        let features = features.detach().to_kind(Kind::Double);
        let centred = &features - features.mean_dim([0].as_slice(), true, None);
        let covariance = centred.transpose(0, 1).matmul(&centred);
        // Eigenvalues ascend: the last are wanted, largest first.
        let (values, vectors) = covariance.linalg_eigh("L");
        let first = vectors.narrow(1, found[1] - components, components).flip([1]);
        let largest = first.gather(0, &first.abs().argmax(0, true), false);
        let points = centred.matmul(&(first * largest.sign())).to_kind(Kind::Float);
        let values = Vec::<f64>::try_from(values).expect("a vector of doubles");
        let total: f64 = values.iter().sum();
        let share = |&value: &f64| if total > 0.0 { (value / total).max(0.0) } else { 0.0 };
        let explained = values.iter().rev().take(components as usize).map(share).collect();
        Ok(Self { points, explained })
    }

    /// The first two coordinates of each sample, on the host.
    ///
    /// # Panics
    /// When there is only one component.
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
        let found = Projection::new(&Tensor::from_slice(&rows).view([4, 3]), 2).unwrap();
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
        assert!(Projection::new(&one, 2).unwrap_err().to_string().contains("[1, 5]"));
    }
}
