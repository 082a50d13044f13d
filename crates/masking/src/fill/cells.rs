//! Drawing the cells that keep their own pixels.

use crate::Grid;
use bauta_streams::RandomStream;

/// Smallest area that is drawn, in cells.
const MIN_AREA: f64 = 4.0;
/// Height over width of a rectangle lies in [1 / `MAX_ASPECT`, `MAX_ASPECT`].
const MAX_ASPECT: f64 = 1.0 / 0.3;
/// Consecutive rectangles that do not fit before drawing stops.
const PATIENCE: usize = 10;

/// Marks each cell with probability `own`.
pub(super) fn discrete(own: f64, stream: &mut RandomStream, cells: &mut [bool]) {
    cells.fill_with(|| stream.uniform_in(0.0, 1.0) < own);
}

/// Marks rectangles with `most` cells in all, or with fewer once ten in a row did not fit.
///
/// The area of a rectangle is uniform between 4 and the number of cells still missing, and its
/// aspect ratio log-uniform in [0.3, 1 / 0.3]; both sides are shorter than the grid's. The released
/// code draws between 4 and the missing number even if that is less than 4, and rejects rectangles
/// that are too long; `fitting` limits both, so that no grid is too small for a rectangle.
pub(super) fn rectangles(
    grid: Grid,
    most: usize,
    fitting: bool,
    stream: &mut RandomStream,
    cells: &mut [bool],
) {
    cells.fill(false);
    let mut missing = most;
    while missing > 0 {
        let laid = (0..PATIENCE).find_map(|_| lay(grid, missing, fitting, stream, cells));
        let Some(laid) = laid else { break };
        missing -= laid;
    }
}

/// Lays one rectangle and returns how many cells it marked, or nothing if it does not fit.
fn lay(
    grid: Grid,
    missing: usize,
    fitting: bool,
    stream: &mut RandomStream,
    cells: &mut [bool],
) -> Option<usize> {
    let (rows, columns) = (grid.height(), grid.width());
    let largest = missing as f64;
    let smallest = if fitting { MIN_AREA.min(largest) } else { MIN_AREA };
    let area = stream.uniform_in(smallest, largest);
    let aspect = stream.uniform_in(-MAX_ASPECT.ln(), MAX_ASPECT.ln()).exp();
    let [mut height, mut width] =
        [(area * aspect).sqrt(), (area / aspect).sqrt()].map(|side| side.round() as usize);
    if fitting {
        height = height.clamp(1, (rows - 1).max(1));
        width = width.clamp(1, (columns - 1).max(1));
    } else if height >= rows || width >= columns {
        return None;
    }
    let top = stream.below((rows - height + 1) as u64) as usize;
    let left = stream.below((columns - width + 1) as u64) as usize;
    let places = (top..top + height)
        .flat_map(|row| (left..left + width).map(move |column| row * columns + column));
    let new = places.clone().filter(|&place| !cells[place]).count();
    if new == 0 || new > missing {
        return None;
    }
    places.for_each(|place| cells[place] = true);
    Some(new)
}
