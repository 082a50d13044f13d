//! A recipe's settings, as the network's and the masks' own types.

use anyhow::{Result, ensure};
use bauta_backbones::{ResNetConfig, ResNetDepth, Stem, StepCost};
use bauta_data::Share;
use bauta_recipe::{MixMask as Settings, ResidualBlocks, ResidualStem, SiameseBase, SiameseTable};
use bauta_siamese::{Method, SiameseConfig};

use super::views::{Masking, Viewing};
use crate::images::Images;

/// Checks that batch norms can divide each process's share of a batch into `splits` parts.
///
/// # Errors
/// When the share is not a multiple of them, or a part has fewer than two images.
pub(super) fn check_share(splits: usize, batch: usize, share: Share) -> Result<()> {
    share.check(batch)?;
    let (own, of) = (batch / share.of, share.of);
    ensure!(
        own.is_multiple_of(splits) && own / splits >= 2,
        "siamese.splits {splits} must divide each process's share of train.batch_size, {own} of \
         {batch} images with {of} processes, into parts of at least 2 images, which have a variance"
    );
    Ok(())
}

/// The network of a recipe, for images with `channels` channels.
pub(super) fn network(settings: &Settings, channels: usize) -> SiameseConfig {
    let encoder = ResNetConfig {
        depth: match settings.model.network {
            ResidualBlocks::ResNet18 => ResNetDepth::Eighteen,
            ResidualBlocks::ResNet50 => ResNetDepth::Fifty,
        },
        stem: match settings.model.stem {
            ResidualStem::Small => Stem::Small,
            ResidualStem::Large => Stem::Large,
        },
        width: settings.model.width,
        channels,
    };
    let SiameseTable { dim, hidden, queue, momentum, temperature, splits, symmetric, .. } =
        settings.siamese;
    let method = match settings.siamese.base {
        SiameseBase::Moco => Method::Moco,
        SiameseBase::Simsiam => Method::Simsiam,
        SiameseBase::Byol => Method::Byol,
    };
    SiameseConfig { method, encoder, dim, hidden, queue, momentum, temperature, splits, symmetric }
}

/// The cost of the encoder's passes of a step: those that learn, and those that give keys.
pub(super) fn step_cost(config: &SiameseConfig, settings: &Settings, images: &Images) -> StepCost {
    let one = config.encoder.step_cost(images.loader.height, images.loader.width);
    let (views, momentum) = (1 + usize::from(config.symmetric), config.method.has_momentum());
    let mixed = usize::from(settings.mask.is_some()) + usize::from(settings.siamese.unmix);
    // SimSiam's key is its output for the other view, if it learns from both.
    let keys = if momentum || !config.symmetric { views } else { 0 };
    one.times(views + mixed) + one.frozen().times(keys)
}

/// How batches of a recipe become views.
///
/// # Errors
/// When the masks do not fit the images.
pub fn viewing(settings: &Settings, images: &Images) -> Result<Viewing> {
    let image = [images.loader.height, images.loader.width];
    let masking = settings.mask.as_ref().map(|mask| -> Result<Masking> {
        Ok(Masking { filler: mask.build(image)?, partners: mask.partners, fill: mask.fill })
    });
    Ok(Viewing {
        seed: images.loader.seed,
        rank: images.loader.share.rank as u64,
        device: images.device,
        masking: masking.transpose()?,
        unmix: settings.siamese.unmix,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_splits_are_those_of_one_share() {
        let check = |splits, batch, of| check_share(splits, batch, Share { rank: 0, of });
        for (splits, batch, of) in [(8, 256, 1), (8, 256, 16), (1, 4, 2)] {
            assert!(check(splits, batch, of).is_ok(), "{splits} {batch} {of}");
        }
        for (splits, batch, of) in [(8, 256, 32), (8, 24, 2), (1, 9, 2)] {
            let error = check(splits, batch, of).unwrap_err().to_string();
            assert!(error.contains("batch_size"), "{error}");
        }
    }
}
