//! Samples as points in a space: features in row-major order.

use crate::error::EvolveError;

/// N points with D coordinates.
#[derive(Clone, Debug, PartialEq)]
pub struct Points {
    values: Vec<f32>,
    dim: usize,
}

impl Points {
    /// Takes [N, D] values in row-major order.
    ///
    /// # Errors
    /// When `dim` is 0, there are no values or not a whole number of rows, or a value is not
    /// finite.
    pub fn new(values: Vec<f32>, dim: usize) -> Result<Self, EvolveError> {
        if dim == 0 {
            return Err(EvolveError::setting("dim", 0, "must be at least 1"));
        }
        if values.is_empty() || !values.len().is_multiple_of(dim) {
            let rule = format!("must be a positive multiple of dim = {dim}");
            return Err(EvolveError::setting("the number of values", values.len(), rule));
        }
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            return Err(EvolveError::NotFinite { sample: place / dim, value: place % dim });
        }
        Ok(Self { values, dim })
    }

    /// Number of points, N, at least 1.
    pub fn count(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Number of coordinates of a point, D.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// One point, \[D\].
    ///
    /// # Panics
    /// When there is no such point.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.dim..][..self.dim]
    }

    /// All points in order.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.dim)
    }

    /// Mean of the points, \[D\].
    pub fn mean(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.dim];
        for row in self.rows() {
            mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        mean.iter_mut().for_each(|sum| *sum /= self.count() as f64);
        mean
    }

    /// Mean squared distance from the mean, as a fraction of the mean squared length, in [0, 1]. It
    /// is 0 for a representation that has collapsed to one point, and if all points are zero.
    pub fn spread(&self) -> f64 {
        let mean = self.mean();
        let (mut around, mut whole) = (0.0, 0.0);
        for row in self.rows() {
            for (x, mean) in row.iter().map(|x| f64::from(*x)).zip(&mean) {
                around += (x - mean).powi(2);
                whole += x * x;
            }
        }
        if whole > 0.0 { (around / whole).min(1.0) } else { 0.0 }
    }

    /// The centred points, each scaled to length 1; a point equal to the mean stays zero.
    pub fn normalized(&self) -> Self {
        let mean = self.mean();
        let mut values = Vec::with_capacity(self.values.len());
        for row in self.rows() {
            let centred: Vec<f64> =
                row.iter().zip(&mean).map(|(x, mean)| f64::from(*x) - mean).collect();
            let length = centred.iter().map(|x| x * x).sum::<f64>().sqrt();
            let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
            values.extend(centred.iter().map(|x| (x * scale) as f32));
        }
        Self { values, dim: self.dim }
    }
}

/// |a − b|².
pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
