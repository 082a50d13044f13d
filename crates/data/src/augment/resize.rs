//! Antialiased resizing of a part of an image, bicubic by default.
//!
//! Bytes are rounded and clipped to their range; floating-point values are neither, so the
//! overshoot of a bicubic filter stays. The filters are Pillow's (bicubic is Keys' cubic with
//! a = -0.5), widened by the scale when shrinking. Samples differ from Pillow's by at most one
//! level, because the two passes come in the other order.

use fast_image_resize as fr;
use fr::images::{TypedCroppedImage, TypedImage, TypedImageRef};

use super::framing::{Filter, Middle};
use super::region::Region;
use crate::image::Image;
use crate::sample::Sample;

/// A resizer that keeps its buffers between images; bicubic by default.
#[derive(Default)]
pub(crate) struct Resizer<S = u8> {
    resizer: fr::Resizer,
    filter: Filter,
    pixels: Vec<S>,
}

impl Resizer {
    /// A resizer with a triangle filter, which is widened when shrinking as well.
    pub(crate) fn bilinear() -> Self {
        Self { filter: Filter::Bilinear, ..Self::default() }
    }
}

impl<S: Sample> Resizer<S> {
    /// Resizes by this filter from now on.
    pub(crate) fn set_filter(&mut self, filter: Filter) {
        self.filter = filter;
    }

    /// Cuts a region out of an image and resizes it; the filter does not read beyond it.
    pub(crate) fn resize(
        &mut self,
        image: &Image<'_, S>,
        region: Region,
        height: usize,
        width: usize,
    ) -> &[S] {
        self.pixels.resize(height * width * image.channels(), S::default());
        match image.channels() {
            1 => self.run::<S::One>(image, region, height, width),
            2 => self.run::<S::Two>(image, region, height, width),
            3 => self.run::<S::Three>(image, region, height, width),
            4 => self.run::<S::Four>(image, region, height, width),
            channels => self.run_each(image, region, height, width, channels),
        }
        &self.pixels
    }

    /// Resizes a region to `full` (height, width) and keeps its middle
    /// `height × width`, placed like torchvision's centre crop.
    pub(crate) fn resize_middle(
        &mut self,
        image: &Image<'_, S>,
        region: Region,
        full: [usize; 2],
        height: usize,
        width: usize,
    ) -> &[S] {
        let [down, right] = full;
        let middle = Middle::HalfEven;
        let corner = [middle.begin(down, height), middle.begin(right, width)];
        self.resize_window(image, region, full, corner, [height, width])
    }

    /// Resizes a region to `full` (height, width) and keeps `size` of it from `corner` on.
    // The library could resize to the window alone, but reads out of bounds
    // where a window begins on a zero of the filter.
    pub(crate) fn resize_window(
        &mut self,
        image: &Image<'_, S>,
        region: Region,
        full: [usize; 2],
        [top, left]: [usize; 2],
        [height, width]: [usize; 2],
    ) -> &[S] {
        self.resize(image, region, full[0], full[1]);
        let row = width * image.channels();
        for y in 0..height {
            let start = ((top + y) * full[1] + left) * image.channels();
            self.pixels.copy_within(start..start + row, y * row);
        }
        self.pixels.truncate(height * row);
        &self.pixels
    }

    /// Resizes the channels one by one.
    fn run_each(
        &mut self,
        image: &Image<'_, S>,
        region: Region,
        height: usize,
        width: usize,
        channels: usize,
    ) {
        let mut whole = std::mem::take(&mut self.pixels);
        for channel in 0..channels {
            let plane: Vec<S> =
                image.pixels()[channel..].iter().step_by(channels).copied().collect();
            let plane = Image::new(image.height(), image.width(), 1, plane);
            let resized = self.resize(&plane, region, height, width);
            for (sample, &value) in whole[channel..].iter_mut().step_by(channels).zip(resized) {
                *sample = value;
            }
        }
        self.pixels = whole;
    }

