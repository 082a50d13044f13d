//! Planes of numbers: resizing, slopes, interpolation and medians.

use std::array::from_fn;

/// Numbers [H, W], row by row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plane {
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl Plane {
    /// A plane whose number at each position is given by `at`.
    pub(super) fn new(height: usize, width: usize, at: impl Fn(usize) -> f32) -> Self {
        Self { height, width, values: (0..height * width).map(at).collect() }
    }

    pub(super) fn height(&self) -> usize {
        self.height
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Resizes with linear interpolation, without a filter before; `steps` are in pixels of this
    /// plane per pixel of the new one.
    pub(super) fn resized(&self, [height, width]: [usize; 2], steps: [f64; 2]) -> Self {
        let between = |place: usize, step: f64, side: usize| -> (usize, usize, f32) {
            let at = (((place as f64 + 0.5) * step - 0.5) as f32).clamp(0.0, (side - 1) as f32);
            let first = at as usize;
            (first, (first + 1).min(side - 1), at - first as f32)
        };
        let columns: Vec<_> =
            (0..width).map(|column| between(column, steps[1], self.width)).collect();
        let mut values = Vec::with_capacity(height * width);
        for row in 0..height {
            let (upper, lower, down) = between(row, steps[0], self.height);
            let [upper, lower] = [upper, lower].map(|row| &self.values[row * self.width..]);
            values.extend(columns.iter().map(|&(left, right, across)| {
                let [above, below] =
                    [upper, lower].map(|row| row[left] * (1.0 - across) + row[right] * across);
                above * (1.0 - down) + below * down
            }));
        }
        Self { height, width, values }
    }

    /// Half the difference of the neighbours to the right and left, and below and above; at the
    /// border a pixel replaces its missing neighbour.
    pub(super) fn slopes(&self) -> [Self; 2] {
        let Self { height, width, values } = self;
        let across = Self::new(*height, *width, |at| {
            let (row, column) = (at / width * width, at % width);
            let right = values[row + (column + 1).min(width - 1)];
            0.5 * (right - values[row + column.saturating_sub(1)])
        });
        let down = Self::new(*height, *width, |at| {
            let (row, column) = (at / width, at % width);
            let below = values[(row + 1).min(height - 1) * width + column];
            0.5 * (below - values[row.saturating_sub(1) * width + column])
        });
        [across, down]
    }

    /// The number to which a flow leads from each position: cubic between pixels, 0 outside.
    pub(super) fn warped(&self, [right, down]: &[Self; 2]) -> Self {
        Self::new(self.height, self.width, |at| {
            let [x, y] = [(at % self.width) as f32, (at / self.width) as f32];
            self.cubic(x + right.values[at], y + down.values[at])
        })
    }

    fn cubic(&self, x: f32, y: f32) -> f32 {
        let [left, top] = [x.floor(), y.floor()];
        let [across, down] = [cubic_weights(x - left), cubic_weights(y - top)];
        let (left, top) = (left as i64 - 1, top as i64 - 1);
        let mut sum = 0.0;
        for (row, weight) in (top..).zip(down) {
            if !(0..self.height as i64).contains(&row) {
                continue;
            }
            let row = &self.values[row as usize * self.width..][..self.width];
            let columns = (left..).zip(across);
            let inside = columns.filter(|(column, _)| (0..self.width as i64).contains(column));
            let of_row: f32 = inside.map(|(column, w)| row[column as usize] * w).sum();
            sum += of_row * weight;
        }
        sum
    }

    /// The median of the 5 × 5 pixels around each; the border is repeated.
    pub(super) fn median(&self) -> Self {
        let near = |place: usize, side: usize| -> [usize; 5] {
            from_fn(|offset| (place + offset).saturating_sub(2).min(side - 1))
        };
        let mut values = Vec::with_capacity(self.values.len());
        for row in 0..self.height {
            let rows =
                near(row, self.height).map(|row| &self.values[row * self.width..][..self.width]);
            values.extend((0..self.width).map(|column| {
                let columns = near(column, self.width);
                let mut around: [f32; 25] = from_fn(|at| rows[at / 5][columns[at % 5]]);
                *around.select_nth_unstable_by(12, f32::total_cmp).1
            }));
        }
        Self { height: self.height, width: self.width, values }
    }
}

/// Weights of four neighbours in a row, the second of which lies `t` before the position; the
/// kernel's a is −0.75.
fn cubic_weights(t: f32) -> [f32; 4] {
    const A: f32 = -0.75;
    let far = |d: f32| ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A;
    let near = |d: f32| ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0;
    let [first, second, third] = [far(t + 1.0), near(t), near(1.0 - t)];
    [first, second, third, 1.0 - first - second - third]
}
