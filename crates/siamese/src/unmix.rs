//! Un-Mix (Shen et al., arXiv 2003.05438): a batch blended with itself from back to front, or
//! boxes of it pasted.

use std::ops::Range;

use bauta_streams::RandomStream;
use tch::Tensor;

/// How the images of a step are mixed with those of the batch from back to front.
#[derive(Clone, Debug, PartialEq)]
pub enum UnMix {
    /// The images' weighted mean with their partners.
    Blend {
        /// Weight λ of the own image, in [0, 1].
        own: f64,
    },
    /// A box of the partner in the own image.
    Box {
        /// Its rows of pixels.
        rows: Range<i64>,
        /// Its columns of pixels.
        columns: Range<i64>,
        /// λ: the fraction of the own image that is left, in [0, 1].
        own: f64,
    },
}

impl UnMix {
    /// Draws λ uniformly (Beta(1, 1)), and whether images are blended or boxes pasted, each in
    /// half of the steps. A box's sides are √(1 − λ) of the image's, its middle is anywhere,
    /// and what lies outside is cut off; λ is what is left. `image` is [height, width].
    pub fn draw(image: [usize; 2], stream: &mut RandomStream) -> Self {
        let own = stream.uniform_in(0.0, 1.0);
        if stream.uniform() < 0.5 {
            return Self::Blend { own };
        }
        let side = (1.0 - own).sqrt();
        let [rows, columns] = image.map(|length| {
            let half = (length as f64 * side) as i64 / 2;
            let middle = stream.below(length as u64) as i64;
            let inside = |place: i64| place.clamp(0, length as i64);
            inside(middle - half)..inside(middle + half)
        });
        let pasted = (rows.end - rows.start) * (columns.end - columns.start);
        let own = 1.0 - pasted as f64 / (image[0] * image[1]) as f64;
        Self::Box { rows, columns, own }
    }

    /// λ: the share of the own image.
    pub fn own(&self) -> f64 {
        match self {
            Self::Blend { own } | Self::Box { own, .. } => *own,
        }
    }

    /// Mixes images [B, C, H, W].
    pub fn mix(&self, images: &Tensor) -> Tensor {
        let partners = images.flip([0]);
        match self {
            Self::Blend { own } => images * *own + partners * (1.0 - own),
            Self::Box { rows, columns, .. } => {
                let mixed = images.copy();
                let part = |images: &Tensor| {
                    let rows = images.narrow(2, rows.start, rows.end - rows.start);
                    rows.narrow(3, columns.start, columns.end - columns.start)
                };
                part(&mixed).copy_(&part(&partners));
                mixed
            }
        }
    }

    /// Which mixed image each image of a batch of `samples` is pasted into, i64 [B].
    pub fn partner_of(samples: i64, device: tch::Device) -> Tensor {
        Tensor::arange(samples, (tch::Kind::Int64, device)).flip([0])
    }
}

#[cfg(test)]
mod tests {
    use bauta_streams::{Purpose, StreamKey};
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn shares_are_what_is_left_of_the_own_image() {
        // The own images are 1, their partners 0.
        let images =
            Tensor::from_slice(&[1.0_f32, 0.0]).view([2, 1, 1, 1]).expand([2, 1, 12, 9], false);
        let (mut blends, mut sum) = (0, 0.0);
        for sample in 0..2000 {
            let purpose = Purpose::named("un-mix");
            let mut stream = StreamKey { seed: 0, purpose, epoch: 0, sample }.stream();
            let mixing = UnMix::draw([12, 9], &mut stream);
            let mixed = mixing.mix(&images.contiguous());
            let shares = mixed.mean_dim(&[1_i64, 2, 3][..], false, Kind::Double);
            assert!((shares.double_value(&[0]) - mixing.own()).abs() < 1e-6, "{mixing:?}");
            assert!((shares.double_value(&[1]) - 1.0 + mixing.own()).abs() < 1e-6, "{mixing:?}");
            blends += usize::from(matches!(mixing, UnMix::Blend { .. }));
            sum += mixing.own();
        }
        assert!((900..1100).contains(&blends), "{blends}");
        // Boxes are cut off at the border, so more of the own image is left.
        assert!((0.5..0.65).contains(&(sum / 2000.0)), "{sum}");
        let back: Vec<i64> = UnMix::partner_of(3, Device::Cpu).try_into().unwrap();
        assert_eq!(back, [2, 1, 0]);
    }
}