    fn run<P: fr::PixelTrait>(
        &mut self,
        image: &Image<'_, S>,
        region: Region,
        height: usize,
        width: usize,
    ) {
        let side = |pixels: usize| u32::try_from(pixels).expect("an image's side fits 32 bits");
        let (image_width, image_height) = (side(image.width()), side(image.height()));
        let source =
            TypedImageRef::<P>::from_buffer(image_width, image_height, S::as_bytes(image.pixels()))
                .expect("Image::new checked the length");
        let Region { top, left, .. } = region;
        let (part_width, part_height) = (side(region.width), side(region.height));
        let part =
            TypedCroppedImage::from_ref(&source, side(left), side(top), part_width, part_height)
                .expect("a region lies within its image");
        let mut target = TypedImage::<P>::from_buffer(
            side(width),
            side(height),
            S::as_bytes_mut(&mut self.pixels),
        )
        .expect("the buffer was given the length");
        let algorithm = algorithm(self.filter);
        self.resizer
            .resize_typed(
                &part,
                &mut target,
                &fr::ResizeOptions::new().resize_alg(algorithm).use_alpha(false),
            )
            .expect("both have one type of pixel");
    }
}

/// The library's algorithm that is equivalent to Pillow's filter.
fn algorithm(filter: Filter) -> fr::ResizeAlg {
    fr::ResizeAlg::Convolution(match filter {
        Filter::Nearest => return fr::ResizeAlg::Nearest,
        Filter::Box => fr::FilterType::Box,
        Filter::Bilinear => fr::FilterType::Bilinear,
        Filter::Hamming => fr::FilterType::Hamming,
        Filter::Bicubic => fr::FilterType::CatmullRom,
        Filter::Lanczos => fr::FilterType::Lanczos3,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grey image of 24 × 30 pixels.
    fn picture() -> Image<'static> {
        let pixels: Vec<u8> = (0..24 * 30).map(|i| (i * 37 % 251) as u8 ^ (i / 7) as u8).collect();
        Image::new(24, 30, 1, pixels)
    }

    fn check(resized: &[u8], pillow: &[u8]) {
        assert_eq!(resized.len(), pillow.len());
        let furthest = resized.iter().zip(pillow).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(furthest <= Some(1), "{:?}\n{pillow:?}", resized);
    }

    // Values from Pillow 13.0: `Image.crop`, then `Image.resize(…, BICUBIC)`.

    #[test]
    fn shrinking_equals_pillow() {
        let region = Region { top: 3, left: 5, height: 17, width: 22 };
        check(
            Resizer::default().resize(&picture(), region, 4, 6),
            &[
                130, 116, 109, 122, 122, 132, //
                143, 129, 118, 116, 117, 116, //
                137, 138, 143, 130, 116, 115, //
                121, 121, 142, 137, 126, 123,
            ],
        );
    }

    #[test]
    fn enlarging_equals_pillow() {
        let region = Region { top: 3, left: 5, height: 3, width: 4 };
        check(
            Resizer::default().resize(&picture(), region, 5, 7),
            &[
                2, 12, 34, 48, 66, 104, 124, //
                46, 52, 67, 87, 113, 144, 160, //
                121, 123, 129, 147, 170, 191, 203, //
                172, 187, 205, 149, 94, 119, 139, //
                197, 221, 248, 143, 37, 65, 91,
            ],
        );
    }

    /// Values from Pillow: all resized to 8 × 10, then cropped to 7 × 7.
    #[test]
    fn the_middle_equals_pillows_resize_then_crop() {
        check(
            Resizer::default().resize_middle(&picture(), Region::whole(24, 30), [8, 10], 7, 7),
            &[
                109, 121, 121, 121, 134, 126, 142, //
                124, 113, 111, 119, 125, 129, 130, //
                146, 115, 108, 118, 115, 121, 122, //
                141, 136, 132, 113, 115, 118, 115, //
                137, 137, 145, 138, 122, 117, 112, //
                125, 127, 144, 135, 131, 119, 119, //
                116, 112, 138, 141, 139, 132, 132,
            ],
        );
    }

    #[test]
    fn every_filter_equals_pillows() {
        let figures: [(Filter, [u8; 15]); 6] = [
            (
                Filter::Nearest,
                [48, 22, 241, 209, 189, 179, 87, 115, 31, 59, 137, 149, 242, 208, 50],
            ),
            (
                Filter::Box,
                [125, 123, 115, 126, 134, 126, 136, 133, 120, 119, 119, 119, 134, 135, 131],
            ),
            (
                Filter::Bilinear,
                [131, 121, 118, 125, 131, 129, 133, 129, 120, 121, 120, 121, 134, 133, 128],
            ),
            (
                Filter::Hamming,
                [131, 120, 117, 126, 133, 128, 135, 130, 118, 120, 120, 118, 134, 134, 129],
            ),
            (
                Filter::Bicubic,
                [131, 120, 115, 125, 132, 129, 135, 130, 118, 120, 119, 119, 135, 134, 128],
            ),
            (
                Filter::Lanczos,
                [132, 120, 114, 126, 133, 129, 136, 130, 117, 119, 118, 119, 136, 135, 128],
            ),
        ];
        let mut resizer = Resizer::default();
        for (filter, pillow) in figures {
            resizer.set_filter(filter);
            check(resizer.resize(&picture(), Region::whole(24, 30), 3, 5), &pillow);
        }
    }

    #[test]
    fn values_equal_pillows_floats_and_are_neither_rounded_nor_cut() {
        // The same picture in units of its own, from -75,000 to 180,000; Pillow's mode F.
        let values = picture().pixels().iter().map(|&b| f32::from(b) * 1e3 - 7.5e4).collect();
        let values: Vec<f32> = values;
        let grey = Image::new(24, 30, 1, values.clone());
        // The same with more channels, which are resized together or one by one.
        let repeated = |count: usize| {
            let all = values.iter().flat_map(|&v| (0..count).map(move |c| v + c as f32 * 1e3));
            Image::new(24, 30, count, all.collect::<Vec<f32>>())
        };
        let shrunk = [
            55033.85, 40606.74, 33788.88, 47229.05, 47518.69, 56864.61, 68576.73, 53501.9,
            43093.51, 40688.04, 41576.54, 41058.38, 61859.34, 63084.57, 67551.91, 55403.82,
            41367.68, 39926.9, 46487.09, 46177.61, 66931.56, 61488.27, 51367.17, 48554.16,
        ];
        let enlarged = [
            -73898.72, -62415.98, -40854.11, -27005.9, -8901.07, 28977.86, 49995.1, -29388.54,
            -22751.99, -8446.5, 12393.66, 37650.53, 68886.78, 85416.46, 46365.38, 48003.73,
            53501.18, 71937.5, 94630.43, 116_444.94, 127_617.79, 97068.37, 111_996.03, 129_728.65,
            73338.16, 18882.83, 44033.62, 63295.93, 122_059.46, 146_390.14, 173_262.7, 67433.96,
            -37983.58, -9534.72, 15717.03,
        ];
        let mut resizer = Resizer::<f32>::default();
        for (region, [height, width], pillow) in [
            (Region { top: 3, left: 5, height: 17, width: 22 }, [4, 6], &shrunk[..]),
            (Region { top: 3, left: 5, height: 3, width: 4 }, [5, 7], &enlarged[..]),
        ] {
            for channels in 1..6 {
                let image = if channels == 1 { grey.clone() } else { repeated(channels) };
                let found = resizer.resize(&image, region, height, width);
                assert_eq!(found.len(), channels * pillow.len());
                for (i, &value) in found.iter().enumerate() {
                    let wanted = pillow[i / channels] + (i % channels) as f32 * 1e3;
                    assert!((value - wanted).abs() < 0.1, "{channels}, {i}: {value} {wanted}");
                }
            }
        }
    }
}
