//! Pictures of masked and predicted patches, and the captions that go with them.

use anyhow::Result;
use bauta_data::text::{Encoded, WordPieces};
use bauta_eval::Exhibit;
use bauta_multimodal::ImageTokens;
use bauta_report::{Body, Section, TableCell};
use tch::Tensor;

use super::M3ae;
use super::pairs::Pairs;
use crate::run::Run;

/// Draws `reconstructions.png` of the first test images, and shows the predicted words of their
/// captions.
pub(super) fn show(m3ae: &M3ae, pairs: &Pairs, run: &mut Run<'_>) -> Result<()> {
    run.measures()?;
    let count = m3ae.settings.eval.pictures.count;
    if count == 0 {
        return Ok(());
    }
    let _no_grad = tch::no_grad_guard();
    let (pixels, tests) = pairs.test_pixels(count)?;
    let indices = pairs.patches_of(&tests, 0)?;
    let images = m3ae.normalization.normalize(&pixels);
    let patches = m3ae.patches(&images)?;
    let image = ImageTokens { patches: &patches, indices: Some(&indices) };
    let decoded = m3ae.network.decode(&m3ae.network.encode(Some(image), None)?)?;
    let predicted = m3ae.network.pixels(decoded.image().expect("there are images"));
    let predicted = m3ae.normalization.to_pixels(&m3ae.target.to_images(&predicted, &images)?);
    let (mask, grid) = (indices.mask(), m3ae.network.config().grid);
    run.show(Exhibit::reconstructions(&pixels, &predicted, &mask, grid)?)?;
    run.section(words(m3ae, pairs, &pixels, &tests)?);
    Ok(())
}

/// The captions of the same images with masked words, and the predictions in their places.
fn words(m3ae: &M3ae, pairs: &Pairs, pixels: &Tensor, tests: &[usize]) -> Result<Section> {
    let (ids, plan) = pairs.words_of(tests, 0)?;
    let seen = pairs.patches_of(tests, 0)?;
    let predict = |pixels: Option<&Tensor>| -> Result<Vec<i64>> {
        let indices = pixels.map(|_| &seen);
        let [logits, _] = m3ae.hidden_words(pixels, indices, &ids, &plan)?;
        Ok(Vec::try_from(logits.argmax(-1, false).to_device(tch::Device::Cpu))?)
    };
    let (with, without) = (predict(Some(pixels))?, predict(None)?);
    let tokens = plan.tokens();
    let mut hidden = 0;
    let mut rows = Vec::new();
    for (sample, caption) in tests.iter().map(|&number| &pairs.test[number]).enumerate() {
        let masked = &plan.masked()[sample * tokens..][..tokens];
        let filled = |predicted: Option<&[i64]>| {
            let mut next = hidden;
            let piece = |place: usize| {
                if !masked[place] {
                    return piece_of(&pairs.pieces, caption.ids[place].into());
                }
                next += 1;
                match predicted {
                    Some(predicted) => {
                        format!("[{}]", piece_of(&pairs.pieces, predicted[next - 1]))
                    }
                    None => "[…]".to_owned(),
                }
            };
            (0..caption.used).map(piece).collect::<Vec<_>>().join(" ")
        };
        rows.push(vec![
            TableCell::from((sample + 1).to_string()),
            whole(&pairs.pieces, caption).into(),
            filled(None).into(),
            filled(Some(&with)).into(),
            filled(Some(&without)).into(),
        ]);
        hidden += masked.iter().filter(|&&masked| masked).count();
    }
    let head = ["", "caption", "what was seen", "predicted with the image", "without the image"];
    Ok(Section {
        title: "Words".to_owned(),
        body: vec![Body::Table {
            head: head.map(str::to_owned).to_vec(),
            rows,
            caption: "The captions of the images under Pictures, in their order, row by row; \
                      predicted word pieces stand in brackets."
                .to_owned(),
        }],
    })
}

fn whole(pieces: &WordPieces, caption: &Encoded) -> String {
    let all = caption.ids[..caption.used].iter().map(|&id| piece_of(pieces, id.into()));
    all.collect::<Vec<_>>().join(" ")
}

fn piece_of(pieces: &WordPieces, id: i64) -> String {
    pieces.piece(id as u32).unwrap_or_default()
}
