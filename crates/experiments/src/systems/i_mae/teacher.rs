//! i-MAE's teacher: a masked autoencoder that is already trained, and stays frozen.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use bauta_backbones::{
    Encode, MaeDecoder, MaeDecoderConfig, ModelConfig, ModelError, ModelFolder, Parameters,
    Preprocessing, StepCost, TokenIndices, VisionTransformer, VitMaeConfig,
    mae_weights_for_branches,
};
use tch::Tensor;

use crate::images::Images;

/// Statistics that differ by less, in standard deviations, count as the same.
const TOLERANCE: f32 = 1e-3;

/// A frozen masked autoencoder, whose encoder and `decoder_embed` teach.
pub(super) struct FrozenAutoencoder {
    path: PathBuf,
    norm_pix_loss: bool,
    /// What turns the run's normalised images into the teacher's, if its folder names other
    /// statistics: a factor and an offset of each channel, both [C, 1, 1].
    renormalization: Option<[Tensor; 2]>,
    pub(super) parameters: Parameters,
    pub(super) encoder: VisionTransformer,
    decoder: MaeDecoder,
}

impl FrozenAutoencoder {
    /// Reads the model folder at `path`; none of its weights ever has a gradient. Its images are
    /// normalised as the folder says, or else as the run's.
    pub(super) fn open(path: &Path, images: &Images) -> Result<Self> {
        let read = || -> Result<_, ModelError> {
            let folder = ModelFolder::read(path)?;
            let standardised =
                matches!(folder.config(), ModelConfig::VitMae(config) if config.norm_pix_loss);
            Ok((standardised, folder.masked_autoencoder(images.device)?))
        };
        let (norm_pix_loss, (mut parameters, encoder, decoder)) = read().with_context(|| {
            let path = path.display();
            format!("the teacher {path}: i-MAE learns from a masked autoencoder with its decoder")
        })?;
        parameters.train_only(|_| false);
        let renormalization = renormalization(path, images)
            .with_context(|| format!("the teacher {}", path.display()))?;
        let path = path.to_owned();
        Ok(Self { path, norm_pix_loss, renormalization, parameters, encoder, decoder })
    }

    /// Refuses a teacher whose patches are not the student's or, if its latents are distilled,
    /// whose latents are of another width than those of the student's decoder.
    pub(super) fn check(
        &self,
        student: &VisionTransformer,
        distilled: Option<&MaeDecoderConfig>,
    ) -> Result<()> {
        let path = self.path.display();
        let cut = |encoder: &VisionTransformer| {
            let config = encoder.config();
            [config.channels, config.image_height, config.image_width, config.patch_size]
        };
        let (found, wanted) = (cut(&self.encoder), cut(student));
        let words = |[channels, height, width, patch]: [usize; 4]| {
            format!("{height} × {width} pixels of {channels} channels in patches of {patch}")
        };
        ensure!(
            found == wanted,
            "the teacher {path} sees {}, the student {}; both must see the same patches: set \
             data.image_size and model.patch_size to the teacher's",
            words(found),
            words(wanted)
        );
        if let Some(decoder) = distilled {
            let (found, wanted) = (self.decoder.config().dim, decoder.dim);
            ensure!(
                found == wanted,
                "latents of the teacher {path} are {found} wide, decoder.dim is {wanted}; set \
                 decoder.dim={found}, or mixture.latent_weight=0"
            );
        }
        Ok(())
    }

