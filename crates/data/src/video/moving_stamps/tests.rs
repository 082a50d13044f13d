//! Stamps from files, clips of them, and errors.

use std::collections::BTreeMap;

use image::{Rgba, RgbaImage};

use super::*;

/// A stamp whose picture is one colour and whose sound is a tone without silence.
fn stamp(name: &str, colour: [u8; 3]) -> Stamp {
    let [r, g, b] = colour;
    let picture = RgbaImage::from_pixel(20, 10, Rgba([r, g, b, 255]));
    let wave = (0..4000).map(|i| (f64::from(i) * 0.3).sin() as f32).collect();
    Stamp { name: name.to_owned(), picture, wave }
}

fn moving(exponent: f64) -> MovingStamps {
    let stamps = vec![stamp("red", [255, 0, 0]), stamp("blue", [0, 0, 255])];
    let classes: Vec<String> = (0..8).map(|class| class.to_string()).collect();
    let law: Vec<f64> = (1..=8).map(|rank| f64::from(rank).powf(-exponent)).collect();
    let total: f64 = law.iter().sum();
    let shares = law.iter().map(|share| share / total).collect();
    let options = MovingStampsOptions { size: 32, ..MovingStampsOptions::default() };
    MovingStamps { stamps, options, classes, shares }
}

/// Mean column and row of the pixels with a stamp's colour, in a frame.
fn middle(clip: &SoundingClip, frame: usize, colour: [u8; 3]) -> [f64; 2] {
    let pixels = &clip.frames[frame * 32 * 32 * 3..][..32 * 32 * 3];
    let places: Vec<usize> =
        pixels.chunks_exact(3).enumerate().filter(|(_, p)| *p == colour).map(|(i, _)| i).collect();
    let mean = |of: fn(usize) -> usize| {
        places.iter().map(|&place| of(place) as f64).sum::<f64>() / places.len() as f64
    };
    [mean(|place| place % 32), mean(|place| place / 32)]
}

fn power(sound: &[f32]) -> f32 {
    sound.iter().map(|x| x * x).sum()
}

#[test]
fn what_a_stamp_does_is_seen_and_heard() {
    let source = moving(0.0);
    for index in 0..40 {
        let clip = source.draw(SoundingSplit::Train, index);
        assert_eq!(clip.frames.len(), 12 * 32 * 32 * 3);
        assert!(clip.sound.iter().all(|ear| ear.len() == 16_000));
        let colour = [[255, 0, 0], [0, 0, 255]][clip.class as usize / 4];
        let (before, after) = (middle(&clip, 3, colour), middle(&clip, 8, colour));
        let went = [after[0] - before[0], after[1] - before[1]];
        let (name, way) = DIRECTIONS[clip.class as usize % 4];
        let along = went[0] * way[0] + went[1] * way[1];
        assert!(along > 2.0, "{name}: {went:?}");
        assert!((went[0] * way[1] - went[1] * way[0]).abs() < 1.0, "{name}: {went:?}");
        // From the left ear to the right, or back.
        let [left, right] = [0, 1].map(|ear| &clip.sound[ear]);
        let leans = |part: std::ops::Range<usize>| {
            power(&right[part.clone()]) / (power(&left[part]) + 1e-12)
        };
        match name {
            "right" => assert!(leans(0..2000) < leans(14_000..16_000)),
            "left" => assert!(leans(0..2000) > leans(14_000..16_000)),
            _ => {}
        }
        let loud = power(&left[7000..9000]) + power(&right[7000..9000]);
        let soft = power(&left[..2000]) + power(&right[..2000]);
        assert!(loud > soft, "it is loudest in the middle");
    }
}

#[test]
fn clips_are_their_own_and_always_the_same() {
    let source = moving(1.0);
    let clip = source.draw(SoundingSplit::Train, 7);
    assert_eq!(clip, source.draw(SoundingSplit::Train, 7));
    for other in [source.draw(SoundingSplit::Train, 8), source.draw(SoundingSplit::Test, 7)] {
        assert_ne!(clip.frames, other.frames);
    }
}

/// A tone of one second, then three seconds of silence.
#[test]
fn a_clip_within_a_pause_is_left_out() {
    let mut source = moving(1.0);
    for stamp in &mut source.stamps {
        stamp.wave = (0..16_000).map(|i| (f64::from(i) * 0.3).sin() as f32).collect();
        stamp.wave.resize(64_000, 0.0);
    }
    let (mut heard, mut silent) = (0, 0);
    for index in 0..60 {
        match source.clip(SoundingSplit::Train, index, &Cancel::default()).unwrap() {
            Some(clip) => {
                heard += 1;
                assert!(clip.sound.iter().any(|ear| power(ear) > 0.0));
            }
            None => {
                silent += 1;
                let drawn = source.draw(SoundingSplit::Train, index);
                assert!(drawn.sound.iter().all(|ear| power(ear) == 0.0));
            }
        }
    }
    // Half of the beginnings hear none of the tone.
    assert!(heard >= 15 && silent >= 15, "{heard} heard, {silent} silent");
}

#[test]
fn the_sizes_of_classes_follow_the_law() {
    let source = moving(1.0);
    let mut counts = BTreeMap::new();
    for index in 0..600 {
        *counts.entry(source.draw(SoundingSplit::Test, index).class).or_insert(0) += 1;
    }
    // 1 / H(8) = 0.368 of 600, and an eighth of that.
    assert!((190..=252).contains(&counts[&0]), "{counts:?}");
    assert!((10..=48).contains(&counts[&7]), "{counts:?}");
}
