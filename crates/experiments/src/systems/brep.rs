//! Self-Supervised Representation Learning for CAD (Jones et al., arXiv 2210.10807).
//!
//! Encode each face of a part by its exact surface, its edges and their vertices; from the code
//! and a point (u, v) decode the point of the surface there and the signed distance to the
//! face's trim. Then freeze the codes, and learn classes of faces from a few labelled parts.
//! Equations and deviations: `docs/systems/brep.md`.

mod embed;
mod few_shot;
mod measures;
mod parts;
mod pictures;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result};
use bauta_backbones::Parameters;
use bauta_brep::model::{
    DecoderConfig, EncoderConfig, EncoderKind, FaceEncoder, FieldLoss, SampledBatch, SurfaceDecoder,
};
use bauta_eval::Scores;
use bauta_recipe::{Brep as Settings, FaceEncoder as Encoder, FieldChannels};
use bauta_train::{Loss, Objective, ObjectiveError};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

pub use self::embed::{embed, is_brep};
use self::parts::CadParts;
use crate::run::{Run, System};

/// The encoder of faces, and the decoder that trains it.
pub struct Brep {
    parameters: Parameters,
    encoder: FaceEncoder,
    decoder: SurfaceDecoder,
    channels: FieldChannels,
    config: Config,
}

/// The contents of a model's `config.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Config {
    model_type: String,
    encoder: EncoderConfig,
    decoder: DecoderConfig,
}

impl Objective for Brep {
    type Input = SampledBatch;

    fn loss(&mut self, input: &SampledBatch) -> Result<Loss, ObjectiveError> {
        let SampledBatch { graph, points, target } = &input.to_device(self.parameters.device());
        let codes = self.encoder.forward(graph);
        let FieldLoss { surface, trim } =
            FieldLoss::of(&self.decoder.forward(&codes, points), target);
        Ok(match self.channels {
            FieldChannels::Both => Loss::sum([("surface", 1.0, surface), ("trim", 1.0, trim)]),
            FieldChannels::Explicit => Loss::sum([("surface", 1.0, surface)]),
            FieldChannels::Implicit => Loss::sum([("trim", 1.0, trim)]),
        })
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn config(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).expect("a configuration is plain values")
    }

    fn tensors(&self, input: &SampledBatch) -> Vec<(&'static str, Tensor)> {
        input.tensors()
    }
}

impl System for Brep {
    type Settings = Settings;

    fn run(settings: &Settings, run: &mut Run<'_>) -> Result<Scores> {
        let parts = CadParts::open(settings, run)?;
        let mut brep = Self::new(settings, run.seed, run.device);
        let phase = run.phase("pretrain", parts.batches_per_epoch());
        let points = settings.target.points;
        run.train(&phase, &mut brep, parts.inputs(run.threads, points)?)?;
        run.measures()?;
        let mut scores = brep.reconstruction(settings, &parts, run)?;
        let labels = brep.few_shot(settings, &parts, run, &mut scores)?;
        brep.show(settings, &parts, labels.as_deref(), run)?;
        Ok(scores)
    }
}

impl Brep {
    /// Builds both networks as a recipe describes them.
    pub fn new(settings: &Settings, seed: u64, device: Device) -> Self {
        let decoder = DecoderConfig {
            dim: settings.decoder.dim as i64,
            depth: settings.decoder.depth as i64,
        };
        Self::built(Config { model_type: MODEL.to_owned(), encoder: encoder(settings), decoder }, {
            Parameters::new(seed, device)
        })
        .channels(settings.target.kind)
    }

    fn built(config: Config, mut parameters: Parameters) -> Self {
        let encoder = FaceEncoder::new(parameters.root().sub("encoder"), &config.encoder);
        let width = config.encoder.dim;
        let decoder = SurfaceDecoder::new(parameters.root().sub("decoder"), &config.decoder, width);
        Self { parameters, encoder, decoder, channels: FieldChannels::Both, config }
    }

    fn channels(self, channels: FieldChannels) -> Self {
        Self { channels, ..self }
    }

    /// Reads a model folder.
    ///
    /// # Errors
    /// When the folder is not one of this system.
    fn read(folder: &std::path::Path, device: Device) -> Result<Self> {
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let config: Config = serde_json::from_str(&text).with_context(|| {
            format!("{} does not belong to a model of system brep", path.display())
        })?;
        let brep = Self::built(config, Parameters::new(0, device));
        brep.parameters.load(&folder.join("model.safetensors"))?;
        Ok(brep)
    }
}

/// The model type in `config.json`.
const MODEL: &str = "brep";

/// The sizes of a recipe's encoder.
fn encoder(settings: &Settings) -> EncoderConfig {
    let model = &settings.model;
    EncoderConfig {
        kind: match model.encoder {
            Encoder::Attention => EncoderKind::Attention,
            Encoder::Loops => EncoderKind::Loops,
        },
        dim: model.dim as i64,
        edge_heads: model.edge_heads as i64,
        face_heads: model.face_heads as i64,
    }
}
