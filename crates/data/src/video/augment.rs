//! The part of a video's frames that a clip shows: one part and one mirroring for all frames.

use std::cell::RefCell;

use bauta_datasets::video::{ClipAugment, ClipCrop};
use bauta_streams::RandomStream;

use crate::augment::region::Region;
use crate::augment::resize::Resizer;
use crate::image::Image;

/// Frames with one side more than this many times the other are cut to their middle before they are
/// covered, so that an extreme ratio cannot demand gigabytes.
const LONGEST: usize = 8;

/// The part of its frames that a clip shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cut {
    pub(super) part: Part,
    pub(super) mirrored: bool,
}

/// Position of a clip's part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Part {
    /// This rectangle, resized to the size of the clip.
    Stretched(Region),
    /// The frame is resized to cover the clip, and crop `place` of `places` is taken. The crops are
    /// spread evenly from the left or top; a single one is in the middle.
    Covering { place: usize, places: usize },
}

/// Draws the part of frames of this size that a clip shows.
pub(super) fn draw(
    augment: &ClipAugment,
    height: usize,
    width: usize,
    stream: &mut RandomStream,
) -> Cut {
    let whole = Region::whole(height, width);
    let part = match augment.crop {
        ClipCrop::RandomResized => {
            Part::Stretched(Region::random(whole, augment.scale, augment.ratio, stream))
        }
        ClipCrop::Center => Part::Covering { place: 0, places: 1 },
        ClipCrop::None => Part::Stretched(whole),
    };
    Cut { part, mirrored: augment.flip && stream.uniform() < 0.5 }
}

thread_local! {
    static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::bilinear());
}

/// Writes the part of a frame into the planes of a clip \[C, T, H, W\], as its frame `at` of
/// `frames`.
///
/// # Panics
/// When `clip` has another length.
pub(super) fn cut_frame(
    frame: &Image<'_>,
    cut: Cut,
    [height, width]: [usize; 2],
    clip: &mut [u8],
    at: usize,
    frames: usize,
) {
    let (channels, plane) = (frame.channels(), height * width);
    assert_eq!(clip.len(), channels * frames * plane, "a clip of the wrong length");
    RESIZER.with_borrow_mut(|resizer| {
        let pixels = match cut.part {
            Part::Stretched(region)
                if [region.height, region.width] == [height, width]
                    && region == Region::whole(frame.height(), frame.width()) =>
            {
                frame.pixels()
            }
            Part::Stretched(region) => resizer.resize(frame, region, height, width),
            Part::Covering { place, places } => {
                covered(resizer, frame, [height, width], place, places)
            }
        };
        for channel in 0..channels {
            let plane = &mut clip[(channel * frames + at) * plane..][..plane];
            match channels {
                1 => plane.copy_from_slice(pixels),
                3 => {
                    let (pixels, _) = pixels.as_chunks::<3>();
                    let samples = pixels.iter().map(|pixel| pixel[channel]);
                    plane.iter_mut().zip(samples).for_each(|(to, sample)| *to = sample);
                }
                _ => {
                    let samples = pixels[channel..].iter().step_by(channels).copied();
                    plane.iter_mut().zip(samples).for_each(|(to, sample)| *to = sample);
                }
            }
            if cut.mirrored {
                plane.chunks_exact_mut(width).for_each(<[u8]>::reverse);
            }
        }
    });
}

/// Resizes a frame so that it covers a size, and takes one of the crops along it.
fn covered<'a>(
    resizer: &'a mut Resizer,
    frame: &Image<'_>,
    [height, width]: [usize; 2],
    place: usize,
    places: usize,
) -> &'a [u8] {
    let part = Region::whole(frame.height(), frame.width()).no_longer_than(LONGEST);
    let full = if height * part.width >= width * part.height {
        [height, (height * part.width / part.height).max(width)]
    } else {
        [(width * part.height / part.width).max(height), width]
    };
    // The middle is rounded up, as in the official code.
    let offset = |left: usize| match places {
        1 => left.div_ceil(2),
        _ => (left * place).div_ceil(places - 1),
    };
    let [top, left] = [offset(full[0] - height), offset(full[1] - width)];
    resizer.resize_window(frame, part, full, [top, left], [height, width])
}

