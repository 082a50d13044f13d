//! Curves in one drawing, as SVG with a legend in HTML.

use maud::{Markup, PreEscaped, html};
use plotters::prelude::*;

use crate::ReportError;

/// Colours that are easy to tell apart, also for colour-blind readers.
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

/// Most labels along an axis.
const MOST_LABELS: usize = 11;

const SHADE: RGBColor = RGBColor(240, 243, 246);

/// The colour of the curve at this index, as CSS.
pub fn colour(place: usize) -> String {
    let RGBColor(red, green, blue) = COLOURS[place % COLOURS.len()];
    format!("rgb({red}, {green}, {blue})")
}

/// A curve, in several pieces if it has gaps.
pub struct Curve {
    /// Index of its colour.
    pub colour: usize,
    /// Its name in the legend.
    pub name: String,
    /// Its pieces, each a list of points that are joined.
    pub pieces: Vec<Vec<(f64, f64)>>,
}

/// Curves over one axis.
pub struct Chart {
    /// Label of the horizontal axis.
    pub x: String,
    /// Label of the vertical axis; may be empty.
    pub y: String,
    /// The curves.
    pub curves: Vec<Curve>,
    /// Ranges of the horizontal axis; every second one is shaded.
    pub bands: Vec<(f64, f64)>,
    /// Whether both axes start at 0 even if the values lie far from it.
    pub from_zero: bool,
}

impl Chart {
    /// Draws the chart; `None` without a finite point.
    ///
    /// # Errors
    /// [`ReportError::Draw`].
    pub fn draw(&self) -> Result<Option<Markup>, ReportError> {
        let points = || self.curves.iter().flat_map(|curve| curve.pieces.iter().flatten());
        if !points().any(is_finite) {
            return Ok(None);
        }
        let svg = self.svg().map_err(ReportError::draw("curves"))?;
        Ok(Some(html! {
            @if self.curves.len() > 1 {
                div.legend {
                    @for curve in &self.curves {
                        span { i style={ "background: " (colour(curve.colour)) } {} (curve.name) }
                    }
                }
            }
            (PreEscaped(svg))
        }))
    }

    fn svg(&self) -> Result<String, Box<dyn std::error::Error>> {
        let points =
            || self.curves.iter().flat_map(|c| c.pieces.iter().flatten()).filter(|p| is_finite(p));
        let across = range(points().map(|p| p.0), 0.0, self.from_zero);
        let lowest = points().map(|p| p.1).fold(f64::INFINITY, f64::min);
        let highest = points().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
        // If the values come near 0 anyway, an axis that starts there hides nothing.
        let up = range(points().map(|p| p.1), 0.05, self.from_zero || lowest <= 0.5 * highest);
        let [mut digits_x, digits_y] = [&across, &up].map(digits);
        let mut labels = MOST_LABELS;
        let width = across.end - across.start;
        if width >= 1.0 && points().all(|(x, _)| x.fract() == 0.0) {
            // Counts, such as epochs: no labels between them.
            labels = labels.min(width as usize + 1);
            digits_x = digits_x.of_counts();
        }
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (860, 300)).into_drawing_area();
            let mut chart = ChartBuilder::on(&root)
                .margin(8)
                .margin_right(16)
                .x_label_area_size(36)
                .y_label_area_size(if self.y.is_empty() { 64 } else { 80 })
                .build_cartesian_2d(across.clone(), up.clone())?;
            for &(from, to) in self.bands.iter().skip(1).step_by(2) {
                let corners = [(from, up.start), (to, up.end)];
                chart.draw_series([Rectangle::new(corners, SHADE.filled())])?;
            }
            chart
                .configure_mesh()
                .light_line_style(TRANSPARENT)
                .bold_line_style(BLACK.mix(0.1))
                .label_style(("sans-serif", 15))
                .x_labels(labels)
                .y_labels(MOST_LABELS)
                .x_desc(&self.x)
                .y_desc(&self.y)
                .x_label_formatter(&|&x| digits_x.show(x))
                .y_label_formatter(&|&y| digits_y.show(y))
                .draw()?;
            for curve in &self.curves {
                let colour = COLOURS[curve.colour % COLOURS.len()];
                for piece in &curve.pieces {
                    let piece: Vec<(f64, f64)> = piece.iter().copied().filter(is_finite).collect();
                    // A single point would be a line of no length.
                    if let [point] = piece[..] {
                        chart.draw_series([Circle::new(point, 3, colour.filled())])?;
                    }
                    chart.draw_series(LineSeries::new(piece, colour.stroke_width(2)))?;
                }
            }
            root.present()?;
        }
        Ok(svg)
    }
}

fn is_finite(point: &(f64, f64)) -> bool {
    point.0.is_finite() && point.1.is_finite()
}

