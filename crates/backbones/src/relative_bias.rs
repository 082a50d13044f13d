//! Learned biases of attention by relative position (BEiT, arXiv 2106.08254; MaskDistill §3).
//!
//! A table has one row for each difference between two positions of the grid, and three for pairs
//! with the class token; a pair's row is added to its attention scores, one number per head.

use bauta_masking::Grid;
use tch::Tensor;

use crate::{Init, Scope};

/// Rows for pairs with the class token: class to patch, patch to class, class to class.
const CLASS_ROWS: i64 = 3;

/// The row of every pair of tokens, [1 + L, 1 + L] in row-major order: query i, key j.
///
/// With dy and dx the query's position minus the key's, patches of an h × w grid have row
/// `(dy + h − 1) · (2w − 1) + dx + w − 1`. Of the last three rows of the table, the first is for the
/// class token as query, the second for it as key, the third for it with itself.
pub fn relative_position_index(grid: Grid) -> Vec<i64> {
    let (height, width) = (grid.height() as i64, grid.width() as i64);
    let class = distances(grid);
    let places = || (0..height).flat_map(|row| (0..width).map(move |column| (row, column)));
    let mut index = vec![class + 2];
    index.extend(places().map(|_| class));
    for (row, column) in places() {
        index.push(class + 1);
        index.extend(places().map(|(key_row, key_column)| {
            let (dy, dx) = (row - key_row + height - 1, column - key_column + width - 1);
            dy * (2 * width - 1) + dx
        }));
    }
    index
}

/// Number of differences between two positions of a grid.
fn distances(grid: Grid) -> i64 {
    ((2 * grid.height() - 1) * (2 * grid.width() - 1)) as i64
}

/// Number of rows of a grid's table.
pub(crate) fn relative_bias_rows(grid: Grid) -> i64 {
    distances(grid) + CLASS_ROWS
}

/// Resamples a table [(2h − 1)(2w − 1) + 3, heads] from one grid to another, for images of another
/// size: bicubic, without aligned corners; the class token's three rows are unchanged.
///
/// BEiT's own code samples the new differences on a geometric grid instead, which stretches large
/// ones more than small ones; here all are stretched equally.
///
/// # Panics
/// When the table is not that of `from`.
pub fn interpolate_relative_bias(table: &Tensor, from: Grid, to: Grid) -> Tensor {
    let (rows, heads) = table.size2().expect("a table is [rows, heads]");
    assert_eq!(rows, relative_bias_rows(from), "the table of another grid");
    let sides = |grid: Grid| [2 * grid.height() as i64 - 1, 2 * grid.width() as i64 - 1];
    let [height, width] = sides(from);
    let patches = table.narrow(0, 0, distances(from)).view([1, height, width, heads]);
    let patches = patches.permute([0, 3, 1, 2]).upsample_bicubic2d(sides(to), false, None, None);
    let patches = patches.permute([0, 2, 3, 1]).reshape([-1, heads]);
    Tensor::cat(&[&patches, &table.narrow(0, distances(from), CLASS_ROWS)], 0)
}

/// One table, shared by all blocks of an encoder.
#[derive(Debug)]
pub struct RelativePositionBias {
    /// [(2h − 1)(2w − 1) + 3, heads].
    table: Tensor,
    /// The row of every pair, [(1 + L)²]; follows from the grid, so it is not a parameter.
    index: Tensor,
    tokens: i64,
}

impl RelativePositionBias {
    /// Adds `relative_position_bias_table` (zero).
    pub fn new(mut scope: Scope<'_>, grid: Grid, heads: usize) -> Self {
        let shape = [relative_bias_rows(grid), heads as i64];
        let table = scope.add("relative_position_bias_table", &shape, Init::Constant(0.0));
        let index = Tensor::from_slice(&relative_position_index(grid)).to_device(table.device());
        Self { table, index, tokens: 1 + grid.tokens() as i64 }
    }

