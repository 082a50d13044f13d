//! Properties of whole augmentations, and values from the Python libraries.

use bauta_streams::{Purpose, StreamKey};
use proptest::prelude::*;

use super::*;

fn stream(sample: u64) -> RandomStream {
    StreamKey { seed: 1, purpose: Purpose::AUGMENT, epoch: 0, sample }.stream()
}

/// An image whose samples all differ from their neighbours'.
fn picture(height: usize, width: usize, channels: usize) -> Image<'static> {
    let pixels: Vec<u8> =
        (0..height * width * channels).map(|i| (i * 37 % 251) as u8 ^ (i / 7) as u8).collect();
    Image::new(height, width, channels, pixels)
}

fn apply(augment: &Augment, image: &Image<'_>, height: usize, width: usize, key: u64) -> Vec<u8> {
    let mut out = vec![0; image.channels() * height * width];
    let augmenter = Augmenter::new(augment, image.channels(), height, width).unwrap();
    augmenter.apply(image, &mut stream(key), &mut out);
    out
}

/// \[H, W, C\] to \[C, H, W\].
fn planes(image: &Image<'_>) -> Vec<u8> {
    (0..image.channels())
        .flat_map(|channel| image.pixels()[channel..].iter().step_by(image.channels()).copied())
        .collect()
}

