//! Eigenvalues of a symmetric matrix by Jacobi's cyclic rotations.

/// Sweeps after which a matrix is as diagonal as it gets; ten are usual for fifty rows.
const SWEEPS: usize = 60;

/// Eigenvalues and eigenvectors of a symmetric matrix of `n` rows.
///
/// The matrix is B D B^T with D = diag(values); column j of B, `vectors[i * n + j]`, belongs to
/// `values[j]`. The order is not sorted.
pub(crate) fn symmetric_eigen(matrix: &[f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut a = matrix.to_vec();
    let mut vectors: Vec<f64> = (0..n * n).map(|i| f64::from(u8::from(i / n == i % n))).collect();
    let scale: f64 = a.iter().map(|x| x * x).sum();
    for _ in 0..SWEEPS {
        let off: f64 = (0..n)
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .map(|(i, j)| a[i * n + j])
            .map(|x| x * x)
            .sum();
        if off <= 1e-30 * scale {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, n, p, q);
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), vectors)
}

/// Makes the entries (p, q) and (q, p) zero.
fn rotate(a: &mut [f64], vectors: &mut [f64], n: usize, p: usize, q: usize) {
    let off = a[p * n + q];
    if off == 0.0 {
        return;
    }
    // The smaller of the two angles: tan θ of the root with the smaller magnitude.
    let ratio = (a[q * n + q] - a[p * n + p]) / (2.0 * off);
    let tangent = ratio.signum() / (ratio.abs() + ratio.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    for k in 0..n {
        let (x, y) = (a[k * n + p], a[k * n + q]);
        (a[k * n + p], a[k * n + q]) = (cosine * x - sine * y, sine * x + cosine * y);
    }
    for k in 0..n {
        let (x, y) = (a[p * n + k], a[q * n + k]);
        (a[p * n + k], a[q * n + k]) = (cosine * x - sine * y, sine * x + cosine * y);
        let (x, y) = (vectors[k * n + p], vectors[k * n + q]);
        (vectors[k * n + p], vectors[k * n + q]) = (cosine * x - sine * y, sine * x + cosine * y);
    }
    (a[p * n + q], a[q * n + p]) = (0.0, 0.0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_parts_make_the_matrix_again(n in 1_usize..12, values in prop::collection::vec(-2.0_f64..2.0, 144)) {
            let matrix: Vec<f64> =
                (0..n * n).map(|i| values[i / n * 12 + i % n] + values[i % n * 12 + i / n]).collect();
            let (eigenvalues, b) = symmetric_eigen(&matrix, n);
            for i in 0..n {
                for j in 0..n {
                    let again: f64 = (0..n).map(|k| b[i * n + k] * eigenvalues[k] * b[j * n + k]).sum();
                    prop_assert!((again - matrix[i * n + j]).abs() < 1e-10);
                    let unit: f64 = (0..n).map(|k| b[k * n + i] * b[k * n + j]).sum();
                    prop_assert!((unit - f64::from(u8::from(i == j))).abs() < 1e-10);
                }
            }
        }
    }

    #[test]
    fn the_eigenvalues_of_a_small_matrix() {
        let (mut values, _) = symmetric_eigen(&[2.0, 1.0, 1.0, 2.0], 2);
        values.sort_by(f64::total_cmp);
        assert!((values[0] - 1.0).abs() < 1e-14 && (values[1] - 3.0).abs() < 1e-14);
    }
}
