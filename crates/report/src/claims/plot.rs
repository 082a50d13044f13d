//! The plot of a claim: our means with error bars, the paper's numbers on an axis of their own.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::findings::Findings;
use crate::ReportError;
use crate::number::short;

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

/// Draws column `column` of the findings, with the paper's numbers next to it if `paper`.
///
/// Numeric settings lie at their values on the axis, named ones side by side.
///
/// # Errors
/// When drawing fails, and when a mean is not finite.
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
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(10)
            .margin_top(26)
            .x_label_area_size(56)
            .y_label_area_size(72)
            .right_y_label_area_size(if theirs.is_empty() { 12 } else { 72 })
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
            .y_label_formatter(&|&y| short(y))
            .draw()?;
        if !theirs.is_empty() {
            chart
                .configure_secondary_axes()
                .y_desc("paper")
                .label_style(("sans-serif", 13).into_font().color(&PAPER))
                .y_label_formatter(&|y| format!("{y:.1}"))
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
        for &(x, label) in ticks {
            let (pixel, bottom) = chart.backend_coord(&(x, up.start));
            root.draw(&PathElement::new([(pixel, bottom), (pixel, bottom + 5)], BLACK))?;
            root.draw(&Text::new(label.to_owned(), (pixel, bottom + 9), centred.clone()))?;
        }
        let (middle, bottom) =
            chart.backend_coord(&(f64::midpoint(across.start, across.end), up.start));
        root.draw(&Text::new(axis.to_owned(), (middle, bottom + 30), centred.clone()))?;
        let (left, top) = chart.backend_coord(&(across.start, up.end));
        let legend = |text: &str, at: i32, colour: RGBColor| {
            let style = ("sans-serif", 13).into_font().color(&colour);
            root.draw(&Text::new(text.to_owned(), (at, top - 18), style))
        };
        let bars = ours.iter().any(|point| point.deviation > 0.0);
        let bars = if bars { "; bars: ± 1 deviation over seeds" } else { "" };
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
