//! What i-MAE is measured by besides its features: linear separability of mixtures, by the
//! subordinate image's share, and the reconstruction of both images.

use anyhow::Result;
use bauta_backbones::TokenIndices;
use bauta_eval::{Metrics, mean_cosine};
use bauta_targets::{mix, patchify, two_way_loss};
use tch::Tensor;

use super::IMae;
use crate::evaluation::Evaluation;
use crate::separability::{Pairs, SHARES, anchors, separability};
use crate::systems::{ImageSystem, Measuring};

/// Measures a trained system; the baselines are raw pixels, the network at random weights,
/// the teacher and the analytic anchor.
pub(super) fn measure(system: &IMae, context: &Measuring<'_, IMae>) -> Result<Evaluation> {
    let _no_grad = tch::no_grad_guard();
    let pairs = Pairs::read(context.splits, &context.loader, system.strategy())?;
    let tokens = |of: &IMae, pixels: &Tensor, indices: &TokenIndices| -> Result<Tensor> {
        let images = of.normalization.normalize(pixels);
        without_class_token(&of.encoder.forward_visible(&images, indices)?)
    };
    let device = system.parameters.device();
    let measured = |name, encode: &dyn Fn(&Tensor, &TokenIndices) -> Result<Tensor>| {
        context.go_on()?;
        separability(name, &pairs, device, encode)
    };

    let mut eval = measured("trained", &|pixels, indices| tokens(system, pixels, indices))?;
    eval.extend(reconstruction(system, &pairs)?);
    let mut baseline = anchors().prefixed("anchor");
    if context.recipe.eval.baselines {
        let raw = |pixels: &Tensor, indices: &TokenIndices| -> Result<Tensor> {
            let images = system.normalization.normalize(pixels);
            Ok(indices.gather_visible(&patchify(&images, system.encoder.grid())?))
        };
        baseline.extend(measured("raw pixels", &raw)?.prefixed("raw_pixels"));
        let random =
            |pixels: &Tensor, indices: &TokenIndices| tokens(context.untrained, pixels, indices);
        baseline.extend(measured("random init", &random)?.prefixed("random_init"));
        if let Some(teacher) = &system.teacher {
            let of_teacher = |pixels: &Tensor, indices: &TokenIndices| -> Result<Tensor> {
                let images = system.normalization.normalize(pixels);
                without_class_token(&teacher.encoder.forward_visible(&images, indices)?)
            };
            baseline.extend(measured("teacher", &of_teacher)?.prefixed("mae"));
        }
    }
    Ok(Evaluation { eval: eval.into_iter().collect(), baseline: baseline.into_iter().collect() })
}

/// Pixels have no class token, so no encoder is measured on its own.
fn without_class_token(tokens: &Tensor) -> Result<Tensor> {
    Ok(tokens.narrow(1, 1, tokens.size()[1] - 1))
}

/// The loss of each branch on held-out pairs, by the subordinate image's share; and, of two
/// branches, how alike their latents are.
fn reconstruction(system: &IMae, pairs: &Pairs) -> Result<Metrics> {
    let branches = system.decoder.branches();
    let names = &["subordinate", "dominant"][..branches];
    let mut metrics = Metrics::new();
    let (mut losses, mut cosine) = (vec![0.0; branches], 0.0);
    let batches = pairs.held_out.len() as f64;
    for share in SHARES {
        let mut at_share = vec![0.0; branches];
        for pair in &pairs.held_out {
            let indices = TokenIndices::new(&pair.plan, system.parameters.device());
            let sources =
                pair.sources.each_ref().map(|pixels| system.normalization.normalize(pixels));
            let latents = system.disentangle(&mix(&sources[0], &sources[1], share)?, &indices)?;
            let predictions = system.decoder.predict_masked(&latents, &indices)?;
            for ((sum, prediction), source) in
                at_share.iter_mut().zip(predictions.chunks(1)).zip(&sources)
            {
                let loss = two_way_loss(&system.target, prediction, [source], &indices)?;
                *sum += loss.double_value(&[]) / batches;
            }
            if let [first, second] = &latents[..] {
                cosine += mean_cosine(first, second) / (batches * SHARES.len() as f64);
            }
        }
        let named = names.iter().zip(&at_share);
        metrics.extend(named.map(|(n, &l)| (format!("reconstruction_{n}_loss_at_{share}"), l)));
        losses.iter_mut().zip(at_share).for_each(|(sum, loss)| *sum += loss / SHARES.len() as f64);
    }
    let named = names.iter().zip(losses);
    metrics.extend(named.map(|(name, loss)| (format!("reconstruction_{name}_loss"), loss)));
    if branches == 2 {
        metrics.extend([("heads_cosine", cosine)]);
    }
    Ok(metrics)
}
