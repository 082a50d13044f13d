//! Fixed two-dimensional sine-cosine positions (MAE, appendix A.1).

use bauta_masking::Grid;
use tch::Tensor;

use crate::patch_tokens;

/// Computes the position table [1 + L, D] in row-major order; its first row, of the class token, is
/// zero.
///
/// With ω_k = 10000^(−k / (D/4)), the token at row i and column j has `[sin(j·ω) | cos(j·ω) |
/// sin(i·ω) | cos(i·ω)]`, each part D/4 wide: the column comes first, and sines and cosines are in
/// separate blocks. Computed in double precision, as in the reference.
///
/// # Panics
/// When `dim` is not a multiple of 4.
pub fn sin_cos_2d(grid: Grid, dim: usize) -> Vec<f32> {
    assert!(dim.is_multiple_of(4), "sine-cosine positions need a multiple of 4, got {dim}");
    let quarter = dim / 4;
    let omega: Vec<f64> =
        (0..quarter).map(|k| 1.0 / 10_000_f64.powf(k as f64 / quarter as f64)).collect();
    let mut table = vec![0.0; dim];
    table.reserve(grid.tokens() * dim);
    for row in 0..grid.height() {
        for column in 0..grid.width() {
            for place in [column, row] {
                table.extend(omega.iter().map(|w| (place as f64 * w).sin() as f32));
                table.extend(omega.iter().map(|w| (place as f64 * w).cos() as f32));
            }
        }
    }
    table
}

/// Resamples a table [1, 1 + L, D] from one grid to another, for images of another size: bicubic,
/// without aligned corners; the class token's row is unchanged (MAE, fine-tuning at higher
/// resolution).
///
/// # Panics
/// When the table is not that of `from`.
pub fn interpolate_positions(table: &Tensor, from: Grid, to: Grid) -> Tensor {
    let (_, rows, dim) = table.size3().expect("a table is [1, 1 + L, D]");
    assert_eq!(rows as usize, 1 + from.tokens(), "the table of another grid");
    let sides = |grid: Grid| [grid.height() as i64, grid.width() as i64];
    let [height, width] = sides(from);
    let patches = patch_tokens(table).reshape([1, height, width, dim]);
    let patches = patches.permute([0, 3, 1, 2]).upsample_bicubic2d(sides(to), false, None, None);
    let patches = patches.permute([0, 2, 3, 1]).reshape([1, -1, dim]);
    Tensor::cat(&[table.narrow(1, 0, 1), patches], 1)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::tests::normal;

    #[test]
    fn interpolation_keeps_the_class_token_and_a_grid_of_the_same_size() {
        let grid = |height, width| Grid::image(height, width).unwrap();
        let table = normal("table", &[1, 7, 8]);
        let off = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
        assert!(off(&interpolate_positions(&table, grid(2, 3), grid(2, 3)), &table) < 1e-6);
        let larger = interpolate_positions(&table, grid(2, 3), grid(4, 9));
        assert_eq!(larger.size(), [1, 37, 8]);
        assert_eq!(larger.narrow(1, 0, 1), table.narrow(1, 0, 1));
        // A ramp along the width stays a ramp along the width, away from the border; the
        // cubic with a = −¾ bends it by 3/64 a quarter of the way between two patches.
        let ramp = Tensor::cat(
            &[
                Tensor::zeros([1, 1, 4], (Kind::Float, Device::Cpu)),
                Tensor::arange(8, (Kind::Float, Device::Cpu)).view([1, 8, 1]).repeat([1, 4, 4]),
            ],
            1,
        );
        let longer = interpolate_positions(&ramp, grid(4, 8), grid(4, 16));
        let row: Vec<f32> = patch_tokens(&longer).select(2, 0).flatten(0, -1).try_into().unwrap();
        for (column, found) in row.iter().enumerate().take(12).skip(4) {
            let bend = if column % 2 == 0 { -3.0 / 64.0 } else { 3.0 / 64.0 };
            let wanted = (column as f32 + 0.5) / 2.0 - 0.5 + bend;
            assert!((found - wanted).abs() < 1e-4, "{column}: {found}");
        }
    }

    fn table(height: usize, width: usize, dim: usize) -> Vec<f32> {
        sin_cos_2d(Grid::image(height, width).unwrap(), dim)
    }

    #[test]
    fn equals_the_golden_table() {
        let expected: [f32; 40] = [
            0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, //
            0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, //
            0.841471, 0.01, 0.540302, 0.999950, 0.0, 0.0, 1.0, 1.0, //
            0.0, 0.0, 1.0, 1.0, 0.841471, 0.01, 0.540302, 0.999950, //
            0.841471, 0.01, 0.540302, 0.999950, 0.841471, 0.01, 0.540302, 0.999950,
        ];
        for (found, expected) in table(2, 2, 8).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        }
    }

    #[test]
    fn equals_the_reference_checksums() {
        let sum = |table: &[f32]| table.iter().map(|&x| f64::from(x)).sum::<f64>();
        assert!((sum(&table(14, 14, 768)) - 69594.493859).abs() < 1e-3);
        assert!((sum(&table(14, 14, 512)) - 46340.333103).abs() < 1e-3);
        assert!((sum(&table(16, 16, 1280)) - 149578.405753).abs() < 1e-3);
        let squares: f64 = table(14, 14, 768).iter().map(|&x| f64::from(x).powi(2)).sum();
        assert!((squares - 196.0 * 384.0).abs() < 1e-3);
    }

    #[test]
    fn rows_are_distinct_and_of_equal_length() {
        let table = table(3, 5, 16);
        let rows: Vec<&[f32]> = table.chunks_exact(16).skip(1).collect();
        for (i, row) in rows.iter().enumerate() {
            let squares: f32 = row.iter().map(|x| x * x).sum();
            assert!((squares - 8.0).abs() < 1e-5);
            assert!(rows[..i].iter().all(|other| other != row));
        }
    }
}
