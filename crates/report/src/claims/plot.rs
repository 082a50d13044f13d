//! The plot of a claim: our means with error bars, the paper's numbers on an axis of their own.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::findings::Findings;
use crate::ReportError;
use crate::chart::digits;

const OURS: RGBColor = RGBColor(9, 105, 218);
const PAPER: RGBColor = RGBColor(188, 76, 0);
const SIZE: (u32, u32) = (860, 420);

/// A point with its standard deviation, 0 for a single seed.
struct Point {
    x: f64,
    y: f64,
    deviation: f64,
}

/// Margins at both ends of our axis and of the paper's, relative to the values' range; they differ
/// so that two curves of the same shape do not cover each other.
const ROOM: (f64, f64) = (0.12, 0.3);

/// Pixels around the picture, left of the axes, and under them without the settings' labels.
const MARGIN: u32 = 10;
const LEFT: u32 = 72;
const UNDER: u32 = 42;

/// About the width of a letter and the height of a line of the settings' labels, in pixels.
const LETTER: f64 = 6.5;
const LINE: u32 = 14;

/// Letters of a label that are shown.
const MOST_LETTERS: usize = 80;

/// The settings' labels under the axis.
struct Labels {
    /// The place of each on the axis, and its text.
    shown: Vec<(f64, String)>,
    /// Whether they are turned by a quarter, to be read from below.
    turned: bool,
    /// Height that they take, in pixels.
    height: u32,
}

impl Labels {
    /// The labels of `ticks` on an axis with the range `across`, of `width` pixels and with `right`
    /// pixels beside it.
    ///
    /// Where side by side they would cover each other or be cut off, they are turned; of settings
    /// that are then nearer than a line, the first is named.
    fn new(ticks: &[(f64, &str)], across: &std::ops::Range<f64>, width: u32, right: u32) -> Self {
        let mut shown: Vec<(f64, String)> =
            ticks.iter().map(|&(x, label)| (x, shortened(label))).collect();
        shown.sort_by(|a, b| a.0.total_cmp(&b.0));
        let pixel = |x: f64| (x - across.start) / (across.end - across.start) * f64::from(width);
        let length = |label: &str| LETTER * label.chars().count() as f64;
        let mut end = -f64::from(LEFT);
        let side_by_side = shown.iter().all(|(x, label)| {
            let (middle, half) = (pixel(*x), length(label) / 2.0);
            let free = middle - half >= end;
            end = middle + half + LETTER;
            free && middle + half <= f64::from(width + right)
        });
        if side_by_side {
            return Self { shown, turned: false, height: LINE };
        }
        let mut last = f64::NEG_INFINITY;
        shown.retain(|(x, _)| {
            let free = pixel(*x) - last >= f64::from(LINE);
            if free {
                last = pixel(*x);
            }
            free
        });
        let longest = shown.iter().map(|(_, label)| length(label)).fold(0.0, f64::max);
        Self { shown, turned: true, height: longest as u32 }
    }
}

/// A label's beginning, if it is very long.
fn shortened(label: &str) -> String {
    match label.char_indices().nth(MOST_LETTERS) {
        Some((end, _)) => format!("{}…", &label[..end]),
        None => label.to_owned(),
    }
}

/// Draws column `column` of the findings, with the paper's numbers next to it if `paper`.
///
/// Numeric settings lie at their values on the axis, named ones side by side. A mean that is not
/// finite is left out.
///
/// # Errors
/// When drawing fails.
pub fn plot(findings: &Findings, column: usize, paper: bool) -> Result<String, ReportError> {
    let rows = &findings.rows;
    let numeric = rows.iter().all(|row| row.number.is_some());
    let x = |place: usize| rows[place].number.filter(|_| numeric).unwrap_or(place as f64);
    let ours: Vec<Point> = rows
        .iter()
        .enumerate()
        .map(|(place, row)| {
            let spread = row.ours[column];
            Point { x: x(place), y: spread.mean, deviation: spread.deviation.unwrap_or(0.0) }
        })
        .filter(|point| (point.y + point.deviation).is_finite())
        .collect();
    let theirs: Vec<(f64, f64)> = rows
        .iter()
        .enumerate()
        .filter_map(|(place, row)| row.paper.filter(|_| paper).map(|y| (x(place), y)))
        .collect();
    let ticks: Vec<(f64, &str)> =
        rows.iter().enumerate().map(|(place, row)| (x(place), row.label.as_str())).collect();
    let title = &findings.metrics[column];
    draw(&ours, &theirs, &ticks, numeric, &findings.axis, title)
        .map_err(ReportError::draw("the plot of a claim"))
}

