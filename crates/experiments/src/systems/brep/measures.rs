//! How well surfaces and trims of test parts are decoded, by kinds of surfaces and by classes.

use std::collections::BTreeMap;

use anyhow::Result;
use bauta_brep::Part;
use bauta_brep::model::{FieldErrors, SampledBatch};
use bauta_eval::{Metrics, Scores};
use bauta_recipe::Brep as Settings;
use bauta_report::{Body, Section, TableCell};

use super::Brep;
use super::parts::CadParts;
use crate::run::Run;

impl Brep {
    /// Measures the decoder on all targets of the test parts, against the untrained network and the
    /// mean of all targets.
    pub(super) fn reconstruction(
        &self,
        settings: &Settings,
        parts: &CadParts,
        run: &mut Run<'_>,
    ) -> Result<Scores> {
        let (mut errors, mut constant) = (FieldErrors::default(), FieldErrors::default());
        let mut untrained = FieldErrors::default();
        let mut rows: BTreeMap<(u8, String), Vec<usize>> = BTreeMap::new();
        let beginning = Self::new(settings, run.seed, run.device);
        for number in 0..parts.splits.test.len() {
            let part = parts.splits.test.get(number)?;
            for face in 0..part.faces.len() {
                let place = errors.xyz.len() + face;
                rows.entry((0, part.surface_name(face).to_owned())).or_default().push(place);
                // Labels of parts without a `classes.txt` have no names.
                let class = part.labels.get(face);
                if let Some(name) = class.and_then(|c| parts.splits.classes.get(*c as usize)) {
                    rows.entry((1, name.clone())).or_default().push(place);
                }
            }
            errors.extend(self.errors(&part));
            untrained.extend(beginning.errors(&part));
            constant.extend(FieldErrors::of_constant(&[&part]));
        }
        run.section(table(&errors, &rows));
        run.explain([
            "xyz_error: mean distance between decoded and true surface points of the test parts, \
             which are scaled to length 2"
                .to_owned(),
            "sign_accuracy: fraction of points decoded on the correct side of the trim".to_owned(),
            "distance_error: mean absolute error of the signed distance in the unit square"
                .to_owned(),
        ]);
        let mut scores = Scores::from(metrics(&errors));
        scores.extend_baseline("random_init", metrics(&untrained));
        scores.extend_baseline("constant", metrics(&constant));
        Ok(scores)
    }

    fn errors(&self, part: &Part) -> FieldErrors {
        let _no_grad = tch::no_grad_guard();
        let batch = SampledBatch::of(&[part], &part.targets).to_device(self.parameters.device());
        let codes = self.encoder.forward(&batch.graph);
        FieldErrors::of(&self.decoder.forward(&codes, &batch.points), &batch.target)
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len();
    values.sum::<f64>() / count as f64
}

fn metrics(errors: &FieldErrors) -> Metrics {
    Metrics::from_iter([
        ("xyz_error", mean(errors.xyz.iter().copied())),
        ("distance_error", mean(errors.distance.iter().copied())),
        ("sign_accuracy", mean(errors.sign.iter().copied())),
    ])
}

fn table(errors: &FieldErrors, rows: &BTreeMap<(u8, String), Vec<usize>>) -> Section {
    let of = |places: &[usize], values: &[f64]| mean(places.iter().map(|&place| values[place]));
    let row = |((kind, name), places): (&(u8, String), &Vec<usize>)| -> Vec<TableCell> {
        vec![
            ["surface", "class"][usize::from(*kind)].into(),
            name.clone().into(),
            places.len().to_string().into(),
            of(places, &errors.xyz).into(),
            of(places, &errors.distance).into(),
            of(places, &errors.sign).into(),
        ]
    };
    let head = ["by", "", "faces", "xyz error", "distance error", "sign accuracy"];
    Section {
        title: "Reconstruction".to_owned(),
        body: vec![Body::Table {
            head: head.map(str::to_owned).to_vec(),
            rows: rows.iter().map(row).collect(),
            caption: "Faces of the test parts by the kind of their surface and by their class."
                .to_owned(),
        }],
    }
}
