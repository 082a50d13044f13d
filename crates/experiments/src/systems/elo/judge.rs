//! The RGB network's embeddings of clips, and how they are judged without labels.

use anyhow::Result;
use bauta_backbones::SpacetimeConv;
use bauta_eval::{EncodedSplit, EvalError, host_points};
use bauta_evolve::{Fitness, KMeans, KMeansConfig, ZipfFitness};
use bauta_recipe::SearchTable;
use bauta_targets::pretext::Pretext;

use super::clips::Clips;
use super::drawing::Part;

/// Clips in one forward pass.
const BATCH: usize = 100;

/// Embeddings and labels of the clips of a part.
///
/// # Errors
/// [`EvalError::NotFinite`] for networks that have diverged.
pub(super) fn embed(
    network: &SpacetimeConv,
    clips: &Clips,
    part: &Part,
) -> Result<EncodedSplit, EvalError> {
    let (count, frames) = (part.labels.len(), clips.sizes().frames);
    let batches = (0..count).step_by(BATCH).map(|first| {
        let chosen = first..(first + BATCH).min(count);
        Ok((clips.pixels(part, chosen.clone()), part.labels[chosen].to_vec()))
    });
    EncodedSplit::encode(batches, clips.device(), |pixels| {
        Pretext::embed(network, pixels, frames).expect("the networks were made for these clips")
    })
}

/// A candidate's fitness and, if clips have labels, the purity of its clusters: the share of clips
/// that are of their cluster's most frequent class. The search does not see labels. `None` for
/// networks that have diverged.
pub(super) fn judge(
    network: &SpacetimeConv,
    clips: &Clips,
    search: &SearchTable,
) -> Result<Option<(Fitness, Option<f64>)>> {
    let held_out = clips.held_out();
    let encoded = match embed(network, clips, held_out) {
        Err(EvalError::NotFinite { .. }) => return Ok(None),
        encoded => encoded?,
    };
    let points = host_points(encoded.features())?;
    let fitness = ZipfFitness {
        clusters: search.clusters,
        exponent: search.exponent,
        temperature: search.temperature,
        draws: search.draws,
        seed: clips.seed(),
    };
    let found = fitness.measure(&points)?;
    if !clips.are_labelled() {
        return Ok(Some((found, None)));
    }
    let config = KMeansConfig::new(search.clusters, clips.seed());
    let clusters = KMeans::fit(&points.normalized(), &config)?;
    let classes = clips.classes().len();
    let labels = held_out.labels.iter().map(|&label| label as usize);
    let majorities = clusters.majorities(labels, classes);
    let alike: usize = majorities.iter().map(|majority| majority.points).sum();
    Ok(Some((found, Some(alike as f64 / held_out.labels.len() as f64))))
}
