//! Un-Mix (Shen et al., arXiv 2003.05438): how a batch is blended with its reverse, or where boxes
//! of it are pasted.

use std::ops::Range;

use bauta_streams::RandomStream;

/// How the images of a step are mixed with the reversed batch.
#[derive(Clone, Debug, PartialEq)]
pub enum UnMix {
    /// The images' weighted mean with their partners.
    Blend {
        /// Weight λ of the own image, in [0, 1].
        own: f64,
    },
    /// A box of the partner pasted into the own image.
    Box {
        /// Pixel rows of the box.
        rows: Range<usize>,
        /// Pixel columns of the box.
        columns: Range<usize>,
        /// λ: the remaining fraction of the own image, in [0, 1].
        own: f64,
    },
}

impl UnMix {
    /// Draws λ uniformly (Beta(1, 1)), and whether images are blended or boxes pasted, each in half
    /// of the steps.
    ///
    /// A box's sides are √(1 − λ) of the image's and its centre is uniform; it is clipped to the
    /// image, and λ becomes the remaining fraction. `image` is [height, width].
    pub fn draw(image: [usize; 2], stream: &mut RandomStream) -> Self {
        let own = stream.uniform_in(0.0, 1.0);
        if stream.uniform() < 0.5 {
            return Self::Blend { own };
        }
        let side = (1.0 - own).sqrt();
        let [rows, columns] = image.map(|length| {
            let half = (length as f64 * side) as usize / 2;
            let middle = stream.below(length as u64) as usize;
            middle.saturating_sub(half)..(middle + half).min(length)
        });
        let pasted = rows.len() * columns.len();
        let own = 1.0 - pasted as f64 / (image[0] * image[1]) as f64;
        Self::Box { rows, columns, own }
    }

    /// λ: the fraction of the own image.
    pub fn own(&self) -> f64 {
        match self {
            Self::Blend { own } | Self::Box { own, .. } => *own,
        }
    }
}

#[cfg(test)]
mod tests {
    use bauta_streams::{Purpose, StreamKey};

    use super::*;

    #[test]
    fn half_of_the_steps_blend_and_boxes_lie_within_the_image() {
        let (mut blends, mut sum) = (0, 0.0);
        for sample in 0..2000 {
            let purpose = Purpose::named("un-mix");
            let mut stream = StreamKey { seed: 0, purpose, epoch: 0, sample }.stream();
            let mixing = UnMix::draw([12, 9], &mut stream);
            assert!((0.0..=1.0).contains(&mixing.own()), "{mixing:?}");
            match &mixing {
                UnMix::Blend { .. } => blends += 1,
                UnMix::Box { rows, columns, own } => {
                    assert!(rows.end <= 12 && columns.end <= 9, "{mixing:?}");
                    let left = 1.0 - (rows.len() * columns.len()) as f64 / 108.0;
                    assert_eq!(*own, left);
                }
            }
            sum += mixing.own();
        }
        assert!((900..1100).contains(&blends), "{blends}");
        // Boxes are clipped at the border, so more of the own image is left.
        assert!((0.5..0.65).contains(&(sum / 2000.0)), "{sum}");
    }
}
