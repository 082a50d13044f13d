//! The RGB network alone: exported, read back, and measured on labels.

use anyhow::{Context, Result};
use bauta_backbones::{SpacetimeConv, SpacetimeFolder, SpacetimeModelConfig};
use bauta_eval::{EncodedData, Evaluator, KMeansEvaluator, Metrics, Scores, Watch};
use bauta_evolve::Fitness;
use bauta_recipe::Elo as Settings;

use super::clips::Clips;
use super::drawing::Part;
use super::search::{Searched, Told};
use super::{Elo, judge, sections};
use crate::run::{Console, Run};
use crate::settings::evaluators;

/// The folder of a run that holds the RGB network alone.
const KEPT: &str = "rgb";

/// The protocols, if clips have labels.
fn protocols(clips: &Clips, settings: &Settings) -> Result<Vec<Box<dyn Evaluator>>> {
    if !clips.are_labelled() {
        return Ok(Vec::new());
    }
    let mut protocols = evaluators(&settings.eval.as_eval())?;
    protocols.push(Box::new(KMeansEvaluator));
    Ok(protocols)
}

/// Refuses labels that no protocol can learn from, before anything is trained.
pub(super) fn check(clips: &Clips, settings: &Settings) -> Result<()> {
    let mut counts = vec![0; clips.classes().len()];
    if clips.are_labelled() {
        clips.train().labels.iter().for_each(|&label| counts[label as usize] += 1);
    }
    for protocol in protocols(clips, settings)? {
        protocol.labelled(&counts).with_context(|| format!("protocol {}", protocol.name()))?;
    }
    Ok(())
}

/// Exports the trained network; measures it, the baselines and the search.
pub(super) fn measure(
    last: &Elo,
    equal: Option<&Elo>,
    found: &Searched,
    clips: &Clips,
    settings: &Settings,
    run: &mut Run<'_>,
) -> Result<Scores> {
    let kept = last.export(clips, run)?;
    let protocols = protocols(clips, settings)?;
    let console = Console::new(run.stop);
    let mut metrics = probe("trained", &kept, &protocols, clips, &console)?;
    let fitness = judged("trained", &kept, clips, settings, run)?;
    metrics.extend(fitness.as_ref().map(divergence));
    let agreement = found.told.as_ref().and_then(Told::fitness_rank_correlation);
    if let Some(told) = &found.told {
        metrics.extend([("search_evaluations", told.search.evaluations() as f64)]);
        metrics.extend(agreement.map(|of| ("fitness_rank_correlation", of.correlation)));
    }
    let mut scores = Scores::from(metrics);
    if let Some(agreement) = agreement {
        let chance = Metrics::from_iter([("fitness_rank_correlation", agreement.chance)]);
        scores.extend_baseline("chance", chance);
    }
    if settings.eval.baselines && clips.are_labelled() {
        let untrained = Elo::new(settings, clips, last.weights.clone(), 0)?;
        let others = [("random_init", Some(&untrained)), ("equal_weights", equal)];
        for (name, other) in others {
            let Some(other) = other else { continue };
            let mut of = probe(name, other.networks.rgb(), &protocols, clips, &console)?;
            let fitness = judged(name, other.networks.rgb(), clips, settings, run)?;
            of.extend(fitness.as_ref().map(divergence));
            scores.extend_baseline(name, of);
        }
    }
    run.explain(["Features: the embedding of the RGB network alone, read from the folder \
                  rgb of the run."
        .to_owned()]);
    if protocols.is_empty() {
        run.explain(["The clips have no labels: nothing is measured on them.".to_owned()]);
    }
    run.explain(protocols.iter().map(|e| format!("{}: {}", e.name(), e.settings())));
    let sizes = fitness.as_ref().map(|fitness| &*fitness.sizes);
    sections::show(found, sizes, clips, settings, run)?;
    Ok(scores)
}

/// The criterion of the search, on the held-out clips. `None` for embeddings that have collapsed,
/// whose divergence looks usual.
fn judged(
    name: &str,
    network: &SpacetimeConv,
    clips: &Clips,
    settings: &Settings,
    run: &mut Run<'_>,
) -> Result<Option<Fitness>> {
    let Some((fitness, _)) = judge::judge(network, clips, &settings.search)? else {
        return Ok(None);
    };
    if fitness.collapsed() {
        run.explain([format!(
            "The embeddings of the held-out clips have collapsed ({name}): no divergence from \
             Zipf's law is given."
        )]);
        return Ok(None);
    }
    Ok(Some(fitness))
}

fn divergence(fitness: &Fitness) -> (&'static str, f64) {
    ("zipf_divergence", fitness.divergence)
}

fn probe(
    name: &str,
    network: &SpacetimeConv,
    protocols: &[Box<dyn Evaluator>],
    clips: &Clips,
    watch: &dyn Watch,
) -> Result<Metrics> {
    let mut metrics = Metrics::new();
    if protocols.is_empty() {
        return Ok(metrics);
    }
    watch.begin(&format!("features: {name}"));
    let split = |part: &Part| judge::embed(network, clips, part);
    let classes = clips.classes().len();
    let data = EncodedData::new(split(clips.train())?, split(clips.test())?, classes)?;
    for protocol in protocols {
        watch.begin(&format!("{}: {name}", protocol.name()));
        metrics.extend(protocol.evaluate_until(&data, clips.seed(), watch.stop())?);
    }
    Ok(metrics)
}

impl Elo {
    /// Writes the RGB network alone as a model folder, and reads it back.
    fn export(&self, clips: &Clips, run: &Run<'_>) -> Result<SpacetimeConv> {
        let folder = run.folder().join(KEPT);
        let sizes = clips.sizes();
        let config =
            SpacetimeModelConfig::new(self.networks.rgb().config(), sizes.frames, sizes.size);
        SpacetimeFolder::write(&folder, &config, &self.parameters, "rgb.")?;
        let (_parameters, network) = SpacetimeFolder::read(&folder)?.encoder(clips.device())?;
        Ok(network)
    }
}
