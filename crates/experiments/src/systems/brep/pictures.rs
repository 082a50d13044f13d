//! Pictures of test parts: true and predicted classes, true and decoded surfaces.

use anyhow::Result;
use bauta_brep::Part;
use bauta_brep::geometry::picture::{Patch, lattice, shade};
use bauta_brep::model::GraphBatch;
use bauta_eval::{Exhibit, PictureLayout, contact_sheet};
use bauta_recipe::Brep as Settings;
use tch::Tensor;

use super::Brep;
use super::parts::CadParts;
use crate::run::Run;

/// Side of a picture in pixels, and side of a face's lattice in points.
const SIZE: usize = 224;
const SIDE: usize = 40;

/// One colour per class; further classes repeat them.
const COLORS: [[u8; 3]; 10] = [
    [176, 176, 176],
    [31, 119, 180],
    [255, 127, 14],
    [44, 160, 44],
    [214, 39, 40],
    [148, 103, 189],
    [188, 189, 34],
    [23, 190, 207],
    [227, 119, 194],
    [140, 86, 75],
];

impl Brep {
    /// Draws the first test parts, next to what their codes decode to; `classes` are those that a
    /// head predicts for all test faces, in order.
    pub(super) fn show(
        &self,
        settings: &Settings,
        parts: &CadParts,
        classes: Option<&[i64]>,
        run: &mut Run<'_>,
    ) -> Result<()> {
        let test = &parts.splits.test;
        let count = settings.eval.pictures.count.min(test.len());
        if count == 0 {
            return Ok(());
        }
        let mut columns: Vec<Vec<u8>> = vec![Vec::new(); if classes.is_some() { 4 } else { 2 }];
        let mut first = 0;
        for number in 0..count {
            let part = test.get(number)?;
            let (truth, decoded) = (surfaces(&part), self.decoded(&part)?);
            let mut pictures = Vec::new();
            if let Some(classes) = classes {
                let own = &classes[first..first + part.faces.len()];
                let labels: Vec<i64> = part.labels.iter().map(|&label| i64::from(label)).collect();
                pictures.extend([&labels[..], own].map(|labels| colored(&truth, labels)));
            }
            let kinds: Vec<i64> = (0..part.faces.len()).map(|face| kind(&part, face)).collect();
            pictures.extend([&truth, &decoded].map(|patches| colored(patches, &kinds)));
            columns.iter_mut().zip(pictures).for_each(|(all, one)| all.extend(one));
            first += part.faces.len();
        }
        let (shown, others) = (count as i64, columns.len() as i64 - 1);
        let pixels = Tensor::from_slice(&columns.concat());
        let pixels = pixels.view([-1, 3, SIZE as i64, SIZE as i64]);
        let beside: Vec<i64> =
            (0..shown).flat_map(|part| (1..=others).map(move |it| it * shown + part)).collect();
        let beside = Tensor::from_slice(&beside).view([shown, others]);
        let layout = PictureLayout { columns: 2, min_height: SIZE, ..PictureLayout::default() };
        let legend = match classes {
            Some(_) => {
                let names = parts.splits.classes.iter().enumerate();
                let names: Vec<String> =
                    names.map(|(i, name)| format!("{name} {}", NAMES[i % NAMES.len()])).collect();
                format!(
                    "true classes, predicted classes (the first head on the fewest labelled \
                     parts), true surfaces, decoded surfaces within decoded trims. Classes: {}.",
                    names.join(", ")
                )
            }
            None => "true surfaces, decoded surfaces within decoded trims.".to_owned(),
        };
        let caption = format!("Test parts: {legend} Surfaces are coloured by their kind.");
        let sheet = contact_sheet(&pixels, &beside, &layout)?;
        run.show(Exhibit::new("parts.png", &sheet, caption)?)
    }

    /// The faces that the codes of a part decode to.
    fn decoded(&self, part: &Part) -> Result<Vec<Patch>> {
        let _no_grad = tch::no_grad_guard();
        let device = self.parameters.device();
        let codes = self.encoder.forward(&GraphBatch::of(&[part]).to_device(device));
        let points: Vec<f32> = lattice(SIDE).flat_map(|at| at.as_vec2().to_array()).collect();
        let points = Tensor::from_slice(&points).view([1, -1, 2]).to_device(device);
        let faces = part.faces.len();
        let field = self.decoder.forward(&codes, &points.expand([faces as i64, -1, 2], false));
        let values = Vec::<f32>::try_from(field.contiguous().view(-1))?;
        let rows: Vec<&[f32]> = values.chunks_exact(4).collect();
        let patch = |rows: &[&[f32]]| {
            patch(rows.iter().map(|row| ([row[0], row[1], row[2]], row[3])).collect())
        };
        Ok(rows.chunks_exact(SIDE * SIDE).map(patch).collect())
    }
}

/// Names of the colours.
const NAMES: [&str; 10] =
    ["grey", "blue", "orange", "green", "red", "purple", "olive", "cyan", "pink", "brown"];

/// The true faces of a part.
fn surfaces(part: &Part) -> Vec<Patch> {
    let face = |face: usize| patch(lattice(SIDE).map(|at| part.look_up(face, at)).collect());
    (0..part.faces.len()).map(face).collect()
}

fn patch(values: Vec<([f32; 3], f32)>) -> Patch {
    let inside = values.iter().map(|(_, distance)| *distance < 0.0).collect();
    let points = values.into_iter().map(|(point, _)| point).collect();
    Patch { side: SIDE, points, inside, color: COLORS[0] }
}

fn colored(patches: &[Patch], labels: &[i64]) -> Vec<u8> {
    let color = |(patch, &label): (&Patch, &i64)| {
        let color = COLORS[label as usize % COLORS.len()];
        Patch { color, ..patch.clone() }
    };
    shade(&patches.iter().zip(labels).map(color).collect::<Vec<_>>(), SIZE)
}

/// The index of a face's kind of surface.
fn kind(part: &Part, face: usize) -> i64 {
    part.faces[face][..5].iter().position(|&one| one == 1.0).unwrap_or(5) as i64
}
