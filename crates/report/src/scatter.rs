//! Features in the plane as SVG, one dot per image, coloured by class.

use plotters::prelude::*;

use crate::ReportError;

/// Ten colours that are easy to tell apart; further classes repeat them.
const COLOURS: [RGBColor; 10] = [
    RGBColor(31, 119, 180),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
    RGBColor(214, 39, 40),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
    RGBColor(227, 119, 194),
    RGBColor(127, 127, 127),
    RGBColor(188, 189, 34),
    RGBColor(23, 190, 207),
];

/// Draws features projected on two components, with a legend of the classes.
///
/// `points` are the images' positions, `labels` the indices of their classes in `classes`, and
/// `explained` the share of the variance on each component, in [0, 1].
///
/// # Errors
/// [`ReportError::Draw`].
pub fn scatter(
    points: &[(f64, f64)],
    labels: &[i64],
    classes: &[String],
    explained: [f64; 2],
) -> Result<String, ReportError> {
    draw(points, labels, classes, explained).map_err(ReportError::draw("the projection"))
}

fn draw(
    points: &[(f64, f64)],
    labels: &[i64],
    classes: &[String],
    explained: [f64; 2],
) -> Result<String, Box<dyn std::error::Error>> {
    let reach = |pick: fn(&(f64, f64)) -> f64| {
        let most = points.iter().map(pick).fold(f64::MIN_POSITIVE, |a, b| a.max(b.abs()));
        -most * 1.05..most * 1.05
    };
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (860, 560)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .margin_right(if classes.len() > 20 { 8 } else { 130 })
            .x_label_area_size(32)
            .y_label_area_size(48)
            .build_cartesian_2d(reach(|p| p.0), reach(|p| p.1))?;
        let [first, second] =
            explained.map(|share| format!("{:.0} % of the variance", 100.0 * share));
        chart.configure_mesh().light_line_style(WHITE).x_desc(first).y_desc(second).draw()?;
        for (class, name) in classes.iter().enumerate() {
            let colour = COLOURS[class % COLOURS.len()];
            let members = points.iter().zip(labels).filter(|(_, label)| **label == class as i64);
            chart.draw_series(
                members.map(|(&point, _)| Circle::new(point, 2, colour.mix(0.6).filled())),
            )?;
            // More names than fit next to the plot would hide it.
            if classes.len() <= 20 {
                let (x, y) = (736, 16 + 20 * class as i32);
                root.draw(&Circle::new((x, y), 4, colour.filled()))?;
                root.draw(&Text::new(name.clone(), (x + 10, y - 7), ("sans-serif", 14)))?;
            }
        }
        root.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_a_dot_and_every_class_a_name() {
        let points = [(0.0, 1.0), (2.0, -1.0), (-2.0, 0.0)];
        let classes = ["cat".to_owned(), "dog".to_owned()];
        let svg = scatter(&points, &[0, 1, 1], &classes, [0.5, 0.25]).unwrap();
        assert_eq!(svg.matches("<circle").count(), 3 + 2);
        assert!(svg.contains("cat") && svg.contains("50 % of the variance"));
    }
}
