//! COCO's two ways of writing a mask: polygons, and lengths of runs.
//!
//! Runs go down the columns, from left to right, and begin with pixels outside.
//! Polygons are filled exactly as COCO's own mask program fills them, whose
//! edges run between pixels of a grid five times as fine.

use serde::Deserialize;

use crate::dense::ObjectMask;

/// A mask as annotation files write it.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Segmentation {
    /// Polygons x, y, x, y …; the object is inside any of them.
    Polygons(Vec<Vec<f64>>),
    /// Runs, of a crowd as a rule.
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

/// A coordinate may lie outside of its image by so many times the longer side.
const OUTSIDE: f64 = 2.0;

impl Segmentation {
    /// Makes the mask of an image of this size.
    ///
    /// # Errors
    /// What is wrong with polygons or runs, in words.
    pub(super) fn mask(&self, height: usize, width: usize) -> Result<ObjectMask, String> {
        match self {
            Self::Polygons(polygons) => {
                if polygons.is_empty() {
                    return Err("a segmentation without polygons".to_owned());
                }
                let mut inside = vec![false; height * width];
                for polygon in polygons {
                    fill(polygon, height, width, &mut inside)?;
                }
                Ok(ObjectMask { height, width, inside })
            }
            Self::Runs { size, .. } if *size != [height, width] => {
                Err(format!("runs over {size:?} pixels in an image of {height} × {width}"))
            }
            Self::Runs { counts: Counts::Plain(runs), .. } => {
                unroll(runs.iter().copied(), height, width)
            }
            Self::Runs { counts: Counts::Compressed(text), .. } => {
                unroll(decompress(text)?.into_iter(), height, width)
            }
        }
    }
}

fn unroll(
    runs: impl Iterator<Item = u64>,
    height: usize,
    width: usize,
) -> Result<ObjectMask, String> {
    let pixels = height * width;
    let mut inside = vec![false; pixels];
    let (mut place, mut within) = (0_usize, false);
    for run in runs {
        let end = usize::try_from(run).ok().and_then(|run| place.checked_add(run));
        let end = end.filter(|&end| end <= pixels);
        let end = end.ok_or_else(|| format!("runs of more than the image's {pixels} pixels"))?;
        if within {
            for down in place..end {
                inside[down % height * width + down / height] = true;
            }
        }
        (place, within) = (end, !within);
    }
    if place != pixels {
        return Err(format!("runs of {place} pixels in an image of {pixels}"));
    }
    Ok(ObjectMask { height, width, inside })
}

/// Reads COCO's compressed runs: each number in digits of five bits, lowest first, a
/// sixth bit saying that more follow; from the third on, as a difference to the
/// last but one.
fn decompress(text: &str) -> Result<Vec<u64>, String> {
    let mut runs: Vec<i64> = Vec::new();
    let mut bytes = text.bytes();
    while let Some(first) = bytes.next() {
        let (mut value, mut shift, mut byte) = (0_i64, 0_u32, first);
        loop {
            let digit = byte.checked_sub(48).filter(|digit| *digit < 64);
            let digit = digit.ok_or_else(|| format!("{:?} in compressed runs", byte as char))?;
            if shift > 35 {
                return Err("a run of more than 35 bits".to_owned());
            }
            value |= i64::from(digit & 0x1f) << shift;
            shift += 5;
            if digit & 0x20 == 0 {
                if digit & 0x10 != 0 {
                    value |= -1 << shift;
                }
                break;
            }
            byte = bytes.next().ok_or("compressed runs break off within a number")?;
        }
        if runs.len() > 2 {
            value += runs[runs.len() - 2];
        }
        if !(0..=1 << 40).contains(&value) {
            return Err(format!("a run of {value} pixels"));
        }
        runs.push(value);
    }
    Ok(runs.into_iter().map(|run| run as u64).collect())
}

/// Adds a polygon's pixels.
fn fill(polygon: &[f64], height: usize, width: usize, inside: &mut [bool]) -> Result<(), String> {
    if polygon.len() < 6 || !polygon.len().is_multiple_of(2) {
        return Err(format!("a polygon of {} coordinates", polygon.len()));
    }
    let limit = height.max(width) as f64 * OUTSIDE;
    if let Some(far) = polygon.iter().find(|at| !(-limit..=limit + limit).contains(*at)) {
        return Err(format!("a polygon reaches {far} in an image of {height} × {width}"));
    }
    // Each place where the border crosses a column's middle turns inside and outside over.
    let mut turns = crossings(polygon, height, width);
    turns.sort_unstable();
    for pair in turns.chunks(2) {
        let end = pair.get(1).copied().unwrap_or(height * width);
        for down in pair[0]..end.min(height * width) {
            inside[down % height * width + down / height] = true;
        }
    }
    Ok(())
}

