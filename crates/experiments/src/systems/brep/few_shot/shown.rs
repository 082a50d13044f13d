//! What a report shows of few-shot heads: accuracies, draw by draw, and who is taken for whom.

use bauta_recipe::FaceEval;
use bauta_report::{Body, Section, Series, TableCell};

use super::{Answers, Variant};

pub(super) fn matrix(what: &str, size: usize, names: &[String], answers: &Answers) -> Section {
    let mut counts = vec![vec![0.0; names.len()]; names.len()];
    for (&predicted, &label) in answers.predicted.iter().zip(&answers.labels) {
        counts[label as usize][predicted as usize] += 1.0;
    }
    let values = counts.iter().map(|row| {
        let all: f64 = row.iter().sum();
        row.iter().map(|&count| (all > 0.0).then(|| count / all)).collect()
    });
    Section {
        title: title(what),
        body: vec![Body::Matrix {
            rows: names.to_vec(),
            columns: names.to_vec(),
            values: values.collect(),
            caption: format!(
                "Share of each true class (rows) that the first head on {size} labelled parts \
                 calls by each name (columns)."
            ),
        }],
    }
}

fn title(what: &str) -> String {
    format!("Few-shot {what}")
}

pub(super) fn section(
    what: &str,
    eval: &FaceEval,
    rows: Vec<Vec<TableCell>>,
    curves: [(Variant, Vec<(f64, f64)>); 3],
) -> Section {
    let mut head: Vec<String> =
        ["labelled parts", "encoder", "top-1", "deviation"].map(str::to_owned).to_vec();
    head.extend((1..=eval.repeats).map(|draw| format!("draw {draw}")));
    let mut body = vec![Body::Table {
        head,
        rows,
        caption: "Accuracy on the test parts: frozen trained codes, frozen codes of a random \
                  encoder, and encoder and head trained from scratch."
            .to_owned(),
    }];
    if eval.labelled.len() > 1 {
        let series = curves.into_iter().filter(|(_, points)| !points.is_empty());
        let series = series.map(|(variant, points)| Series {
            name: variant.name().to_owned(),
            points: points.into_iter().map(|(size, top1)| (size.log10(), top1)).collect(),
        });
        body.push(Body::Curves {
            x: "labelled parts (log10)".to_owned(),
            y: "top-1".to_owned(),
            series: series.collect(),
            caption: String::new(),
        });
    }
    Section { title: title(what), body }
}
