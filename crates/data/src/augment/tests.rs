//! Properties of whole augmentations, and figures of the Python libraries.

use bauta_streams::{Purpose, StreamKey};
use proptest::prelude::*;

use super::resize::middle;
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
    let augmenter = augment.build(image.channels(), height, width).unwrap();
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

/// Here a window of the resizing library would begin on a zero of its filter.
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
    let augmenter = Augment::evaluation().build(3, 224, 224).unwrap();
    assert_eq!(augmenter.covering(Region::whole(375, 500)), [256, 341]);
    assert_eq!(augmenter.covering(Region::whole(500, 375)), [341, 256]);
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

#[test]
fn settings_out_of_range_are_named() {
    let good = Augment::default;
    for (key, augment) in [
        ("scale", Augment { scale: [0.0, 1.0], ..good() }),
        ("scale", Augment { scale: [0.5, 0.2], ..good() }),
        ("scale", Augment { scale: [f64::NAN, 1.0], ..good() }),
        ("ratio", Augment { ratio: [0.5, f64::INFINITY], ..good() }),
        ("randaugment", Augment { randaugment: 10.5, ..good() }),
        ("erasing", Augment { erasing: f64::NAN, ..good() }),
        ("shift", Augment { crop: Crop::Shift, shift: 32, ..good() }),
    ] {
        let error = augment.build(3, 32, 32).unwrap_err().to_string();
        assert!(error.starts_with(key), "{error}");
    }
    assert!(good().build(3, 0, 32).is_err());
    assert!(good().build(0, 32, 32).is_err());
    let changes_colours = Augment { randaugment: 9.0, ..good() };
    let error = changes_colours.build(2, 32, 32).unwrap_err().to_string();
    assert!(error.contains("randaugment") && error.contains("2 channels"), "{error}");
}

#[test]
fn recipes_write_it_with_strict_keys() {
    let augment: Augment =
        serde_json::from_str(r#"{"crop": "random-resized-clamped", "scale": [0.08, 1.0]}"#)
            .unwrap();
    assert_eq!(augment.crop, Crop::RandomResizedClamped);
    assert_eq!((augment.scale[0], augment.flip), (0.08, true));
    assert!(serde_json::from_str::<Augment>(r#"{"scales": [0.08, 1.0]}"#).is_err());
}
