//! COCO's two encodings of a mask: polygons and run lengths.
//!
//! Runs go down the columns, from left to right, and start with pixels outside the object. Polygons
//! are filled exactly as by COCO's own mask code, which draws their edges on a grid five times as
//! fine.

use serde::Deserialize;

use crate::dense::ObjectMask;

/// A mask as annotation files write it.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "must be polygons, [[x, y, x, y, ...], ...], or runs, {\"counts\": ..., \"size\": \
                 [height, width]}"
)]
pub(super) enum Segmentation {
    /// Polygons x, y, x, y …; the object is their union.
    Polygons(Vec<Vec<f64>>),
    /// Run lengths, usually of a crowd.
    Runs {
        counts: Counts,
        /// Height and width.
        size: [usize; 2],
    },
}

/// Lengths of runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Counts {
    Plain(Vec<u64>),
    Compressed(String),
}

/// A coordinate can lie outside its image by this many times the longer side.
const OUTSIDE: f64 = 2.0;

impl Segmentation {
    /// Builds the mask of an image of this size; `None` if no polygon has an area, as in
    /// annotations with boxes only.
    ///
    /// # Errors
    /// A description of what is wrong with the polygons or runs.
    pub(super) fn mask(&self, height: usize, width: usize) -> Result<Option<ObjectMask>, String> {
        match self {
            Self::Polygons(polygons) => {
                check_polygons(polygons, height, width)?;
                Ok(fill_all(polygons, height, width))
            }
            Self::Runs { counts, size } => {
                let runs = lengths(counts, *size, height, width)?;
                Ok(Some(ObjectMask::of_runs(height, width, runs)))
            }
        }
    }

    /// Checks for errors without filling polygons.
    ///
    /// # Errors
    /// As [`Self::mask`].
    pub(super) fn check(&self, height: usize, width: usize) -> Result<(), String> {
        match self {
            Self::Polygons(polygons) => check_polygons(polygons, height, width),
            Self::Runs { counts, size } => lengths(counts, *size, height, width).map(drop),
        }
    }
}

/// The lengths of runs over an image of this size.
fn lengths(
    counts: &Counts,
    size: [usize; 2],
    height: usize,
    width: usize,
) -> Result<Vec<usize>, String> {
    if size != [height, width] {
        return Err(format!(
            "the RLE mask has size {size:?}, but the image has {height} × {width} pixels"
        ));
    }
    match counts {
        Counts::Plain(runs) => unroll(runs.iter().copied(), height * width),
        Counts::Compressed(text) => unroll(decompress(text)?.into_iter(), height * width),
    }
}

fn unroll(runs: impl Iterator<Item = u64>, pixels: usize) -> Result<Vec<usize>, String> {
    let (mut lengths, mut place) = (Vec::new(), 0_usize);
    for run in runs {
        let length = usize::try_from(run).ok();
        let end = length.and_then(|run| place.checked_add(run)).filter(|&end| end <= pixels);
        let end =
            end.ok_or_else(|| format!("the RLE mask has more than the image's {pixels} pixels"))?;
        lengths.push(end - place);
        place = end;
    }
    if place != pixels {
        return Err(format!("the RLE mask has {place} pixels, but the image has {pixels}"));
    }
    Ok(lengths)
}

/// Reads COCO's compressed runs.
///
/// Each number is written in digits of five bits, lowest first, with a sixth bit that says whether
/// more follow; from the fourth number on, it is the difference from the last but one.
fn decompress(text: &str) -> Result<Vec<u64>, String> {
    let mut runs: Vec<i64> = Vec::new();
    let mut bytes = text.bytes();
    while let Some(first) = bytes.next() {
        let (mut value, mut shift, mut byte) = (0_i64, 0_u32, first);
        loop {
            let digit = byte.checked_sub(48).filter(|digit| *digit < 64);
            let digit =
                digit.ok_or_else(|| format!("the compressed RLE mask has {:?}", byte as char))?;
            if shift > 35 {
                return Err("the compressed RLE mask has a number of more than 35 bits".to_owned());
            }
            value |= i64::from(digit & 0x1f) << shift;
            shift += 5;
            if digit & 0x20 == 0 {
                if digit & 0x10 != 0 {
                    value |= -1 << shift;
                }
                break;
            }
            byte = bytes.next().ok_or("the compressed RLE mask ends within a number")?;
        }
        if runs.len() > 2 {
            value += runs[runs.len() - 2];
        }
        if !(0..=1 << 40).contains(&value) {
            return Err(format!("the compressed RLE mask has a run of {value} pixels"));
        }
        runs.push(value);
    }
    Ok(runs.into_iter().map(|run| run as u64).collect())
}

/// Steps of the finer grid in a pixel.
const FINE: f64 = 5.0;

/// Border steps that are allowed whatever the size of the image.
const SHORT: f64 = 1e5;