    /// Initialises a student with the teacher's weights; each of its heads is a copy of the
    /// teacher's `decoder_embed`. Refuses a teacher of images that are normalised otherwise.
    pub(super) fn begin(&self, student: &Parameters, config: &VitMaeConfig) -> Result<()> {
        let path = self.path.display();
        ensure!(
            self.renormalization.is_none(),
            "the student cannot start from the weights of the teacher {path}: its {} names other \
             means and standard deviations than those of the run's images; set \
             mixture.init=random, or train the teacher on these images",
            Preprocessing::FILE
        );
        if self.norm_pix_loss != config.norm_pix_loss {
            tracing::warn!(
                "the teacher {path} predicts {} pixels, target.kind asks for {}: the first loss \
                 will be large",
                if self.norm_pix_loss { "standardised" } else { "raw" },
                if config.norm_pix_loss { "standardised ones" } else { "raw ones" }
            );
        }
        let own = self.parameters.iter().map(|p| (p.name.clone(), p.tensor.shallow_clone()));
        let weights = mae_weights_for_branches(&own.collect(), config.decoder_branches);
        student.assign(&weights).map_err(|mismatch| {
            anyhow::anyhow!(
                "the student cannot start from the weights of the teacher {path} ({mismatch}); \
                 give [model] and [decoder] its sizes, or set mixture.init=random"
            )
        })
    }

    /// The teacher's latents [B, 1 + V, Dd], class token included, of each of some images
    /// [B, C, H, W], normalised as the run's, under the student's mask.
    pub(super) fn latents(
        &self,
        images: &[&Tensor],
        indices: &TokenIndices,
    ) -> Result<Vec<Tensor>, ModelError> {
        let latent = |images: &&Tensor| {
            let images = self.renormalized(images);
            Ok(self.decoder.embed(&self.encoder.encode(&images, Encode::visible(indices))?))
        };
        tch::no_grad(|| images.iter().map(latent).collect())
    }

    /// The run's normalised images as the teacher's. Their mixture is the mixture of these, since
    /// its shares add up to 1.
    fn renormalized(&self, images: &Tensor) -> Tensor {
        match &self.renormalization {
            Some([factor, offset]) => images * factor + offset,
            None => images.shallow_clone(),
        }
    }

    /// The latent of one image, as the target of all `branches` (the released code).
    pub(super) fn latent_for_all(
        &self,
        image: &Tensor,
        indices: &TokenIndices,
        branches: usize,
    ) -> Result<Vec<Tensor>, ModelError> {
        let latents = self.latents(&[image], indices)?;
        Ok((0..branches).map(|_| latents[0].shallow_clone()).collect())
    }

    /// The cost of one image's latent.
    pub(super) fn step_cost(&self, visible: usize) -> StepCost {
        let encoder = self.encoder.config().step_cost(visible);
        (encoder + self.decoder.config().embed_cost(visible)).frozen()
    }
}

/// What turns images that the run has normalised into those that the folder's file describes;
/// `None` if both are the same, or there is no such file.
fn renormalization(path: &Path, images: &Images) -> Result<Option<[Tensor; 2]>> {
    let Some(said) = Preprocessing::read(path)? else { return Ok(None) };
    let own = images.normalization()?;
    let (takes, found) = (said.samples()?.kind, own.samples().kind);
    ensure!(
        takes == found,
        "it takes samples of {} (sample_type), but the run's images hold {}; samples are not \
         converted",
        takes.name(),
        found.name()
    );
    let said = said.statistics(own.channels())?;
    let own = own.preprocessing(None).statistics(own.channels())?;
    let factors = own.deviation.iter().zip(&said.deviation).map(|(own, said)| own / said);
    let factors: Vec<f32> = factors.collect();
    let offsets = own.mean.iter().zip(&said.mean).map(|(own, said)| own - said);
    let offsets = offsets.zip(&said.deviation).map(|(offset, deviation)| offset / deviation);
    let offsets: Vec<f32> = offsets.collect();
    let mut off = factors.iter().map(|factor| factor - 1.0).chain(offsets.iter().copied());
    if off.all(|off| off.abs() <= TOLERANCE) {
        return Ok(None);
    }
    let channels =
        |values: &[f32]| Tensor::from_slice(values).view([-1, 1, 1]).to_device(images.device);
    Ok(Some([channels(&factors), channels(&offsets)]))
}