fn arbitrary_crop() -> impl Strategy<Value = Crop> {
    prop::sample::select(vec![
        Crop::RandomResized,
        Crop::RandomResizedClamped,
        Crop::Shift,
        Crop::Center,
        Crop::None,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_image_gives_the_same_output_twice(
        crop in arbitrary_crop(), flip: bool, key: u64, colour: bool,
        sides in prop::array::uniform4(1_usize..70),
    ) {
        let [height, width, out_height, out_width] = sides;
        let image = picture(height, width, if colour { 3 } else { 1 });
        let shift = (out_height.min(out_width) - 1).min(4);
        let (randaugment, erasing) = (9.0, 0.5);
        let augment = Augment { crop, flip, shift, randaugment, erasing, ..Augment::default() };
        let once = apply(&augment, &image, out_height, out_width, key);
        prop_assert_eq!(&once, &apply(&augment, &image, out_height, out_width, key));
    }

    #[test]
    fn a_flat_image_stays_flat(crop in arbitrary_crop(), level: u8, key: u64) {
        let image = Image::new(20, 31, 3, vec![level; 20 * 31 * 3]);
        let augment = Augment { crop, ..Augment::default() };
        prop_assert!(apply(&augment, &image, 16, 24, key).iter().all(|&sample| sample == level));
    }

    #[test]
    fn resized_samples_stay_near_the_originals_range(key: u64, low in 40_u8..100) {
        // The cubic overshoots by at most 1/8 of a step on each axis when enlarging.
        let pixels: Vec<u8> = (0..32 * 32).map(|i| if i % 5 < 2 { low } else { 200 }).collect();
        let out = apply(&Augment::default(), &Image::new(32, 32, 1, pixels), 40, 40, key);
        let slack = (200 - low) / 3;
        prop_assert!(out.iter().all(|&s| s >= low - slack.min(low) && s <= 200 + slack.min(55)));
    }
}

#[test]
fn an_image_of_the_right_size_is_taken_as_it_is() {
    let image = picture(32, 32, 3);
    for crop in [Crop::Center, Crop::None] {
        let augment = Augment { crop, flip: false, ..Augment::default() };
        assert_eq!(apply(&augment, &image, 32, 32, 0), planes(&image));
    }
}

/// Here a window of the resizing library would start on a zero of its filter.
#[test]
fn a_centre_crop_may_enlarge() {
    let augment = Augment::evaluation();
    let image = picture(18, 21, 1);
    assert_eq!(apply(&augment, &image, 1, 43, 0).len(), 43);
}

#[test]
fn a_centre_crop_of_a_very_long_image_takes_its_middle() {
    let image = Image::new(1, 9001, 1, [vec![10; 4000], vec![90; 1001], vec![200; 4000]].concat());
    assert_eq!(apply(&Augment::evaluation(), &image, 7, 7, 0), [90; 49]);
}

#[test]
fn about_half_of_the_images_are_mirrored() {
    let image = picture(5, 4, 3);
    let augment = Augment { crop: Crop::None, ..Augment::default() };
    let mirrored: Vec<u8> =
        planes(&image).chunks_exact(4).flat_map(|row| row.iter().rev().copied()).collect();
    let mut count = 0;
    for key in 0..200 {
        let out = apply(&augment, &image, 5, 4, key);
        assert!(out == mirrored || out == planes(&image));
        count += usize::from(out == mirrored);
    }
    assert!((70..130).contains(&count), "{count} of 200");
}

#[test]
fn a_shift_reflects_the_border() {
    let image = Image::new(4, 4, 1, (0..16).collect::<Vec<u8>>());
    let augment = Augment { crop: Crop::Shift, shift: 2, flip: false, ..Augment::default() };
    let padded = [2, 1, 0, 1, 2, 3, 2, 1];
    let mut seen = std::collections::HashSet::new();
    for key in 0..200 {
        let out = apply(&augment, &image, 4, 4, key);
        let place = (0..5).flat_map(|dy| (0..5).map(move |dx| (dy, dx))).find(|&(dy, dx)| {
            (0..16).all(|i| out[i] == padded[dy + i / 4] * 4 + padded[dx + i % 4])
        });
        seen.insert(place.expect("the output is a window of the reflected image"));
    }
    assert_eq!(seen.len(), 25, "every shift occurs");
}

#[test]
fn the_centre_crop_has_torchvisions_sizes() {
    let augmenter = Augmenter::new(&Augment::evaluation(), 3, 224, 224).unwrap();
    assert_eq!(augmenter.covering(Region::whole(375, 500)), [256, 341]);
    assert_eq!(augmenter.covering(Region::whole(500, 375)), [341, 256]);
    let middle = |outer, inner| Middle::HalfEven.begin(outer, inner);
    assert_eq!([middle(256, 224), middle(341, 224), middle(10, 7)], [16, 58, 2]);
    // A strip that would be 2.6 million pixels wide costs no more than its middle.
    let strip = Image::new(1, 10_000, 1, vec![7; 10_000]);
    assert!(apply(&Augment::evaluation(), &strip, 224, 224, 0).iter().all(|&sample| sample == 7));
}

#[test]
fn any_number_of_channels_is_augmented_channel_by_channel() {
    for augment in [Augment::default(), Augment::evaluation()] {
        for channels in [1, 2, 3, 4, 5, 7] {
            let image = picture(23, 31, channels);
            let all = apply(&augment, &image, 12, 10, 3);
            for (channel, plane) in all.chunks_exact(12 * 10).enumerate() {
                let grey: Vec<u8> =
                    image.pixels()[channel..].iter().step_by(channels).copied().collect();
                let alone = apply(&augment, &Image::new(23, 31, 1, grey), 12, 10, 3);
                assert_eq!(plane, alone, "channel {channel} of {channels}");
            }
        }
    }
}

fn framed(framing: Framing, image: &Image<'_>, height: usize, width: usize) -> Vec<u8> {
    let augmenter =
        Augmenter::new(&Augment::evaluation(), image.channels(), height, width).unwrap();
    let augmenter = augmenter.framed(framing);
    augmenter.check(image).unwrap();
    let mut out = vec![0; image.channels() * height * width];
    augmenter.apply(image, &mut stream(0), &mut out);
    out
}

/// Values from Pillow: `resize((10, 8), BILINEAR)`, then `crop((1, 0, 8, 7))`.
#[test]
fn a_framed_image_is_resized_by_its_shorter_side_and_cut_rounded_down() {
    let (resize, filter) = (Resize::Covering([8, 8]), Filter::Bilinear);
    let framing = Framing { resize, filter, crop: Some(Middle::Down) };
    let found = framed(framing, &picture(24, 30, 1), 7, 7);
    let pillow = [
        115, 110, 123, 118, 125, 130, 128, 129, 125, 112, 114, 117, 124, 130, 137, 144, 117, 112,
        116, 118, 118, 135, 138, 135, 129, 118, 114, 119, 122, 137, 138, 142, 139, 122, 120, 112,
        126, 127, 145, 133, 131, 119, 122, 118, 113, 138, 139, 142, 127,
    ];
    let furthest = found.iter().zip(pillow).map(|(a, b): (&u8, u8)| a.abs_diff(b)).max();
    assert!(furthest <= Some(1), "{found:?}");
}

/// With 3 pixels left over, common Pillow code starts at 1 and torchvision at 2; with 1 or 5 left
/// over, both start at the same pixel.
#[test]
fn the_middle_begins_where_the_framing_says() {
    let image = picture(9, 13, 1);
    let begins = |crop, size: usize| {
        let framing = Framing { resize: Resize::No, filter: Filter::Bicubic, crop: Some(crop) };
        let found = framed(framing, &image, 9, size);
        (0..=13 - size).find(|&at| found[..size] == planes(&image)[at..at + size])
    };
    for (size, down, even) in [(12, 0, 0), (11, 1, 1), (10, 1, 2), (9, 2, 2), (8, 2, 2), (6, 3, 4)]
    {
        assert_eq!(begins(Middle::Down, size), Some(down), "{size}");
        assert_eq!(begins(Middle::HalfEven, size), Some(even), "{size}");
    }
}

#[test]
fn a_framing_treats_the_outputs_own_size_as_any_other() {
    let image = picture(9, 12, 3);
    assert_eq!(framed(Framing::covering([9, 12]), &image, 9, 12), planes(&image));
    let framing = |resize| Framing { resize, filter: Filter::Bicubic, crop: Some(Middle::Down) };
    assert_eq!(framing(Resize::Covering([8, 8])).resized([9, 12]), [8, 10]);
    assert_eq!(framing(Resize::Covering([8, 8])).resized([12, 9]), [10, 8]);
    assert_eq!(framing(Resize::Covering([4, 8])).resized([9, 12]), [6, 8]);
    assert_eq!(framing(Resize::To([4, 8])).resized([9, 12]), [4, 8]);
    // The size is kept, and the middle cut out.
    let found = framed(framing(Resize::No), &image, 3, 3);
    let row = |y: usize| planes(&image)[(3 + y) * 12 + 4..][..3].to_vec();
    assert_eq!(found[..9], [row(0), row(1), row(2)].concat());
}

#[test]
fn what_a_framing_does_not_bring_to_the_size_is_refused_with_all_sizes() {
    let found = |resize, crop: bool, height, width| {
        let crop = crop.then_some(Middle::HalfEven);
        let framing = Framing { resize, filter: Filter::Bicubic, crop };
        let augmenter = Augmenter::new(&Augment::evaluation(), 1, 8, 8).unwrap().framed(framing);
        augmenter.check(&picture(height, width, 1))
    };
    let wanted = "the image has 7 × 30 pixels and is resized to 7 × 30, but 8 × 8 are needed, and \
                  that is too small for a centre crop";
    assert_eq!(found(Resize::No, true, 7, 30), Err(wanted.to_owned()));
    assert_eq!(found(Resize::No, true, 9, 30), Ok(()));
    let refused = found(Resize::No, false, 9, 8).unwrap_err();
    assert!(refused.ends_with("no crop is set"), "{refused}");
    assert_eq!(found(Resize::No, false, 8, 8), Ok(()));
    assert_eq!(found(Resize::Covering([8, 8]), false, 4, 4), Ok(()));
    assert!(found(Resize::Covering([8, 8]), false, 4, 5).is_err());
}
