//! Masked Autoencoders As Spatiotemporal Learners (Feichtenhofer et al., arXiv 2205.09113).
//!
//! Cut a clip into spacetime patches; mask nine tenths of them regardless of space and time; encode
//! the visible ones; append mask tokens and decode; predict one time slice of each masked patch.
//! Several clips are cut from each video that is read. Equations and deviations:
//! `docs/systems/mae-st.md`.

mod clips;
pub mod folder;
mod measures;
mod pictures;
mod sizes;

use anyhow::Result;
use bauta_backbones::{
    Encode, ImageNormalization, Parameters, StepCost, VideoDecoder, VideoModelConfig,
    VideoTransformer,
};
use bauta_eval::Scores;
use bauta_recipe::MaeSt as Settings;
use bauta_targets::{ClipTarget, target_frames};
use bauta_train::{Loss, Objective, ObjectiveError};
use tch::Tensor;

pub use self::clips::{Clips, MaskedClips};
use crate::run::{Run, System};

/// The masked autoencoder of clips: encoder, decoder and target.
pub struct MaeSt {
    parameters: Parameters,
    encoder: VideoTransformer,
    decoder: VideoDecoder,
    target: ClipTarget,
    normalization: ImageNormalization,
    config: VideoModelConfig,
}

impl Objective for MaeSt {
    type Input = MaskedClips;

    fn loss(&mut self, input: &MaskedClips) -> Result<Loss, ObjectiveError> {
        let clips = self.normalization.normalize(&input.pixels);
        let latent = self.encoder.encode(&clips, Encode::visible(&input.indices))?;
        let prediction = self.decoder.predict_masked(&latent, &input.indices)?;
        let target = self.target.masked(&clips, &input.indices)?;
        Ok(self.target.loss(&prediction, &target)?.into())
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn config(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).expect("a configuration is plain values")
    }

    fn tensors(&self, input: &MaskedClips) -> Vec<(&'static str, Tensor)> {
        vec![("pixels", input.pixels.shallow_clone()), ("mask", input.indices.mask())]
    }
}

impl System for MaeSt {
    type Settings = Settings;

    fn run(settings: &Settings, run: &mut Run<'_>) -> Result<Scores> {
        let mut clips = Clips::open(settings, &run.train, run.seed, run.threads, run.device)?;
        clips.loader.share = run.share();
        clips.check(run)?;
        let mut mae = Self::new(settings, &clips)?;
        let phase =
            run.phase("pretrain", clips.batches_per_epoch()).costing(mae.step_cost(&clips)?);
        run.train(&phase, &mut mae, clips.inputs()?)?;

        pictures::reconstruct(&mae, &clips, run)?;
        measures::probe(&mae, &Self::new(settings, &clips)?, &clips, run)
    }
}

impl MaeSt {
    /// Builds encoder, decoder and target at their initial weights.
    ///
    /// # Errors
    /// When the sizes do not fit together.
    pub fn new(settings: &Settings, clips: &Clips) -> Result<Self> {
        let device = clips.device;
        let mut parameters = Parameters::new(clips.loader.seed, device);
        let config = sizes::config(settings, clips)?;
        let encoder = VideoTransformer::new(parameters.root(), &config.encoder()?)?;
        let grid = encoder.grid();
        let decoder = config.decoder()?.expect("a recipe has a decoder");
        let decoder = VideoDecoder::new(parameters.root(), &decoder, grid)?;
        let chosen =
            target_frames(config.target_frames, config.num_frames, config.num_predicted_frames);
        let (channels, normalize) = (config.sizes.num_channels, config.norm_pix_loss);
        let target = ClipTarget::new(grid, channels, &chosen, normalize, device)?;
        let normalization = ImageNormalization::new(&config.image_mean, &config.image_std, device)?;
        Ok(Self { parameters, encoder, decoder, target, normalization, config })
    }

    /// The cost of one video's share of a step: of all its clips.
    fn step_cost(&self, clips: &Clips) -> Result<StepCost> {
        let plan = clips.sample_plan()?;
        let (visible, masked) = (plan.visible_count(), plan.masked_count());
        let clip = self.encoder.config().step_cost(visible)
            + self.decoder.config().step_cost(visible, masked);
        Ok(clip.times(clips.repeats))
    }
}
