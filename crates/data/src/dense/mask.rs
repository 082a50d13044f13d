//! Masks of objects, as run lengths.

/// The pixels that belong to an object.
///
/// Stored as in COCO: as lengths of runs down the columns, from left to right, which start with
/// pixels outside the object. A scene of many large masks therefore takes little memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMask {
    height: usize,
    width: usize,
    /// Their sum is `height · width`; none but the first is 0.
    runs: Vec<usize>,
}

impl ObjectMask {
    /// Creates a mask from `height · width` pixels, row by row.
    ///
    /// # Panics
    /// When there are more or fewer.
    pub fn new(height: usize, width: usize, inside: &[bool]) -> Self {
        assert_eq!(inside.len(), height * width, "pixels of {height} × {width}");
        let down = (0..width).flat_map(|x| inside.iter().skip(x).step_by(width).copied());
        Self::of_columns(height, width, down)
    }

    /// Creates a mask from the pixels down the columns, from left to right.
    pub(super) fn of_columns(
        height: usize,
        width: usize,
        inside: impl Iterator<Item = bool>,
    ) -> Self {
        let (mut runs, mut within) = (vec![0], false);
        for pixel in inside {
            if pixel != within {
                runs.push(0);
                within = pixel;
            }
            *runs.last_mut().expect("there is a first run") += 1;
        }
        Self { height, width, runs }
    }

    /// Creates a mask from the lengths of runs, whose sum is `height · width`.
    pub(super) fn of_runs(height: usize, width: usize, lengths: Vec<usize>) -> Self {
        debug_assert_eq!(lengths.iter().sum::<usize>(), height * width);
        let mut runs: Vec<usize> = vec![0];
        for (place, length) in lengths.into_iter().enumerate().filter(|(_, length)| *length > 0) {
            // An empty run merges those before and after it.
            if place % 2 == (runs.len() - 1) % 2 {
                *runs.last_mut().expect("there is a first run") += length;
            } else {
                runs.push(length);
            }
        }
        Self { height, width, runs }
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The `height · width` pixels, row by row.
    pub fn pixels(&self) -> Vec<bool> {
        let mut pixels = vec![false; self.height * self.width];
        for (start, end) in self.inside() {
            for down in start..end {
                pixels[down % self.height * self.width + down / self.height] = true;
            }
        }
        pixels
    }

    /// Number of the object's pixels.
    pub fn area(&self) -> usize {
        self.runs.iter().skip(1).step_by(2).sum()
    }

    /// The smallest box around the object: left, top, width and height; `None` for an object
    /// without pixels.
    pub fn bounds(&self) -> Option<[f64; 4]> {
        let mut bounds: Option<[usize; 4]> = None;
        for (start, end) in self.inside() {
            let (first, last) = (start / self.height, (end - 1) / self.height);
            let rows = if first == last {
                [start % self.height, (end - 1) % self.height]
            } else {
                [0, self.height - 1]
            };
            let [left, top, right, bottom] = bounds.unwrap_or([first, rows[0], last, rows[1]]);
            bounds =
                Some([left.min(first), top.min(rows[0]), right.max(last), bottom.max(rows[1])]);
        }
        let [left, top, right, bottom] = bounds?;
        Some([left, top, right - left + 1, bottom - top + 1].map(|side| side as f64))
    }

    /// Start and end of each run inside the object, counted down the columns.
    fn inside(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut place = 0;
        self.runs.iter().enumerate().filter_map(move |(at, &run)| {
            place += run;
            (at % 2 == 1).then_some((place - run, place))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pixels_runs_area_and_bounds_agree(
            height in 1_usize..7, width in 1_usize..7, marks: u64, gaps in prop::collection::vec(0_usize..9, 0..6),
        ) {
            let inside: Vec<bool> = (0..height * width).map(|i| marks >> i & 1 == 1).collect();
            let mask = ObjectMask::new(height, width, &inside);
            prop_assert_eq!(&mask.pixels(), &inside);
            prop_assert_eq!(mask.area(), inside.iter().filter(|&&pixel| pixel).count());
            let of = |keep: bool| {
                let at = |i: usize| if keep { i % width } else { i / width };
                let places = (0..inside.len()).filter(|&i| inside[i]).map(at);
                (places.clone().min(), places.max())
            };
            let bounds = match (of(true), of(false)) {
                ((Some(left), Some(right)), (Some(top), Some(bottom))) => {
                    Some([left, top, right - left + 1, bottom - top + 1].map(|side| side as f64))
                }
                _ => None,
            };
            prop_assert_eq!(mask.bounds(), bounds);
            // Empty runs, wherever they stand, change nothing.
            let mut lengths = mask.runs.clone();
            for gap in gaps {
                let at = gap % (lengths.len() + 1);
                lengths.splice(at..at, [0, 0]);
            }
            prop_assert_eq!(ObjectMask::of_runs(height, width, lengths), mask);
        }
    }
}
