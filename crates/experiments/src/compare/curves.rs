//! Curves of several runs in one drawing, as SVG.

use anyhow::{Result, anyhow};
use bauta_train::Record;
use plotters::prelude::*;

/// Colours that can be told apart, also by the colour-blind.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
    RGBColor(120, 120, 120),
];

/// A run's colour, as in a style sheet.
pub fn colour(run: usize) -> String {
    let RGBColor(red, green, blue) = COLOURS[run % COLOURS.len()];
    format!("rgb({red}, {green}, {blue})")
}

/// Draws one quantity of all runs over the images seen in epochs.
///
/// Runs with fewer than two records are left out; without any there is no drawing.
///
/// # Errors
/// When drawing fails.
pub fn draw(logs: &[Vec<Record>], quantity: fn(&Record) -> f64) -> Result<Option<String>> {
    let lines: Vec<(usize, Vec<(f64, f64)>)> = logs
        .iter()
        .enumerate()
        .filter(|(_, log)| log.len() > 1)
        .map(|(run, log)| (run, log.iter().map(|r| (r.epoch, quantity(r))).collect()))
        .collect();
    if lines.is_empty() {
        return Ok(None);
    }
    lay(&lines).map(Some).map_err(|error| anyhow!("cannot draw the curves: {error}"))
}

fn lay(lines: &[(usize, Vec<(f64, f64)>)]) -> Result<String, Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let last = points().map(|point| point.0).fold(0.0, f64::max);
    let finite = points().map(|point| point.1).filter(|y| y.is_finite());
    let top = finite.fold(0.0, f64::max) * 1.05;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (860, 320)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(
                0.0..last.max(f64::MIN_POSITIVE),
                0.0..top.max(f64::MIN_POSITIVE),
            )?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("epochs")
            .y_label_formatter(&|&y| if top < 0.1 { format!("{y:.1e}") } else { short(y) })
            .draw()?;
        for (run, points) in lines {
            let style = COLOURS[run % COLOURS.len()].stroke_width(2);
            let shown = points.iter().copied().filter(|point| point.1.is_finite());
            chart.draw_series(LineSeries::new(shown, style))?;
        }
        root.present()?;
    }
    Ok(svg)
}

fn short(y: f64) -> String {
    if y >= 100.0 { format!("{y:.0}") } else { format!("{y:.2}") }
}
