//! Curves of a run over its steps, with its phases marked.

use std::collections::BTreeSet;

use maud::Markup;

use crate::chart::{Chart, Curve};
use crate::html::figure;
use crate::{Record, ReportError};

/// A quantity of a record, if it has one, with its name.
type Quantity = (fn(&Record) -> Option<f64>, &'static str);

const LOSS: Quantity = (|r| Some(r.loss), "Loss, mean over each log window");

/// Reference losses, where known: the loss must fall below them.
const REFERENCES: [Quantity; 2] = [
    (|r| r.mean_loss, "predicting the mean of the targets"),
    (|r| r.uninformed_loss, "uninformed: the same prediction for all samples"),
];

const OTHERS: [Quantity; 10] = [
    (|r| r.features.knn_top1, "Accuracy of the nearest neighbours while it trains"),
    (|r| r.features.feature_rank, "Effective rank of the features (RankMe, arXiv 2210.02885)"),
    (|r| r.features.feature_norm, "Mean norm of the features"),
    (|r| r.features.feature_std, "Standard deviation of the features over the images, mean"),
    (|r| Some(r.lr), "Learning rate"),
    (|r| Some(r.grad_norm), "Norm of the gradient, before clipping"),
    (|r| r.parameter_norm, "Norm of the parameters"),
    (|r| r.update_norm, "Norm of a step's change of the parameters"),
    (|r| Some(r.samples_per_second), "Samples per second"),
    (|r| r.peak_share, "Share of the processor's measured peak"),
];

/// Draws the loss with its references, its parts, the measurements of the features, learning rate,
/// norms, speed and share of the peak.
///
/// A log with fewer than two records gives no curves.
///
/// # Errors
/// When drawing fails.
pub fn draw(records: &[Record]) -> Result<Vec<Markup>, ReportError> {
    if records.len() < 2 {
        return Ok(Vec::new());
    }
    let phases: Vec<&[Record]> = records.chunk_by(|a, b| a.phase == b.phase).collect();
    let mut drawn = Vec::new();
    let mut add = |curves: Vec<Curve>, caption: &str| -> Result<(), ReportError> {
        let (x, y) = ("step".to_owned(), String::new());
        let chart = Chart { x, y, curves, bands: bands(&phases), from_zero: true };
        drawn.extend(chart.draw()?.map(|chart| figure(&chart, caption)));
        Ok(())
    };
    let of = |colour, name, (quantity, _): Quantity| {
        let point = |record: &Record| Some((record.step as f64, quantity(record)?));
        curve(colour, name, &phases, point)
    };
    let mut losses = vec![of(0, "", LOSS)];
    let known = |(quantity, _): &Quantity| records.iter().any(|record| quantity(record).is_some());
    if let Some(reference) = REFERENCES.into_iter().find(known) {
        losses = vec![of(0, "loss", LOSS), of(7, reference.1, reference)];
    }
    add(losses, &(LOSS.1.to_owned() + &shaded(&phases)))?;
    let parts: BTreeSet<&String> = records.iter().flat_map(|record| record.parts.keys()).collect();
    if !parts.is_empty() {
        let part = |(colour, name): (usize, &&String)| {
            let point =
                |record: &Record| Some((record.step as f64, *record.parts.get(name.as_str())?));
            curve(colour, name, &phases, point)
        };
        let curves: Vec<Curve> = parts.iter().enumerate().map(part).collect();
        let named = match &curves[..] {
            [curve] => format!("Part of the loss: {}", curve.name),
            _ => "Parts of the loss".to_owned(),
        };
        add(curves, &format!("{named}, before weighting, mean over each log window"))?;
    }
    for quantity in OTHERS {
        add(vec![of(0, "", quantity)], quantity.1)?;
    }
    Ok(drawn)
}

/// The curve of one quantity, with a gap where a phase ends.
fn curve(
    colour: usize,
    name: &str,
    phases: &[&[Record]],
    point: impl Fn(&Record) -> Option<(f64, f64)>,
) -> Curve {
    let pieces = phases.iter().map(|phase| phase.iter().filter_map(&point).collect()).collect();
    Curve { colour, name: name.to_owned(), pieces }
}

/// Where each phase begins and ends.
fn bands(phases: &[&[Record]]) -> Vec<(f64, f64)> {
    let ends: Vec<f64> = phases.iter().map(|phase| phase[phase.len() - 1].step as f64).collect();
    let begins = std::iter::once(0.0).chain(ends.iter().copied());
    begins.zip(ends.iter().copied()).collect()
}

/// An explanation of the shading, for the caption.
fn shaded(phases: &[&[Record]]) -> String {
    if phases.len() < 2 {
        return String::new();
    }
    let names: Vec<&str> = phases.iter().map(|phase| phase[0].phase.as_str()).collect();
    format!(". Phases, from left to right, every second one shaded: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn record(phase: &str, step: u64, parts: &[&str]) -> Record {
        let parts = parts.iter().map(|name| ((*name).to_owned(), 0.5)).collect::<BTreeMap<_, _>>();
        Record { phase: phase.to_owned(), step, loss: 1.0, lr: 0.1, parts, ..Record::default() }
    }

    fn drawn(records: &[Record]) -> Vec<String> {
        draw(records).unwrap().into_iter().map(Markup::into_string).collect()
    }

    /// Number of pieces of curves in the first colour; axes are lines of other colours.
    fn pieces(chart: &str) -> usize {
        chart.matches(r##"stroke="#0072B2""##).count()
    }

    #[test]
    fn a_log_of_one_phase_has_four_plain_curves() {
        let plain = drawn(&[10, 20, 30].map(|step| record("", step, &[])));
        assert_eq!(plain.len(), 4);
        for chart in &plain {
            assert_eq!(pieces(chart), 1);
            assert!(!chart.contains("#F0F3F6") && !chart.contains("shaded"), "{chart}");
        }
        assert!(drawn(&[record("", 10, &[])]).is_empty());
    }

    #[test]
    fn the_share_of_the_peak_is_drawn_where_it_is_known() {
        let mut records = [10, 20, 30].map(|step| record("", step, &[]));
        for record in &mut records[1..] {
            record.peak_share = Some(0.5);
        }
        let curves = drawn(&records);
        assert_eq!(curves.len(), 5);
        assert!(curves[4].contains("Share of the processor's measured peak"), "{}", curves[4]);
    }

    #[test]
    fn what_was_measured_now_and_then_is_joined_and_the_mean_lies_beside_the_loss() {
        let mut records = [10, 20, 30, 40].map(|step| record("", step, &[]));
        for place in [1, 3] {
            records[place].features.knn_top1 = Some(0.25 * place as f64);
        }
        assert_eq!(drawn(&records).len(), 5);
        assert!(drawn(&records)[1].contains("nearest neighbours"));
        assert_eq!(pieces(&drawn(&records)[1]), 1, "the records between do not break it off");
        assert!(!drawn(&records)[0].contains("predicting the mean"));
        records[2].mean_loss = Some(0.9);
        assert!(drawn(&records)[0].contains("predicting the mean of the targets"));
        (records[2].mean_loss, records[2].uninformed_loss) = (None, Some(6.9));
        assert!(drawn(&records)[0].contains("the same prediction for all samples"));
    }

    #[test]
    fn phases_are_shaded_and_parts_share_a_chart() {
        let parts = ["distance", "pixels"];
        let two = drawn(&[
            record("stage-1", 10, &[]),
            record("stage-1", 20, &[]),
            record("stage-2", 30, &parts),
            record("stage-2", 40, &parts),
        ]);
        assert_eq!(two.len(), 5);
        assert!(two[0].contains("every second one shaded: stage-1, stage-2"), "{}", two[0]);
        assert!(two.iter().all(|chart| chart.contains("#F0F3F6")));
        assert_eq!(pieces(&two[0]), 2, "one piece a phase");
        assert!(parts.iter().all(|name| two[1].contains(&format!("</i>{name}</span>"))));
    }
}
