//! Measurements of i-MAE beyond its features: linear separability of mixtures, by the subordinate
//! image's share, the reconstruction of both images, and the cost of a step.

use anyhow::Result;
use bauta_backbones::{Encode, StepCost, TokenIndices, VisionTransformer, patch_tokens};
use bauta_eval::{
    EncodeError, Metrics, MixturePairs, SHARES, Scores, mean_cosine, separability_anchors,
};
use bauta_recipe::TeacherInput;
use bauta_targets::{image_losses, mix, patchify};
use tch::Tensor;

use super::IMae;
use super::teacher::FrozenAutoencoder;
use crate::images::{Images, Student};
use crate::run::{Console, Run};

/// Computes tokens [B, V, D] of u8 pixels, or of mixtures of them, under a mask.
type Tokens<'a> = &'a dyn Fn(&Tensor, &TokenIndices) -> Result<Tensor>;

/// Measures a trained system; the baselines are raw pixels, the network with random weights, the
/// teacher and the analytic anchor. Unlabelled images can be measured, too.
pub(super) fn measure(
    system: &IMae,
    untrained: &IMae,
    images: &Images,
    run: &mut Run<'_>,
) -> Result<Scores> {
    run.measures()?;
    if !images.splits.held_out() {
        return Ok(Scores::default());
    }
    let splits = images.splits.limited(images.eval.limit);
    let (sources, student) = ([&splits.train, &splits.test], &system.student);
    let pairs = MixturePairs::read(sources, &images.loader, &student.strategy)?;
    let (console, device) = (Console::new(run.stop), images.device);
    let measured = |name: &str, encoded: Tokens<'_>| -> Result<Metrics> {
        let encode = |pixels: &Tensor, indices: &TokenIndices| {
            encoded(pixels, indices).map_err(EncodeError::from)
        };
        Ok(pairs.separability(name, device, &encode, &console)?)
    };

    let mut scores = Scores::from(measured("trained", &tokens(student, &student.encoder))?);
    scores.eval.extend(reconstruction(system, &pairs)?);
    scores.extend_baseline("anchor", separability_anchors());
    if images.eval.baselines {
        let raw = |pixels: &Tensor, indices: &TokenIndices| -> Result<Tensor> {
            Ok(indices.gather_visible(&patchify(&student.normalize(pixels), student.grid())?))
        };
        scores.extend_baseline("raw_pixels", measured("raw pixels", &raw)?);
        let random = &tokens(student, &untrained.student.encoder);
        scores.extend_baseline("random_init", measured("random init", random)?);
        if let Some(teacher) = &system.teacher {
            scores.extend_baseline("mae", measured("teacher", &tokens(student, &teacher.encoder))?);
        }
    }
    Ok(scores)
}

impl IMae {
    /// The teacher, if its latents are distilled.
    pub(super) fn distilled(&self) -> Option<&FrozenAutoencoder> {
        self.teacher.as_ref().filter(|_| self.latent_weight > 0.0)
    }

    /// The cost of one sample's step; each source that the teacher sees counts.
    pub(super) fn step_cost(&self) -> Result<StepCost> {
        let plan = self.student.sample_plan()?;
        let (visible, masked) = (plan.visible_count(), plan.masked_count());
        let branches = self.decoder.branches();
        let decoder = self.decoder.config().step_cost(visible, masked).times(branches);
        let taught = match self.teacher_input {
            TeacherInput::Sources => branches,
            TeacherInput::Mixture => 1,
        };
        let teacher = self.distilled().map(|teacher| teacher.step_cost(visible).times(taught));
        Ok(self.student.encoder.config().step_cost(visible) + decoder + teacher.unwrap_or_default())
    }
}

/// An encoder's tokens of images as the student sees them, without the class token, which pixels do
/// not have either.
fn tokens<'a>(
    student: &'a Student<VisionTransformer>,
    encoder: &'a VisionTransformer,
) -> impl Fn(&Tensor, &TokenIndices) -> Result<Tensor> + 'a {
    |pixels, indices| {
        let latent = encoder.encode(&student.normalize(pixels), Encode::visible(indices))?;
        Ok(patch_tokens(&latent))
    }
}

/// The loss of each branch on held-out pairs, by the subordinate image's share; and, with two
/// branches, how alike their latents are.
fn reconstruction(system: &IMae, pairs: &MixturePairs) -> Result<Metrics> {
    let _no_grad = tch::no_grad_guard();
    let branches = system.decoder.branches();
    let names = &["subordinate", "dominant"][..branches];
    let mut metrics = Metrics::new();
    let (mut losses, mut cosine) = (vec![0.0; branches], 0.0);
    let batches = pairs.held_out.len() as f64;
    for share in SHARES {
        let mut at_share = vec![0.0; branches];
        for pair in &pairs.held_out {
            let indices = TokenIndices::new(&pair.plan, system.student.parameters.device());
            let sources = pair.sources.each_ref().map(|pixels| system.student.normalize(pixels));
            let latents = system.disentangle(&mix(&sources[0], &sources[1], share)?, &indices)?;
            let predictions = system.decoder.predict_masked(&latents, &indices)?;
            let found = image_losses(&system.target, &predictions, &sources, &indices)?;
            for (sum, loss) in at_share.iter_mut().zip(found) {
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