/// Whether a polygon has an area, that is, at least three corners.
fn has_area(polygon: &[f64]) -> bool {
    polygon.len() >= 6
}

/// Refuses coordinates that are odd in number or far outside, and borders too long to fill.
fn check_polygons(polygons: &[Vec<f64>], height: usize, width: usize) -> Result<(), String> {
    // The longest useful border passes each point of the finer grid once.
    let mut steps = FINE * FINE * (height * width) as f64 + SHORT;
    for polygon in polygons {
        if !polygon.len().is_multiple_of(2) {
            return Err(format!(
                "a polygon has {} coordinates; it must have two per corner",
                polygon.len()
            ));
        }
        if !has_area(polygon) {
            continue;
        }
        let side = height.max(width) as f64;
        let allowed = -OUTSIDE * side..=side + OUTSIDE * side;
        if let Some(far) = polygon.iter().find(|at| !allowed.contains(*at)) {
            return Err(format!(
                "a polygon has the coordinate {far}, too far outside an image of {height} × {width}"
            ));
        }
        steps -= border(polygon);
        if steps < 0.0 {
            return Err(format!(
                "a polygon has {} coordinates, and its outline is too long for an image of \
                 {height} × {width}",
                polygon.len()
            ));
        }
    }
    Ok(())
}

/// The union of some polygons, which have been checked.
fn fill_all(polygons: &[Vec<f64>], height: usize, width: usize) -> Option<ObjectMask> {
    let mut inside: Option<Vec<bool>> = None;
    for polygon in polygons.iter().filter(|polygon| has_area(polygon)) {
        let inside = inside.get_or_insert_with(|| vec![false; height * width]);
        fill(polygon, height, width, inside);
    }
    inside.map(|inside| ObjectMask::of_columns(height, width, inside.into_iter()))
}

/// The corners on the finer grid, truncated as in C, with which the published masks were computed.
fn corners(polygon: &[f64]) -> impl Iterator<Item = [i64; 2]> + Clone {
    let fine = |at: f64| (FINE * at + 0.5) as i64;
    polygon.chunks_exact(2).map(move |at| [fine(at[0]), fine(at[1])])
}

/// The edges from each corner to the next, the last one back to the first.
fn edges(polygon: &[f64]) -> impl Iterator<Item = ([i64; 2], [i64; 2])> {
    let corners = corners(polygon);
    corners.clone().zip(corners.cycle().skip(1))
}

/// Number of points that the border goes through.
fn border(polygon: &[f64]) -> f64 {
    let length =
        |(from, to): ([i64; 2], [i64; 2])| 1 + (to[0] - from[0]).abs().max((to[1] - from[1]).abs());
    edges(polygon).map(|edge| length(edge) as f64).sum()
}

/// Adds a polygon's pixels to `inside`, which runs down the columns.
fn fill(polygon: &[f64], height: usize, width: usize, inside: &mut [bool]) {
    // Each crossing of the border with a column's centre line toggles between inside and outside.
    let mut turns = vec![false; height * width + 1];
    let mut before: Option<[i64; 2]> = None;
    for (from, to) in edges(polygon) {
        walk(from, to, |here| {
            let crossed = before.and_then(|before| crossing(before, here, height, width));
            if let Some(place) = crossed {
                turns[place] = !turns[place];
            }
            before = Some(here);
        });
    }
    let mut within = false;
    for (pixel, turn) in inside.iter_mut().zip(turns) {
        within ^= turn;
        *pixel |= within;
    }
}

/// Where a step of the border crosses a column's centre line, counted down the columns.
fn crossing(
    [before, y_before]: [i64; 2],
    [here, y_here]: [i64; 2],
    height: usize,
    width: usize,
) -> Option<usize> {
    if before == here {
        return None;
    }
    let column = if here < before { here } else { here - 1 };
    let column = (column as f64 + 0.5) / FINE - 0.5;
    if column.floor() != column || column < 0.0 || column > width as f64 - 1.0 {
        return None;
    }
    let row = (y_here.min(y_before) as f64 + 0.5) / FINE - 0.5;
    let row = row.clamp(0.0, height as f64).ceil();
    Some(column as usize * height + row as usize)
}

