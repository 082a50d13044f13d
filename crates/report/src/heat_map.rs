//! A matrix as a heat map: a table with coloured cells and the numbers in them.

use maud::{Markup, html};

/// Number of columns from which names can be written upright and numbers have fewer decimals.
const MANY: usize = 9;

/// The lightest and the darkest colour.
const LIGHT: [f64; 3] = [239.0, 246.0, 252.0];
const DARK: [f64; 3] = [8.0, 69.0, 130.0];

/// Draws the matrix; colours span its finite values.
pub fn heat_map(rows: &[String], columns: &[String], values: &[Vec<Option<f64>>]) -> Markup {
    let numbers = || values.iter().flatten().flatten().copied().filter(|v| v.is_finite());
    let low = numbers().fold(f64::INFINITY, f64::min);
    let high = numbers().fold(f64::NEG_INFINITY, f64::max);
    let many = columns.len() >= MANY;
    let digits = digits(numbers(), many);
    let upright = many && columns.iter().any(|name| name.chars().count() > 4);
    html! {
        table.heat.dense[many] {
            tr { th {} @for name in columns { th.upright[upright] { (name) } } }
            @for (row, name) in rows.iter().enumerate() {
                tr {
                    th { (name) }
                    @for column in 0..columns.len() {
                        @match values.get(row).and_then(|row| *row.get(column)?) {
                            Some(value) if value.is_finite() => {
                                @let share = share(value, low, high);
                                td style=(style(share)) title=(value) {
                                    (format!("{value:.digits$}"))
                                }
                            }
                            _ => td {},
                        }
                    }
                }
            }
        }
    }
}

/// Decimals: none among whole numbers, few where there is little room.
fn digits(mut numbers: impl Iterator<Item = f64> + Clone, many: bool) -> usize {
    let most = numbers.clone().fold(0.0, |most: f64, v| most.max(v.abs()));
    match most {
        _ if numbers.all(|v| v.fract() == 0.0) => 0,
        100.0.. => 0,
        10.0.. => 1,
        _ if many => 2,
        _ => 3,
    }
}

/// The position of a value between the lowest and the highest, in [0, 1].
fn share(value: f64, low: f64, high: f64) -> f64 {
    if high > low { (value - low) / (high - low) } else { 0.5 }
}

fn style(share: f64) -> String {
    let mixed = |at: usize| LIGHT[at] + share * (DARK[at] - LIGHT[at]);
    let text = if share > 0.58 { "#fff" } else { "#1b1f24" };
    format!("background: rgb({:.0}, {:.0}, {:.0}); color: {text}", mixed(0), mixed(1), mixed(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_in_their_colours_and_gaps_stay_empty() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let values = [vec![Some(0.25), Some(1.0)], vec![Some(f64::NAN)]];
        let html = heat_map(&names(&["a", "<b>"]), &names(&["c", "d"]), &values).into_string();
        assert!(html.contains(">0.250</td>") && html.contains(">1.000</td>"), "{html}");
        assert!(html.contains("rgb(239, 246, 252); color: #1b1f24"), "the lowest is light");
        assert!(html.contains("rgb(8, 69, 130); color: #fff"), "the highest is dark");
        assert_eq!(html.matches("<td></td>").count(), 2, "{html}");
        assert!(html.contains("&lt;b&gt;"));
    }

    #[test]
    fn digits_suit_the_numbers_and_the_room() {
        let of = |numbers: &[f64], many| digits(numbers.iter().copied(), many);
        assert_eq!(of(&[0.5, 1.0], false), 3);
        assert_eq!(of(&[0.5, 1.0], true), 2);
        assert_eq!(of(&[3.0, 700.0], false), 0);
        assert_eq!(of(&[12.5, 3.0], false), 1);
        assert_eq!(of(&[120.5], false), 0);
        assert_eq!(of(&[], false), 0);
    }
}
