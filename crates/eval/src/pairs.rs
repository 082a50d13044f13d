//! Linear separability of mixtures, measured on pairs of a data set for any encoder.
//!
//! Held-in pairs come from the training split, held-out ones from the test split. A pair's
//! second image is drawn from all others, however partners are drawn in training, so that runs
//! that draw partners by class are measured on the same pairs.

use std::sync::Arc;

use bauta_backbones::TokenIndices;
use bauta_data::{Limited, Loader, LoaderConfig, PartnerSampler, Read, Source};
use bauta_masking::{MaskPlan, MaskStrategy};
use bauta_targets::mix;
use tch::{Device, Kind, Tensor};

use crate::batch::host_tensor;
use crate::watch::go_on;
use crate::{
    EVALUATION_BATCH, EncodeError, EvalError, Metrics, PairTokens, Separability, Separation, Watch,
    mixture_anchor,
};

/// Shares of the subordinate image that are measured.
pub const SHARES: [f64; 5] = [0.1, 0.2, 0.3, 0.4, 0.5];

/// Numbers of pairs that the linear map is fitted on and evaluated on.
const PAIRS: [usize; 2] = [2000, 1000];

/// Pairs of images and the masks of their mixtures.
#[derive(Debug)]
pub struct MixturePairs {
    /// The pairs that a map is fitted on.
    pub held_in: Vec<MixturePair>,
    /// The pairs that it is evaluated on.
    pub held_out: Vec<MixturePair>,
}

/// A batch of pairs.
#[derive(Debug)]
pub struct MixturePair {
    /// u8 pixels [B, C, H, W] of the subordinate and of the dominant images.
    pub sources: [Tensor; 2],
    /// Which of the mixture's tokens are masked.
    pub plan: MaskPlan,
}

impl MixturePairs {
    /// Reads pairs of training and test images, cropped with the settings of `loader` and masked
    /// by `strategy`; the loader's seed is also that of partners and masks.
    ///
    /// # Errors
    /// When a split has fewer than two images, one cannot be read, or the strategy masks
    /// different numbers of tokens.
    pub fn read(
        [train, test]: [&Arc<dyn Source>; 2],
        loader: &LoaderConfig,
        strategy: &Arc<dyn MaskStrategy>,
    ) -> Result<Self, EvalError> {
        let [held_in, held_out] = [(train, PAIRS[0]), (test, PAIRS[1])]
            .map(|(source, count)| read(source, count, loader, Arc::clone(strategy)));
        Ok(Self { held_in: held_in?, held_out: held_out? })
    }

    /// Measures the tokens [B, V, D] of visible patches that `encode` computes from u8 pixels, or
    /// mixtures of them, [B, C, H, W] under a mask.
    ///
    /// Returns `separability_subordinate_r2`, `separability_dominant_r2` and the same with
    /// `mse`, means over [`SHARES`], and R² at each share, as in
    /// `separability_subordinate_r2_at_0.3`.
    ///
    /// # Errors
    /// When tokens are not finite or of varying shape, or the watch ends it.
    pub fn separability(
        &self,
        name: &str,
        device: Device,
        encode: &dyn Fn(&Tensor, &TokenIndices) -> Result<Tensor, EncodeError>,
        watch: &dyn Watch,
    ) -> Result<Metrics, EvalError> {
        let what = format!("linear separability: {name}");
        watch.begin(&what);
        let measure = || {
            let mut sums: Vec<Separability> = Vec::new();
            each(&self.held_in, device, encode, watch, |place, positions, tokens| {
                if place == sums.len() {
                    let width = tokens.mixed.size().last().map_or(0, |&width| width as usize);
                    sums.push(Separability::new(width, positions, device));
                }
                sums[place].learn(tokens)
            })?;
            let maps = sums.into_iter().map(Separability::fit);
            let mut maps = maps.collect::<Result<Vec<_>, _>>()?;
            each(&self.held_out, device, encode, watch, |place, _, tokens| {
                maps[place].judge(tokens)
            })?;
            let found: Vec<[Separation; 2]> = maps.iter().map(|map| map.found()).collect();
            Ok(metrics(&found))
        };
        tch::no_grad(measure).map_err(|error: EvalError| match error {
            EvalError::Stopped => error,
            error => error.at(what),
        })
    }
}

fn read(
    source: &Arc<dyn Source>,
    count: usize,
    loader: &LoaderConfig,
    strategy: Arc<dyn MaskStrategy>,
) -> Result<Vec<MixturePair>, EvalError> {
    let source: Arc<dyn Source> = Arc::new(Limited::new(Arc::clone(source), count));
    let (seed, batch_size) = (loader.seed, EVALUATION_BATCH);
    let partners = Arc::new(PartnerSampler::new(&*source, None, seed)?);
    let loader = Loader::for_evaluation(source, LoaderConfig { batch_size, ..loader.clone() })?
        .reading(vec![Read::Partner(partners)]);
    let read = loader.batches(0..loader.steps_per_epoch(), move |batch| {
        let plan = MaskPlan::draw(&*strategy, seed, batch.epoch, &batch.indices)?;
        let sources = [&batch.pixels, &batch.reads[0].pixels].map(host_tensor);
        Ok(MixturePair { sources, plan })
    });
    read.map(|pair| pair?).collect()
}

/// Passes the tokens of each batch of pairs, mixed by each share, to `take`, with the index of
/// the share and the number of positions.
fn each(
    pairs: &[MixturePair],
    device: Device,
    encode: &dyn Fn(&Tensor, &TokenIndices) -> Result<Tensor, EncodeError>,
    watch: &dyn Watch,
    mut take: impl FnMut(usize, usize, &PairTokens<'_>) -> Result<(), EvalError>,
) -> Result<(), EvalError> {
    for MixturePair { sources, plan } in pairs {
        go_on(watch.stop())?;
        let indices = TokenIndices::new(plan, device);
        let encode = |pixels: &Tensor| encode(pixels, &indices).map_err(EvalError::Encoder);
        // Mixing before normalisation equals mixing after it, since both are affine.
        let [subordinate, dominant] = sources.each_ref().map(|pixels| pixels.to_kind(Kind::Float));
        let alone = [encode(&subordinate)?, encode(&dominant)?];
        for (place, share) in SHARES.into_iter().enumerate() {
            let mixed = encode(&mix(&subordinate, &dominant, share)?)?;
            let sources = [&alone[0], &alone[1]];
            let tokens = PairTokens { mixed: &mixed, sources, positions: indices.visible() };
            take(place, plan.tokens(), &tokens)?;
        }
    }
    Ok(())
}

/// The R² of mixtures of independent latents of equal variance, under the names of
/// [`MixturePairs::separability`].
pub fn separability_anchors() -> Metrics {
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
        let anchors = separability_anchors();
        assert_eq!(anchors.get("separability_subordinate_r2_at_0.5"), Some(0.5));
        let found = anchors.get("separability_subordinate_r2_at_0.3").unwrap_or(0.0);
        assert!((found - 0.155).abs() < 1e-3);
        let both = ["subordinate", "dominant"]
            .map(|name| anchors.get(&format!("separability_{name}_r2")).unwrap_or(0.0));
        assert!((both[0] + both[1] - 1.0).abs() < 1e-12, "{both:?}");
    }
}
