//! Linear separability of mixtures, run on a data set's pairs for any encoder.
//!
//! Held-in pairs come from the training split, held-out ones from the test split. A pair's
//! second image is drawn from all others, whatever the recipe trains with, so that runs
//! with different `mixture.same_class` are measured by the same pairs.

use std::sync::Arc;

use anyhow::{Context, Result};
use bauta_backbones::TokenIndices;
use bauta_data::{Limited, Loader, LoaderConfig, PartnerSampler, Source};
use bauta_eval::{Metrics, PairTokens, Separability, Separation, mixture_anchor};
use bauta_masking::{MaskPlan, MaskStrategy};
use bauta_targets::mix;
use tch::{Device, Kind, Tensor};

use crate::data::Splits;
use crate::evaluation::BATCH;
use crate::progress::stage;
use crate::systems::{MaskedBatch, pixels};

/// Shares of the subordinate image that are measured.
pub const SHARES: [f64; 5] = [0.1, 0.2, 0.3, 0.4, 0.5];

/// Pairs that the linear map is fitted on, and pairs that judge it.
const PAIRS: [usize; 2] = [2000, 1000];

/// Pairs of images and the masks of their mixtures.
pub struct Pairs {
    /// Those that a map is fitted on.
    pub held_in: Vec<Pair>,
    /// Those that judge it.
    pub held_out: Vec<Pair>,
}

/// A batch of pairs.
pub struct Pair {
    /// u8 pixels [B, C, H, W] of the subordinate and of the dominant images.
    pub sources: [Tensor; 2],
    /// Which of the mixture's tokens are hidden.
    pub plan: MaskPlan,
}

impl Pairs {
    /// Reads pairs of both splits, cut as the loader says and masked by `strategy`.
    ///
    /// # Errors
    /// When a split has fewer than two images, or one cannot be read.
    pub fn read(
        splits: &Splits,
        loader: &LoaderConfig,
        strategy: Arc<dyn MaskStrategy>,
    ) -> Result<Self> {
        let [held_in, held_out] = [(&splits.train, PAIRS[0]), (&splits.test, PAIRS[1])]
            .map(|(source, count)| read(source, count, loader, Arc::clone(&strategy)));
        Ok(Self { held_in: held_in?, held_out: held_out? })
    }
}

fn read(
    source: &Arc<dyn Source>,
    count: usize,
    loader: &LoaderConfig,
    strategy: Arc<dyn MaskStrategy>,
) -> Result<Vec<Pair>> {
    let source: Arc<dyn Source> = Arc::new(Limited::new(Arc::clone(source), count));
    let (seed, batch_size) = (loader.seed, BATCH);
    let sampler = PartnerSampler::new(&*source, None, seed)?;
    let loader = Loader::for_evaluation(source, LoaderConfig { batch_size, ..loader.clone() })?;
    let reader = loader.reader();
    let read = loader.batches(0..loader.steps_per_epoch(), move |batch| {
        let partners = sampler.partners(batch.epoch, &batch.indices);
        let partners = reader.partners(&batch, &partners)?;
        let MaskedBatch { batch, plan } = MaskedBatch::draw(batch, &*strategy, seed);
        Ok(Pair { sources: [pixels(&batch), pixels(&partners)], plan })
    });
    read.map(|pair| pair?).collect()
}

/// Measures what `encode` makes of u8 pixels or mixtures of them [B, C, H, W] under a mask:
/// tokens [B, V, D] of the visible patches.
///
/// Gives `separability_subordinate_r2`, `separability_dominant_r2` and the same with `mse`,
/// means over [`SHARES`], and each R² at each share, as in `separability_subordinate_r2_at_0.3`.
///
/// # Errors
/// When tokens are not finite or of varying shape.
pub fn separability(
    name: &str,
    pairs: &Pairs,
    device: Device,
    encode: &dyn Fn(&Tensor, &TokenIndices) -> Result<Tensor>,
) -> Result<Metrics> {
    let bar = stage(&format!("linear separability: {name}"));
    let mut sums: Vec<Separability> = Vec::new();
    each(&pairs.held_in, device, encode, |place, positions, tokens| {
        if place == sums.len() {
            let width = tokens.mixed.size().last().map_or(0, |&width| width as usize);
            sums.push(Separability::new(width, positions, device));
        }
        Ok(sums[place].learn(tokens)?)
    })?;
    let mut maps = sums.into_iter().map(Separability::fit).collect::<Result<Vec<_>, _>>()?;
    each(&pairs.held_out, device, encode, |place, _, tokens| Ok(maps[place].judge(tokens)?))?;
    bar.finish_and_clear();
    let found: Vec<[Separation; 2]> = maps.iter().map(|map| map.found()).collect();
    Ok(metrics(&found))
}

/// Gives the tokens of each batch of pairs, mixed by each share, to `take`, with the place of
/// the share and the number of positions.
fn each(
    pairs: &[Pair],
    device: Device,
    encode: &dyn Fn(&Tensor, &TokenIndices) -> Result<Tensor>,
    mut take: impl FnMut(usize, usize, &PairTokens<'_>) -> Result<()>,
) -> Result<()> {
    for Pair { sources, plan } in pairs {
        let indices = TokenIndices::new(plan, device);
        // Mixing before normalisation is mixing after it: both are affine.
        let [subordinate, dominant] = sources.each_ref().map(|pixels| pixels.to_kind(Kind::Float));
        let alone = [encode(&subordinate, &indices)?, encode(&dominant, &indices)?];
        for (place, share) in SHARES.into_iter().enumerate() {
            let mixed = encode(&mix(&subordinate, &dominant, share)?, &indices)?;
            let sources = [&alone[0], &alone[1]];
            let tokens = PairTokens { mixed: &mixed, sources, positions: indices.visible() };
            take(place, plan.tokens(), &tokens).context("linear separability")?;
        }
    }
    Ok(())
}

/// The R² of mixtures of independent latents of equal variance, under the same names.
pub fn anchors() -> Metrics {
    let found = SHARES.map(|share| {
        [share, 1.0 - share].map(|share| {
            let r2 = mixture_anchor(share);
            Separation { mse: 1.0 - r2, r2 }
        })
    });
    metrics(&found)
}

fn metrics(found: &[[Separation; 2]]) -> Metrics {
    let mut metrics = Metrics::new();
    for (source, name) in ["subordinate", "dominant"].into_iter().enumerate() {
        let mean = |value: fn(&Separation) -> f64| {
            found.iter().map(|both| value(&both[source])).sum::<f64>() / found.len() as f64
        };
        metrics.extend([
            (format!("separability_{name}_r2"), mean(|found| found.r2)),
            (format!("separability_{name}_mse"), mean(|found| found.mse)),
        ]);
        let at = SHARES
            .iter()
            .zip(found)
            .map(|(share, both)| (format!("separability_{name}_r2_at_{share}"), both[source].r2));
        metrics.extend(at);
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_bear_the_names_of_what_is_measured() {
        let anchors = anchors();
        assert_eq!(anchors.get("separability_subordinate_r2_at_0.5"), Some(0.5));
        let found = anchors.get("separability_subordinate_r2_at_0.3").unwrap_or(0.0);
        assert!((found - 0.155).abs() < 1e-3);
        let both = ["subordinate", "dominant"]
            .map(|name| anchors.get(&format!("separability_{name}_r2")).unwrap_or(0.0));
        assert!((both[0] + both[1] - 1.0).abs() < 1e-12, "{both:?}");
    }
}
