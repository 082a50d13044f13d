//! Fixed one-dimensional sine-cosine positions of words.

/// Computes the position table [T, D] in row-major order.
///
/// With ω_k = 10000^(−k / (D/2)), the word at position t has `[sin(t·ω) | cos(t·ω)]`, each part
/// D/2 wide. Computed in double precision.
///
/// # Panics
/// When `dim` is not even.
pub fn sin_cos_1d(places: usize, dim: usize) -> Vec<f32> {
    assert!(dim.is_multiple_of(2), "sine-cosine positions need an even width, got {dim}");
    let half = dim / 2;
    let omega: Vec<f64> =
        (0..half).map(|k| 1.0 / 10_000_f64.powf(k as f64 / half as f64)).collect();
    let mut table = Vec::with_capacity(places * dim);
    for place in 0..places {
        table.extend(omega.iter().map(|w| (place as f64 * w).sin() as f32));
        table.extend(omega.iter().map(|w| (place as f64 * w).cos() as f32));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_the_references() {
        let table = sin_cos_1d(8, 16);
        assert_eq!(table.len(), 8 * 16);
        assert_eq!(table[..16], [[0.0; 8], [1.0; 8]].concat());
        let golden = [
            0.841_471, 0.310_984, 0.099_833, 0.031_618, 0.01, 0.003_162, 0.001, 0.000_316,
            0.540_302, 0.950_415, 0.995_004, 0.9995, 0.999_95, 0.999_995, 1.0, 1.0,
        ];
        for (found, wanted) in table[16..32].iter().zip(golden) {
            assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
        }
    }
}
