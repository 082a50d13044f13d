//! Curves of a run over its steps, as SVG.

use anyhow::{Result, anyhow};
use bauta_train::Record;
use plotters::prelude::*;

/// One drawn curve.
pub struct Curve {
    /// The drawing.
    pub svg: String,
    /// What it shows.
    pub caption: &'static str,
}

/// A quantity of a record, and what it is called.
type Quantity = (fn(&Record) -> f64, &'static str);

const QUANTITIES: [Quantity; 4] = [
    (|r| r.loss, "Loss on masked patches, mean over each log window"),
    (|r| r.lr, "Learning rate"),
    (|r| r.grad_norm, "Norm of the gradient, before clipping"),
    (|r| r.samples_per_second, "Images a second"),
];

/// Draws loss, learning rate, gradient norm and speed.
///
/// # Errors
/// When drawing fails; a log with fewer than two records gives no curves.
pub fn draw(records: &[Record]) -> Result<Vec<Curve>> {
    if records.len() < 2 {
        return Ok(Vec::new());
    }
    QUANTITIES
        .iter()
        .map(|&(quantity, caption)| {
            let points: Vec<(f64, f64)> =
                records.iter().map(|record| (record.step as f64, quantity(record))).collect();
            let svg = line(&points).map_err(|error| anyhow!("cannot draw a curve: {error}"))?;
            Ok(Curve { svg, caption })
        })
        .collect()
}

fn line(points: &[(f64, f64)]) -> Result<String, Box<dyn std::error::Error>> {
    let last = points[points.len() - 1].0;
    let top = points.iter().map(|p| p.1).fold(0.0, f64::max) * 1.05;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (860, 280)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .x_label_area_size(32)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..last, 0.0..top.max(f64::MIN_POSITIVE))?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("step")
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|&y| if top < 0.1 { format!("{y:.1e}") } else { short(y) })
            .draw()?;
        let style = RGBColor(9, 105, 218).stroke_width(2);
        chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
        root.present()?;
    }
    Ok(svg)
}

fn short(y: f64) -> String {
    if y >= 100.0 { format!("{y:.0}") } else { format!("{y:.2}") }
}