/// Visits the points of an edge in order, both ends included.
fn walk(from: [i64; 2], to: [i64; 2], mut visit: impl FnMut([i64; 2])) {
    // The longer axis advances by one; the other coordinate is rounded.
    let along = usize::from((to[0] - from[0]).abs() < (to[1] - from[1]).abs());
    let backwards = from[along] > to[along];
    let (start, end) = if backwards { (to, from) } else { (from, to) };
    let length = end[along] - start[along];
    let across = 1 - along;
    let slope =
        if length == 0 { 0.0 } else { (end[across] - start[across]) as f64 / length as f64 };
    for step in 0..=length {
        let step = if backwards { length - step } else { step };
        let mut point = [0; 2];
        point[along] = start[along] + step;
        point[across] = (start[across] as f64 + slope * step as f64 + 0.5) as i64;
        visit(point);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(mask: &ObjectMask) -> Vec<String> {
        let row = |row: &[bool]| row.iter().map(|&i| if i { '#' } else { '.' }).collect();
        mask.pixels().chunks(mask.width()).map(row).collect()
    }

    fn parse(json: &str) -> Segmentation {
        serde_json::from_str(json).unwrap()
    }

    fn mask(json: &str, height: usize, width: usize) -> ObjectMask {
        parse(json).mask(height, width).unwrap().unwrap()
    }

    #[test]
    fn runs_go_down_the_columns() {
        let found = mask(r#"{"counts": [1, 2, 4, 1, 1], "size": [3, 3]}"#, 3, 3);
        assert_eq!(rows(&found), ["...", "#.#", "#.."]);
        assert_eq!((found.area(), found.bounds()), (3, Some([0.0, 1.0, 3.0, 2.0])));
        let none = mask(r#"{"counts": [9], "size": [3, 3]}"#, 3, 3);
        assert_eq!((none.area(), none.bounds()), (0, None));
    }

    #[test]
    fn a_rectangle_on_pixel_borders_has_its_pixels() {
        let found = mask("[[1, 1, 4, 1, 4, 3, 1, 3]]", 4, 5);
        assert_eq!(rows(&found), [".....", ".###.", ".###.", "....."]);
        let two = mask("[[0, 0, 1, 0, 1, 1, 0, 1], [0, 0, 2, 0, 2, 1, 0, 1]]", 1, 3);
        assert_eq!(rows(&two), ["##."], "the union, not the difference");
    }

    #[test]
    fn what_has_no_area_is_no_mask() {
        for json in ["[]", "[[]]", "[[1, 1, 2, 2]]", "[[8, 8, 40, 40], []]"] {
            assert_eq!(parse(json).mask(50, 50), Ok(None), "{json}");
        }
        let with = "[[1, 1, 2, 2], [0, 0, 1, 0, 1, 1, 0, 1]]";
        assert_eq!(mask(with, 1, 3), mask("[[0, 0, 1, 0, 1, 1, 0, 1]]", 1, 3));
    }

    #[test]
    fn a_border_is_as_long_as_its_image_allows() {
        let zigzag = |corners: usize, [x, y]: [f64; 2]| {
            let corner = |i| if i % 2 == 0 { [0.0, 0.0] } else { [x, y] };
            Segmentation::Polygons(vec![(0..corners).flat_map(corner).collect()])
        };
        for (corners, side, [height, width]) in
            [(300_000, [56.0, 40.0], [40, 56]), (8_000, [12_000.0, 12_000.0], [4_000, 4_000])]
        {
            let error = zigzag(corners, side).mask(height, width).unwrap_err();
            assert!(error.contains("outline is too long"), "{error}");
        }
        // Outlines drawn by people are far from the limit.
        assert!(zigzag(400, [56.0, 40.0]).mask(40, 56).is_ok());
        let many = vec![vec![0.0, 0.0, 56.0, 0.0, 0.0, 40.0]; 300_000];
        assert!(Segmentation::Polygons(many).mask(40, 56).is_err(), "all polygons share the limit");
    }

    #[test]
    fn hostile_segmentations_are_errors() {
        for (json, word) in [
            (r#"{"counts": [1, 2], "size": [3, 3]}"#, "3 pixels"),
            (r#"{"counts": [1, 20], "size": [3, 3]}"#, "more than"),
            (r#"{"counts": [18446744073709551615, 18446744073709551615], "size": [3, 3]}"#, "more"),
            (r#"{"counts": [9], "size": [9, 1]}"#, "3 × 3"),
            (r#"{"counts": "9 ", "size": [3, 3]}"#, "' '"),
            (r#"{"counts": "o", "size": [3, 3]}"#, "ends within"),
            (r#"{"counts": "oooooooooooo", "size": [3, 3]}"#, "bits"),
            (r#"{"counts": "O", "size": [3, 3]}"#, "run of -1"),
            ("[[1, 1, 2, 2, 3, 3, 4]]", "7 coordinates"),
            ("[[0, 0, 1e9, 0, 1, 1]]", "1000000000"),
        ] {
            let error = parse(json).mask(3, 3).unwrap_err();
            assert_eq!(parse(json).check(3, 3), Err(error.clone()));
            assert!(error.contains(word), "{json}: {error}");
        }
        assert!(
            serde_json::from_str::<Segmentation>(r#"{"counts": [-1], "size": [1, 1]}"#).is_err()
        );
        assert!(serde_json::from_str::<Segmentation>("[[null]]").is_err());
    }
}
