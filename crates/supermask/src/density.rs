//! The fraction of a layer that a mask keeps.

use serde::{Deserialize, Serialize};

use crate::SupermaskError;

/// The kept fraction of each layer, in (0, 1].
///
/// The released code calls it sparsity, which means the opposite; that word is not used here.
///
/// ```
/// use bauta_supermask::Density;
/// let density = Density::new(0.1)?;
/// assert_eq!(density.kept(235_200), 23_520);
/// assert!(Density::new(0.0).is_err());
/// # Ok::<(), bauta_supermask::SupermaskError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Density(f64);

impl Density {
    /// Everything is kept.
    pub const WHOLE: Self = Self(1.0);

    /// Checks the fraction.
    ///
    /// # Errors
    /// [`SupermaskError::Density`] unless it is in (0, 1].
    pub fn new(fraction: f64) -> Result<Self, SupermaskError> {
        let within = fraction > 0.0 && fraction <= 1.0;
        within.then_some(Self(fraction)).ok_or(SupermaskError::Density(fraction))
    }

    /// The fraction.
    pub fn get(self) -> f64 {
        self.0
    }

    /// Weights kept of `n`: n − ⌊(1 − k) · n⌋, with the product in double precision, as in the
    /// released code.
    ///
    /// So a layer keeps at least one weight, and a product slightly below a whole number due to
    /// rounding keeps one more: of 10 weights at 0.9, all 10.
    pub fn kept(self, n: usize) -> usize {
        n - ((1.0 - self.0) * n as f64) as usize
    }
}

impl TryFrom<f64> for Density {
    type Error = SupermaskError;

    fn try_from(fraction: f64) -> Result<Self, Self::Error> {
        Self::new(fraction)
    }
}

impl From<Density> for f64 {
    fn from(density: Density) -> Self {
        density.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_counts_are_known_ones() {
        for (n, counts) in [
            (27, [1, 2, 3, 14]),
            (100, [2, 5, 10, 50]),
            (540, [11, 27, 54, 270]),
            (235_200, [4704, 11_760, 23_520, 117_600]),
        ] {
            let kept = [0.02, 0.05, 0.1, 0.5].map(|k| Density::new(k).unwrap().kept(n));
            assert_eq!(kept, counts, "{n}");
        }
        assert_eq!(Density::new(0.9).unwrap().kept(10), 10);
    }

    #[test]
    fn what_is_no_fraction_is_refused() {
        for fraction in [0.0, -0.1, 1.000_001, f64::NAN, f64::INFINITY] {
            let error = Density::new(fraction).unwrap_err().to_string();
            assert!(error.ends_with("must be in (0, 1]"), "{error}");
        }
        assert!(serde_json::from_str::<Density>("1.5").is_err());
    }
}