/// Shrinks a frame to the shorter side `short_side`, unless that is 0 or its shorter side is no
/// longer.
pub(super) fn shrunk(frame: Image<'_>, short_side: usize) -> Image<'_> {
    let (height, width) = (frame.height(), frame.width());
    if short_side == 0 || height.min(width) <= short_side {
        return frame;
    }
    let other = |long: usize, short: usize| ((long * short_side) as f64 / short as f64).round();
    let [to_height, to_width] = if height <= width {
        [short_side, other(width, height) as usize]
    } else {
        [other(height, width) as usize, short_side]
    };
    let whole = Region::whole(height, width);
    let pixels = RESIZER
        .with_borrow_mut(|resizer| resizer.resize(&frame, whole, to_height, to_width).to_vec());
    Image::new(to_height, to_width, frame.channels(), pixels)
}

#[cfg(test)]
mod tests {
    use bauta_streams::{Purpose, StreamKey};

    use super::*;

    fn stream(sample: u64) -> RandomStream {
        StreamKey { seed: 1, purpose: Purpose::AUGMENT, epoch: 0, sample }.stream()
    }

    /// A frame of two channels whose samples tell their position.
    fn frame(height: usize, width: usize) -> Image<'static> {
        let pixels = (0..height * width)
            .flat_map(|i| [i as u8, 200_u8.wrapping_sub(i as u8)])
            .collect::<Vec<_>>();
        Image::new(height, width, 2, pixels)
    }

    fn cut(part: Part, mirrored: bool, size: [usize; 2], frame: &Image<'_>) -> Vec<u8> {
        let mut clip = vec![255; 2 * 3 * size[0] * size[1]];
        cut_frame(frame, Cut { part, mirrored }, size, &mut clip, 1, 3);
        clip
    }

    #[test]
    fn planes_are_in_the_order_channel_frame_row_column() {
        let part = Part::Stretched(Region::whole(2, 3));
        let clip = cut(part, false, [2, 3], &frame(2, 3));
        assert_eq!(clip[6..12], [0, 1, 2, 3, 4, 5]);
        assert_eq!(clip[24..30], [200, 199, 198, 197, 196, 195]);
        assert!(clip[..6].iter().chain(&clip[12..24]).chain(&clip[30..]).all(|&s| s == 255));
        let mirrored = cut(part, true, [2, 3], &frame(2, 3));
        assert_eq!(mirrored[6..12], [2, 1, 0, 5, 4, 3]);
    }

    #[test]
    fn three_places_are_both_ends_and_the_middle() {
        let wide = frame(2, 7);
        let places = |place, places| {
            cut(Part::Covering { place, places }, false, [2, 2], &wide)[4..6].to_vec()
        };
        assert_eq!([places(0, 3), places(1, 3), places(2, 3)], [[0, 1], [3, 4], [5, 6]]);
        assert_eq!(places(0, 1), [3, 4]);
        // The crops of a tall frame go from the top down.
        let tall = frame(6, 2);
        let low = cut(Part::Covering { place: 2, places: 3 }, false, [2, 2], &tall);
        assert_eq!(low[4..8], [8, 9, 10, 11]);
    }

    #[test]
    fn only_longer_sides_are_shrunk() {
        let size = |frame: Image<'_>, side| {
            let shrunk = shrunk(frame, side);
            [shrunk.height(), shrunk.width()]
        };
        assert_eq!(size(frame(12, 18), 6), [6, 9]);
        assert_eq!(size(frame(9, 4), 2), [5, 2]);
        assert_eq!(size(frame(12, 18), 12), [12, 18]);
        assert_eq!(size(frame(12, 18), 0), [12, 18]);
    }

    #[test]
    fn half_of_the_clips_are_mirrored_and_crops_have_their_scale() {
        let augment = ClipAugment::default();
        let cuts: Vec<Cut> = (0..400).map(|i| draw(&augment, 60, 80, &mut stream(i))).collect();
        let mirrored = cuts.iter().filter(|cut| cut.mirrored).count();
        assert!((150..250).contains(&mirrored), "{mirrored}");
        for cut in cuts {
            let Part::Stretched(region) = cut.part else { panic!("{cut:?}") };
            let area = (region.height * region.width) as f64 / 4800.0;
            assert!((0.48..=1.0).contains(&area), "{region:?}");
        }
        let none = draw(&ClipAugment::none(), 60, 80, &mut stream(0));
        assert_eq!(none, Cut { part: Part::Stretched(Region::whole(60, 80)), mirrored: false });
    }
}