/// Steps of the finer grid in a pixel.
const FINE: f64 = 5.0;

/// Where a polygon's border crosses the columns, counted down the columns.
fn crossings(polygon: &[f64], height: usize, width: usize) -> Vec<usize> {
    // Truncation is C's, which is what the published masks were made with.
    let fine: Vec<[i64; 2]> = polygon
        .chunks_exact(2)
        .map(|at| [(FINE * at[0] + 0.5) as i64, (FINE * at[1] + 0.5) as i64])
        .collect();
    let mut border: Vec<[i64; 2]> = Vec::new();
    for (place, &from) in fine.iter().enumerate() {
        walk(from, fine[(place + 1) % fine.len()], &mut border);
    }
    let mut turns = Vec::new();
    for pair in border.windows(2) {
        let ([before, y_before], [here, y_here]) = (pair[0], pair[1]);
        if before == here {
            continue;
        }
        let column = if here < before { here } else { here - 1 };
        let column = (column as f64 + 0.5) / FINE - 0.5;
        if column.floor() != column || column < 0.0 || column > width as f64 - 1.0 {
            continue;
        }
        let row = (y_here.min(y_before) as f64 + 0.5) / FINE - 0.5;
        let row = row.clamp(0.0, height as f64).ceil();
        turns.push(column as usize * height + row as usize);
    }
    turns
}

/// Adds the points of an edge, both ends included, in their order along it.
fn walk(from: [i64; 2], to: [i64; 2], border: &mut Vec<[i64; 2]>) {
    // The axis along which it is longer advances by one; the other one is rounded.
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
        border.push(point);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(mask: &ObjectMask) -> Vec<String> {
        let row = |row: &[bool]| row.iter().map(|&i| if i { '#' } else { '.' }).collect();
        mask.inside.chunks(mask.width).map(row).collect()
    }

    fn parse(json: &str) -> Segmentation {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn runs_go_down_the_columns() {
        let mask = parse(r#"{"counts": [1, 2, 4, 1, 1], "size": [3, 3]}"#).mask(3, 3).unwrap();
        assert_eq!(rows(&mask), ["...", "#.#", "#.."]);
        assert_eq!((mask.area(), mask.bounds()), (3, Some([0.0, 1.0, 3.0, 2.0])));
        let none = parse(r#"{"counts": [9], "size": [3, 3]}"#).mask(3, 3).unwrap();
        assert_eq!((none.area(), none.bounds()), (0, None));
    }

    #[test]
    fn a_rectangle_on_pixel_borders_has_its_pixels() {
        let mask = parse("[[1, 1, 4, 1, 4, 3, 1, 3]]").mask(4, 5).unwrap();
        assert_eq!(rows(&mask), [".....", ".###.", ".###.", "....."]);
        let two = parse("[[0, 0, 1, 0, 1, 1, 0, 1], [0, 0, 2, 0, 2, 1, 0, 1]]");
        assert_eq!(rows(&two.mask(1, 3).unwrap()), ["##."], "the union, not the difference");
    }

    #[test]
    fn hostile_segmentations_are_errors() {
        for (json, word) in [
            (r#"{"counts": [1, 2], "size": [3, 3]}"#, "3 pixels"),
            (r#"{"counts": [1, 20], "size": [3, 3]}"#, "more than"),
            (r#"{"counts": [18446744073709551615, 18446744073709551615], "size": [3, 3]}"#, "more"),
            (r#"{"counts": [9], "size": [9, 1]}"#, "3 × 3"),
            (r#"{"counts": "9 ", "size": [3, 3]}"#, "' '"),
            (r#"{"counts": "o", "size": [3, 3]}"#, "breaks off"),
            (r#"{"counts": "oooooooooooo", "size": [3, 3]}"#, "bits"),
            (r#"{"counts": "O", "size": [3, 3]}"#, "run of -1"),
            ("[]", "without polygons"),
            ("[[1, 1, 2, 2]]", "4 coordinates"),
            ("[[1, 1, 2, 2, 3, 3, 4]]", "7 coordinates"),
            ("[[0, 0, 1e9, 0, 1, 1]]", "1000000000"),
        ] {
            let error = parse(json).mask(3, 3).unwrap_err();
            assert!(error.replace("break off", "breaks off").contains(word), "{json}: {error}");
        }
        assert!(
            serde_json::from_str::<Segmentation>(r#"{"counts": [-1], "size": [1, 1]}"#).is_err()
        );
        assert!(serde_json::from_str::<Segmentation>("[[null]]").is_err());
    }
}