fn draw(
    ours: &[Point],
    theirs: &[(f64, f64)],
    ticks: &[(f64, &str)],
    numeric: bool,
    axis: &str,
    title: &str,
) -> Result<String, Box<dyn std::error::Error>> {
    let across = range(ticks.iter().map(|tick| tick.0), ROOM.0);
    let up = range(ours.iter().flat_map(|p| [p.y - p.deviation, p.y + p.deviation]), ROOM.0);
    let up_paper = range(theirs.iter().map(|point| point.1), ROOM.1);
    let [digits_ours, digits_paper] = [&up, &up_paper].map(digits);
    let right = if theirs.is_empty() { 12 } else { LEFT };
    let labels = Labels::new(ticks, &across, SIZE.0 - 2 * MARGIN - LEFT - right, right);
    // Labels take nothing from the axes.
    let size = (SIZE.0, SIZE.1 + labels.height - LINE);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(MARGIN)
            .margin_top(26)
            .x_label_area_size(UNDER + labels.height)
            .y_label_area_size(LEFT)
            .right_y_label_area_size(right)
            .build_cartesian_2d(across.clone(), up.clone())?
            .set_secondary_coord(across.clone(), up_paper.clone());
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .x_labels(0)
            .x_desc("")
            .y_desc(format!("ours: {title}"))
            .label_style(("sans-serif", 13).into_font().color(&OURS))
            .y_label_formatter(&|&y| digits_ours.show(y))
            .draw()?;
        if !theirs.is_empty() {
            chart
                .configure_secondary_axes()
                .y_desc("paper")
                .label_style(("sans-serif", 13).into_font().color(&PAPER))
                .y_label_formatter(&|&y| digits_paper.show(y))
                .draw()?;
            if numeric {
                let line = theirs.iter().copied();
                chart.draw_secondary_series(LineSeries::new(line, PAPER.stroke_width(1)))?;
            }
            let marks = theirs.iter().map(|&point| TriangleMarker::new(point, 6, PAPER.filled()));
            chart.draw_secondary_series(marks)?;
        }
        if numeric {
            let line = ours.iter().map(|point| (point.x, point.y));
            chart.draw_series(LineSeries::new(line, OURS.stroke_width(2)))?;
        }
        let cap = (across.end - across.start) / 120.0;
        for Point { x, y, deviation } in ours {
            chart.draw_series([Circle::new((*x, *y), 4, OURS.filled())])?;
            if *deviation == 0.0 {
                continue;
            }
            let (low, high) = (y - deviation, y + deviation);
            for line in [
                [(*x, low), (*x, high)],
                [(x - cap, low), (x + cap, low)],
                [(x - cap, high), (x + cap, high)],
            ] {
                chart.draw_series([PathElement::new(line, OURS.stroke_width(2))])?;
            }
        }
        // Labels stand under the settings themselves, not at round numbers.
        let style = ("sans-serif", 13).into_font().color(&BLACK);
        let centred = style.pos(Pos::new(HPos::Center, VPos::Top));
        let of_labels = if labels.turned {
            let end = style.pos(Pos::new(HPos::Right, VPos::Center));
            end.transform(FontTransform::Rotate270)
        } else {
            centred.clone()
        };
        for &(x, _) in ticks {
            let (pixel, bottom) = chart.backend_coord(&(x, up.start));
            root.draw(&PathElement::new([(pixel, bottom), (pixel, bottom + 5)], BLACK))?;
        }
        for (x, label) in labels.shown {
            let (pixel, bottom) = chart.backend_coord(&(x, up.start));
            root.draw(&Text::new(label, (pixel, bottom + 9), of_labels.clone()))?;
        }
        let (middle, bottom) =
            chart.backend_coord(&(f64::midpoint(across.start, across.end), up.start));
        let under = bottom + 16 + labels.height as i32;
        root.draw(&Text::new(axis.to_owned(), (middle, under), centred.clone()))?;
        let (left, top) = chart.backend_coord(&(across.start, up.end));
        let legend = |text: &str, at: i32, colour: RGBColor| {
            let style = ("sans-serif", 13).into_font().color(&colour);
            root.draw(&Text::new(text.to_owned(), (at, top - 18), style))
        };
        let bars = ours.iter().any(|point| point.deviation > 0.0);
        let bars = if bars { "; bars: ± 1 standard deviation over seeds" } else { "" };
        legend(&format!("● ours (left axis{bars})"), left, OURS)?;
        if !theirs.is_empty() {
            legend("▲ paper (right axis, its own scale)", left + 400, PAPER)?;
        }
        root.present()?;
    }
    Ok(svg)
}

