//! The network of colour alone: exported, read back, and measured on labels.

use std::fs;

use anyhow::{Context, Result};
use bauta_backbones::checkpoint::write_tensors;
use bauta_backbones::{Parameters, SpacetimeConv};
use bauta_eval::{EncodedData, Evaluator, KMeansEvaluator, Metrics, Scores, Watch};
use bauta_files::write_whole;
use bauta_recipe::Elo as Settings;
use tch::Tensor;

use super::clips::Clips;
use super::drawing::Part;
use super::search::Searched;
use super::{Elo, judge, sections};
use crate::run::{Console, Run};
use crate::settings::evaluators;

/// The folder of a run that holds the network of colour alone.
const KEPT: &str = "rgb";

/// Exports and measures what was trained, the baselines, and what the search made of them.
pub(super) fn measure(
    last: &Elo,
    equal: Option<&Elo>,
    found: &Searched,
    clips: &Clips,
    settings: &Settings,
    run: &mut Run<'_>,
) -> Result<Scores> {
    let kept = last.export(clips, run)?;
    let mut protocols: Vec<Box<dyn Evaluator>> = evaluators(&settings.eval.as_eval())?;
    protocols.push(Box::new(KMeansEvaluator));
    let console = Console::new(run.stop);
    let mut metrics = probe("trained", &kept, &protocols, clips, &console)?;
    if let Some(told) = &found.told {
        metrics.extend([("search_evaluations", told.search.evaluations() as f64)]);
        metrics.extend(
            sections::fitness_rank_correlation(told).map(|r| ("fitness_rank_correlation", r)),
        );
        metrics.extend(told.search.winner().map(|best| ("search_divergence", best.cost())));
    }
    let mut scores = Scores::from(metrics);
    if settings.eval.baselines {
        let untrained = Elo::new(settings, clips, last.weights.clone(), 0)?;
        let others = [("random_init", Some(&untrained)), ("equal_weights", equal)];
        for (name, other) in others {
            let Some(other) = other else { continue };
            let of = probe(name, other.networks.rgb(), &protocols, clips, &console)?;
            scores.extend_baseline(name, of);
        }
    }
    run.explain(["Features: the embedding of the network of colour alone, read from the folder \
                  rgb of the run."
        .to_owned()]);
    run.explain(protocols.iter().map(|e| format!("{}: {}", e.name(), e.settings())));
    sections::show(last, found, clips, settings, run)?;
    Ok(scores)
}

fn probe(
    name: &str,
    network: &SpacetimeConv,
    protocols: &[Box<dyn Evaluator>],
    clips: &Clips,
    watch: &dyn Watch,
) -> Result<Metrics> {
    watch.begin(&format!("features: {name}"));
    let split = |part: &Part| judge::embed(network, clips, part);
    let classes = clips.classes().len();
    let data = EncodedData::new(split(clips.train())?, split(clips.test())?, classes)?;
    let mut metrics = Metrics::new();
    for protocol in protocols {
        watch.begin(&format!("{}: {name}", protocol.name()));
        metrics.extend(protocol.evaluate_until(&data, clips.seed(), watch.stop())?);
    }
    Ok(metrics)
}

impl Elo {
    /// Writes the network of colour alone, under torchvision's names, and reads it back.
    fn export(&self, clips: &Clips, run: &Run<'_>) -> Result<SpacetimeConv> {
        let folder = run.folder().join(KEPT);
        let config = self.networks.rgb().config();
        let described = serde_json::json!({
            "model_type": "bauta-r2plus1d",
            "network": config,
            "frames": clips.sizes().frames,
            "image_size": clips.sizes().size,
        });
        let weights = folder.join("model.safetensors");
        let own: Vec<(&str, &Tensor)> = self
            .parameters
            .iter()
            .filter_map(|one| Some((one.name.strip_prefix("rgb.")?, &one.tensor)))
            .collect();
        fs::create_dir_all(&folder)
            .and_then(|()| {
                let text = serde_json::to_string_pretty(&described)?;
                write_whole(&folder.join("config.json"), text.as_bytes())
            })
            .with_context(|| format!("cannot write in {}", folder.display()))?;
        write_tensors(&weights, own)?;
        let mut parameters = Parameters::new(0, clips.device());
        let network = SpacetimeConv::new(parameters.root(), config.clone())?;
        parameters.load(&weights)?;
        Ok(network)
    }
}