    /// The biases of all pairs, [1, heads, 1 + L, 1 + L].
    pub fn forward(&self) -> Tensor {
        let pairs = self.table.index_select(0, &self.index);
        pairs.view([1, self.tokens, self.tokens, -1]).permute([0, 3, 1, 2]).contiguous()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tch::{Device, Kind};

    use super::*;
    use crate::Parameters;
    use crate::tests::normal;

    fn grid(height: usize, width: usize) -> Grid {
        Grid::image(height, width).unwrap()
    }

    #[test]
    fn equals_the_golden_index() {
        let wanted = [
            [11, 9, 9, 9, 9],
            [10, 4, 3, 1, 0],
            [10, 5, 4, 2, 1],
            [10, 7, 6, 4, 3],
            [10, 8, 7, 5, 4],
        ];
        assert_eq!(relative_position_index(grid(2, 2)), wanted.concat());
    }

    #[test]
    fn equals_the_reference_on_fourteen_by_fourteen() {
        let index = relative_position_index(grid(14, 14));
        let at = |query: usize, key: usize| index[query * 197 + key];
        assert!((1..197).all(|token| at(token, token) == 364));
        assert_eq!([at(1, 2), at(2, 1), at(1, 15)], [363, 365, 337]);
        assert_eq!(index.iter().sum::<i64>(), 14_270_119);
        assert_eq!(relative_bias_rows(grid(14, 14)), 732);
        assert_eq!(relative_bias_rows(grid(16, 16)), 964);
    }

    proptest! {
        #[test]
        fn a_row_depends_on_the_difference_alone_and_every_row_is_used(
            height in 1_usize..6, width in 1_usize..6,
        ) {
            let index = relative_position_index(grid(height, width));
            let tokens = 1 + height * width;
            let mut of_difference = std::collections::HashMap::new();
            let place = |token: usize| {
                let token = (token - 1) as i64;
                (token / width as i64, token % width as i64)
            };
            for query in 1..tokens {
                for key in 1..tokens {
                    let (q, k) = (place(query), place(key));
                    let row = index[query * tokens + key];
                    let first = *of_difference.entry((q.0 - k.0, q.1 - k.1)).or_insert(row);
                    prop_assert_eq!(first, row);
                }
            }
            let mut used = index.clone();
            used.sort_unstable();
            used.dedup();
            let rows = ((2 * height - 1) * (2 * width - 1) + 3) as i64;
            prop_assert_eq!(used, (0..rows).collect::<Vec<_>>());
        }
    }

    #[test]
    fn each_pair_gets_its_row() {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let bias = RelativePositionBias::new(parameters.root(), grid(2, 3), 2);
        let table = &parameters.get("relative_position_bias_table").unwrap().tensor;
        assert_eq!(table.size(), [18, 2]);
        let numbers = Tensor::arange(36, (Kind::Float, Device::Cpu)).view([18, 2]);
        tch::no_grad(|| table.shallow_clone().copy_(&numbers));
        let found = bias.forward();
        assert_eq!(found.size(), [1, 2, 7, 7]);
        let index = relative_position_index(grid(2, 3));
        for (pair, row) in index.iter().enumerate() {
            let (query, key) = (pair as i64 / 7, pair as i64 % 7);
            for head in 0..2 {
                let value = found.double_value(&[0, head, query, key]);
                assert_eq!(value, (2 * row + head) as f64);
            }
        }
    }

    #[test]
    fn interpolation_keeps_the_class_rows_and_a_grid_of_the_same_size() {
        let table = normal("table", &[18, 2]);
        let same = interpolate_relative_bias(&table, grid(2, 3), grid(2, 3));
        assert!((same - &table).abs().max().double_value(&[]) < 1e-6);
        let larger = interpolate_relative_bias(&table, grid(2, 3), grid(4, 5));
        assert_eq!(larger.size(), [66, 2]);
        assert_eq!(larger.narrow(0, 63, 3), table.narrow(0, 15, 3));
        // A constant stays constant; the middle row, of a token with itself, stays in the middle.
        let bump = Tensor::zeros([28, 1], (Kind::Float, Device::Cpu));
        let _ = bump.get(12).fill_(1.0);
        let wider = interpolate_relative_bias(&bump, grid(3, 3), grid(5, 5));
        assert_eq!(wider.narrow(0, 0, 81).argmax(0, false).int64_value(&[0]), 40);
    }
}