/// The values' range, with some room at both ends.
fn range(values: impl Iterator<Item = f64>, room: f64) -> std::ops::Range<f64> {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        return 0.0..1.0;
    }
    let room = if high > low { room * (high - low) } else { 0.1 * high.abs().max(1e-3) };
    low - room..high + room
}

#[cfg(test)]
mod tests {
    use bauta_recipe::claim::Spread;

    use super::super::findings::Row;
    use super::*;

    fn plot_of(labels: &[String], numeric: bool) -> String {
        let row = |(place, label): (usize, &String)| Row {
            label: label.clone(),
            number: numeric.then_some(place as f64),
            paper: None,
            ours: vec![Spread { mean: place as f64, deviation: None, count: 1 }],
        };
        let findings = Findings {
            axis: "setting".to_owned(),
            metrics: vec!["knn_top1".to_owned()],
            paper: None,
            rows: labels.iter().enumerate().map(row).collect(),
            judgements: Vec::new(),
            best: None,
            run_seconds: 0.0,
            call_seconds: 0.0,
        };
        plot(&findings, 0, false).unwrap()
    }

    /// The horizontal places of turned labels, which end at the axis.
    fn turned(svg: &str) -> Vec<i32> {
        let ends = svg.split("<text ").filter(|text| text.contains("text-anchor=\"end\""));
        let ends = ends.filter_map(|text| text.split("rotate(270, ").nth(1)?.split(',').next());
        ends.map(|x| x.parse().unwrap()).collect()
    }

    #[test]
    fn labels_that_would_cover_each_other_are_turned_and_thinned() {
        let short = ["0.25", "0.5", "0.75", "0.9"].map(str::to_owned);
        let plain = plot_of(&short, true);
        assert_eq!(turned(&plain), [0; 0]);
        assert!(plain.contains("height=\"420\""), "{plain}");

        let settings = |count: usize| -> Vec<String> {
            let label = |n| format!("train.base_lr 0.00{n}, mask.ratio 0.75");
            (0..count).map(label).collect()
        };
        let two = ["mask.ratio 0.5, depth 1", "mask.ratio 0.75, depth 1"].map(str::to_owned);
        assert_eq!(turned(&plot_of(&two, false)), [0; 0], "two such labels fit");
        let six = plot_of(&settings(6), false);
        assert_eq!(turned(&six).len(), 6);
        assert!(settings(6).iter().all(|label| six.contains(&format!("\n{label}\n"))), "{six}");
        assert!(!six.contains("height=\"420\""), "the picture is higher by the labels");

        let many = turned(&plot_of(&settings(300), false));
        assert!((20..60).contains(&many.len()), "{}", many.len());
        assert!(many.windows(2).all(|pair| pair[1] - pair[0] >= 13), "{many:?}");

        let long = plot_of(&["é".repeat(100_000)], false);
        assert!(long.contains(&format!("\n{}…\n", "é".repeat(MOST_LETTERS))));
    }
}
