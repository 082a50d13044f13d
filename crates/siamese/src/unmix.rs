//! Images mixed by Un-Mix's plan (arXiv 2003.05438).

use bauta_masking::UnMix;
use tch::{Device, Kind, Tensor};

/// Mixes images [B, C, H, W] with those of the reversed batch.
///
/// # Panics
/// When a box lies outside of the images.
pub fn unmix(plan: &UnMix, images: &Tensor) -> Tensor {
    let partners = images.flip([0]);
    match plan {
        UnMix::Blend { own } => images * *own + partners * (1.0 - own),
        UnMix::Box { rows, columns, .. } => {
            let mixed = images.copy();
            let part = |images: &Tensor| {
                let rows = images.narrow(2, rows.start as i64, rows.len() as i64);
                rows.narrow(3, columns.start as i64, columns.len() as i64)
            };
            part(&mixed).copy_(&part(&partners));
            mixed
        }
    }
}

/// The mixed image that each image of a batch of `samples` is the partner in, i64 `[B]`.
pub fn unmix_partner_of(samples: i64, device: Device) -> Tensor {
    Tensor::arange(samples, (Kind::Int64, device)).flip([0])
}

#[cfg(test)]
mod tests {
    use bauta_streams::{Purpose, StreamKey};

    use super::*;

    #[test]
    fn shares_are_what_is_left_of_the_own_image() {
        // The own images are 1, their partners 0.
        let images = Tensor::from_slice(&[1.0_f32, 0.0]).view([2, 1, 1, 1]);
        let images = images.expand([2, 1, 12, 9], false).contiguous();
        for sample in 0..200 {
            let purpose = Purpose::named("un-mix");
            let mut stream = StreamKey { seed: 0, purpose, epoch: 0, sample }.stream();
            let plan = UnMix::draw([12, 9], &mut stream);
            let shares = unmix(&plan, &images).mean_dim(&[1_i64, 2, 3][..], false, Kind::Double);
            assert!((shares.double_value(&[0]) - plan.own()).abs() < 1e-6, "{plan:?}");
            assert!((shares.double_value(&[1]) - 1.0 + plan.own()).abs() < 1e-6, "{plan:?}");
        }
        let back: Vec<i64> = unmix_partner_of(3, Device::Cpu).try_into().unwrap();
        assert_eq!(back, [2, 1, 0]);
    }
}