/// The values' range, extended by the fraction `room`; from 0 if wanted and no value is below.
fn range(values: impl Iterator<Item = f64>, room: f64, from_zero: bool) -> std::ops::Range<f64> {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low >= 0.0 && from_zero {
        return 0.0..(high * (1.0 + room)).max(f64::MIN_POSITIVE);
    }
    if low == high {
        let room = 0.1 * high.abs();
        return low - room..high + room;
    }
    let room = room * (high - low);
    low - room..high + room
}

/// The format of the numbers along an axis, each with its number of decimals.
pub enum Digits {
    /// With an exponent.
    Exponent(usize),
    /// Without one.
    After(usize),
}

/// Enough digits to tell the labels of a range apart.
pub fn digits(range: &std::ops::Range<f64>) -> Digits {
    let (size, width) = (range.start.abs().max(range.end.abs()), range.end - range.start);
    // Labels are at multiples of 1, 2 or 5 times a power of ten.
    let step = (width / 6.0).log10().floor();
    if !(0.01..1e7).contains(&size) {
        return Digits::Exponent((size.log10().floor() - step).clamp(1.0, 6.0) as usize);
    }
    Digits::After((-step).clamp(0.0, 6.0) as usize)
}

impl Digits {
    /// The same without decimals.
    fn of_counts(self) -> Self {
        match self {
            Self::Exponent(digits) => Self::Exponent(digits),
            Self::After(_) => Self::After(0),
        }
    }

    /// A label of the axis.
    pub fn show(&self, value: f64) -> String {
        match *self {
            Self::Exponent(_) if value == 0.0 => "0".to_owned(),
            Self::Exponent(digits) => format!("{value:.digits$e}"),
            // Not "-0".
            Self::After(digits) => format!("{:.digits$}", value + 0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(f64, f64)]) -> Chart {
        let curve = Curve { colour: 0, name: "<a>".to_owned(), pieces: vec![points.to_vec()] };
        Chart {
            x: "x < y".to_owned(),
            y: "y & z".to_owned(),
            curves: vec![curve],
            bands: Vec::new(),
            from_zero: false,
        }
    }

    #[test]
    fn any_points_are_drawn_and_none_are_not() {
        for points in [
            &[(0.0, 0.0)][..],
            &[(3.0, -2.0)],
            &[(1e9, 1e-9), (2e9, 3e-9)],
            &[(0.0, 0.5), (1.0, f64::NAN), (2.0, f64::INFINITY), (f64::NAN, 1.0)],
            &[(-1.0, -1e300), (1.0, 1e300)],
        ] {
            let drawn = chart(points).draw().unwrap().expect("a drawing").into_string();
            assert!(drawn.contains("<svg") && !drawn.contains("NaN"), "{points:?}: {drawn}");
            assert!(drawn.contains("x &lt; y") && drawn.contains("y &amp; z"), "{drawn}");
        }
        for points in [&[][..], &[(f64::NAN, 1.0), (1.0, f64::INFINITY)]] {
            assert!(chart(points).draw().unwrap().is_none(), "{points:?}");
        }
    }

    #[test]
    fn axes_begin_at_zero_if_wanted_and_span_what_there_is() {
        let of = |values: &[f64], zero| range(values.iter().copied(), 0.0, zero);
        assert_eq!(of(&[0.5, 2.0], true), 0.0..2.0);
        assert_eq!(of(&[0.5, 2.0], false), 0.5..2.0);
        assert_eq!(of(&[-1.0, 1.0], true), -1.0..1.0);
        assert_eq!(of(&[-2.0, -2.0], false), -2.2..-1.8);
    }

    #[test]
    fn counts_have_no_labels_between_them() {
        let drawn = |x: f64| {
            let points: Vec<(f64, f64)> = (1..=3).map(|at| (f64::from(at) * x, 50.0)).collect();
            chart(&points).draw().unwrap().expect("a drawing").into_string()
        };
        let has = |svg: &str, label: &str| svg.contains(&format!("\n{label}\n"));
        let counts = drawn(1.0);
        assert!(["1", "2", "3"].iter().all(|label| has(&counts, label)), "{counts}");
        assert!(!has(&counts, "1.5") && !has(&counts, "2.0"), "{counts}");
        assert!(has(&drawn(0.9), "1.2"));
    }

    #[test]
    fn labels_are_told_apart() {
        for (range, value, shown) in [
            (0.0..2.0, 0.5, "0.5"),
            (0.90..0.95, 0.91, "0.910"),
            (0.0..5000.0, 1000.0, "1000"),
            (0.0..0.001, 0.0005, "5.0e-4"),
            (0.0..0.001, 0.0, "0"),
            (0.005..0.0052, 0.00502, "5.02e-3"),
            (1e7..1.01e7, 1.002e7, "1.002e7"),
            (0.0..0.85, 0.1, "0.1"),
            (0.0..20.0, 5.0, "5"),
        ] {
            assert_eq!(digits(&range).show(value), shown, "{range:?}");
        }
    }
}
