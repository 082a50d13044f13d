//! The rectangle of an image that a random resized crop takes.

use bauta_streams::RandomStream;

/// A rectangle of whole pixels within an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) top: usize,
    pub(crate) left: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Region {
    /// All of an image.
    pub(crate) fn whole(height: usize, width: usize) -> Self {
        Self { top: 0, left: 0, height, width }
    }

    /// Its middle, with no side longer than `most` times the other.
    pub(crate) fn no_longer_than(self, most: usize) -> Self {
        let height = self.height.min(most * self.width);
        let width = self.width.min(most * self.height);
        let (top, left) = ((self.height - height) / 2, (self.width - width) / 2);
        Self { top: self.top + top, left: self.left + left, height, width }
    }

    /// Draws a rectangle as torchvision's `RandomResizedCrop` does.
    ///
    /// The area is uniform, the ratio log-uniform. A rectangle that does not fit is drawn again;
    /// after ten failures the result is the largest central rectangle whose ratio is allowed.
    pub(crate) fn random(
        whole: Self,
        scale: [f64; 2],
        ratio: [f64; 2],
        stream: &mut RandomStream,
    ) -> Self {
        for _ in 0..10 {
            let [height, width] = draw_sides(whole, scale, ratio, stream);
            if (1..=whole.height).contains(&height) && (1..=whole.width).contains(&width) {
                return whole.place(height, width, stream);
            }
        }
        let own = whole.width as f64 / whole.height as f64;
        let (height, width) = if own < ratio[0] {
            (round(whole.width as f64 / ratio[0]), whole.width)
        } else if own > ratio[1] {
            (whole.height, round(whole.height as f64 * ratio[1]))
        } else {
            (whole.height, whole.width)
        };
        let (height, width) = (height.clamp(1, whole.height), width.clamp(1, whole.width));
        let (top, left) = ((whole.height - height) / 2, (whole.width - width) / 2);
        Self { top, left, height, width }
    }

    /// Draws a rectangle once and clips its sides to the image's.
    pub(crate) fn random_clamped(
        whole: Self,
        scale: [f64; 2],
        ratio: [f64; 2],
        stream: &mut RandomStream,
    ) -> Self {
        let [height, width] = draw_sides(whole, scale, ratio, stream);
        whole.place(height.clamp(1, whole.height), width.clamp(1, whole.width), stream)
    }

    /// Puts a rectangle of the given sides at a uniform position within this one.
    fn place(self, height: usize, width: usize, stream: &mut RandomStream) -> Self {
        let top = stream.below((self.height - height + 1) as u64) as usize;
        let left = stream.below((self.width - width + 1) as u64) as usize;
        Self { top, left, height, width }
    }
}

fn draw_sides(
    whole: Region,
    scale: [f64; 2],
    ratio: [f64; 2],
    stream: &mut RandomStream,
) -> [usize; 2] {
    let area = (whole.height * whole.width) as f64 * stream.uniform_in(scale[0], scale[1]);
    let ratio = stream.uniform_in(ratio[0].ln(), ratio[1].ln()).exp();
    [round((area / ratio).sqrt()), round((area * ratio).sqrt())]
}

/// Rounds as Python does.
fn round(side: f64) -> usize {
    side.round_ties_even() as usize
}

#[cfg(test)]
mod tests {
    use bauta_streams::{Purpose, StreamKey};
    use proptest::prelude::*;

    use super::*;

    fn stream(sample: u64) -> RandomStream {
        StreamKey { seed: 0, purpose: Purpose::AUGMENT, epoch: 0, sample }.stream()
    }

    proptest! {
        #[test]
        fn regions_lie_within_the_image(
            height in 1_usize..600, width in 1_usize..600, sample: u64,
            least in 0.01..1.0, narrow in 0.1..2.0,
        ) {
            let whole = Region::whole(height, width);
            let (scale, ratio) = ([least, 1.0], [narrow, narrow * 1.5]);
            for region in [
                Region::random(whole, scale, ratio, &mut stream(sample)),
                Region::random_clamped(whole, scale, ratio, &mut stream(sample)),
            ] {
                prop_assert!(region.height >= 1 && region.top + region.height <= height);
                prop_assert!(region.width >= 1 && region.left + region.width <= width);
            }
        }
    }

    #[test]
    fn area_and_ratio_have_the_right_means() {
        let (mut area, mut log_ratio) = (0.0, 0.0);
        let count = 4000;
        for sample in 0..count {
            let whole = Region::whole(1000, 1000);
            let region = Region::random(whole, [0.2, 0.5], [0.75, 4.0 / 3.0], &mut stream(sample));
            area += (region.height * region.width) as f64 / 1e6;
            log_ratio += (region.width as f64 / region.height as f64).ln();
        }
        // Standard errors: 0.0866 / √4000 = 0.0014, 0.166 / √4000 = 0.0026.
        assert!((area / count as f64 - 0.35).abs() < 0.006, "{area}");
        assert!((log_ratio / count as f64).abs() < 0.011, "{log_ratio}");
    }

    #[test]
    fn what_never_fits_falls_back_to_the_middle() {
        // An image of ratio 10 cannot hold 90 % of its area at a ratio of at most 4/3.
        let (scale, ratio) = ([0.9, 1.0], [0.75, 4.0 / 3.0]);
        let region = Region::random(Region::whole(10, 100), scale, ratio, &mut stream(0));
        assert_eq!(region, Region { top: 0, left: 43, height: 10, width: 13 });
        let region = Region::random(Region::whole(100, 9), scale, ratio, &mut stream(0));
        assert_eq!(region, Region { top: 44, left: 0, height: 12, width: 9 });
    }
}
