//! Flow compared with OpenCV's, of known shifts and backwards, and errors.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde::Deserialize;

use super::*;

/// Computed with OpenCV by `tests/fixtures/flow/make.py`.
#[derive(Deserialize)]
struct Pair {
    name: String,
    sides: [usize; 2],
    shift: Option<[f32; 2]>,
    before: String,
    after: String,
    flow: String,
}

fn pairs() -> Vec<Pair> {
    serde_json::from_str(include_str!("../../../tests/fixtures/flow/opencv.json")).unwrap()
}

fn measure(before: &[u8], after: &[u8], sides: [usize; 2]) -> Vec<f32> {
    TvL1::new(TvL1Config::default()).unwrap().between(before, after, sides).unwrap()
}

/// Differences at positions at least `margin` from the border.
fn inner([height, width]: [usize; 2], margin: usize, off: impl Fn(usize) -> f32) -> Vec<f32> {
    let whole = 0..2 * height * width;
    let within = |at: &usize| {
        let (row, column) = (at / width % height, at % width);
        (margin..height - margin).contains(&row) && (margin..width - margin).contains(&column)
    };
    whole.filter(within).map(|at| off(at).abs()).collect()
}

fn largest(found: &[f32]) -> f32 {
    found.iter().copied().fold(0.0, f32::max)
}

fn mean(found: &[f32]) -> f32 {
    found.iter().sum::<f32>() / found.len() as f32
}

#[test]
fn opencv_finds_the_same_flow() {
    for pair in pairs() {
        let [before, after, flow] =
            [&pair.before, &pair.after, &pair.flow].map(|text| STANDARD.decode(text).unwrap());
        let expected: Vec<f32> = flow
            .as_chunks::<2>()
            .0
            .iter()
            .map(|bytes| f32::from(i16::from_le_bytes(*bytes)) / 1000.0)
            .collect();
        let found = measure(&before, &after, pair.sides);
        assert_eq!(found.len(), expected.len());
        let off = inner(pair.sides, 0, |at| found[at] - expected[at]);
        let Some(shift) = pair.shift else {
            // Pixels that disappear behind the patch or appear from behind it have no counterpart:
            // there the last bit of a float decides.
            let alike = off.iter().filter(|off| **off <= 0.05).count() as f32;
            let [mean, alike] = [mean(&off), alike / off.len() as f32];
            assert!(mean <= 0.03 && alike >= 0.95, "{}: {mean}, {alike} alike", pair.name);
            continue;
        };
        let most = largest(&inner(pair.sides, 4, |at| found[at] - expected[at]));
        assert!(most <= 0.05, "{}: off OpenCV's by {most}", pair.name);
        assert!(mean(&off) <= 0.01, "{}: off OpenCV's by {} in the mean", pair.name, mean(&off));
        let pixels = pair.sides[0] * pair.sides[1];
        let off = mean(&inner(pair.sides, 8, |at| found[at] - shift[at / pixels]));
        assert!(off <= 0.05, "{}: off the shift by {off} in the mean", pair.name);
    }
}

#[test]
fn backwards_the_flow_is_turned_round() {
    let pair = &pairs()[0];
    let [before, after] = [&pair.before, &pair.after].map(|text| STANDARD.decode(text).unwrap());
    let there = measure(&before, &after, pair.sides);
    let back = measure(&after, &before, pair.sides);
    let off = inner(pair.sides, 8, |at| there[at] + back[at]);
    assert!(largest(&off) < 0.1 && mean(&off) < 0.02, "{}, {}", largest(&off), mean(&off));
    assert_eq!(there, measure(&before, &after, pair.sides));
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let flow = TvL1::new(TvL1Config::default()).unwrap();
    let refused = flow.between(&[0; 64], &[0; 63], [8, 8]).unwrap_err().to_string();
    assert_eq!(refused, "after = 63: a frame of 8 × 8 pixels has 64");
    let refused = flow.between(&[], &[], [7, 9]).unwrap_err().to_string();
    assert_eq!(refused, "height = 7: must be in [8, 4096] pixels");
    for config in [
        TvL1Config { time_step: 0.3, ..TvL1Config::default() },
        TvL1Config { attachment: 0.0, ..TvL1Config::default() },
        TvL1Config { tightness: f32::NAN, ..TvL1Config::default() },
        TvL1Config { scales: 0, ..TvL1Config::default() },
        TvL1Config { scale_step: 1.0, ..TvL1Config::default() },
        TvL1Config { iterations: [1, 0], ..TvL1Config::default() },
        TvL1Config { epsilon: -1.0, ..TvL1Config::default() },
    ] {
        assert!(TvL1::new(config).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Frames of any content and shape have a finite flow; if nothing changes it is 0.
    #[test]
    fn any_frames_have_a_flow(
        height in 8_usize..24,
        width in 8_usize..24,
        noise in prop::collection::vec(any::<u8>(), 2 * 24 * 24),
    ) {
        let (before, after) = noise.split_at(height * width);
        let after = &after[..height * width];
        prop_assert!(measure(before, after, [height, width]).iter().all(|x| x.is_finite()));
        prop_assert!(measure(before, before, [height, width]).iter().all(|x| *x == 0.0));
    }

    /// A smooth texture that is shifted flows by its shift, and back by the opposite.
    #[test]
    fn a_shifted_texture_flows_by_its_shift(
        right in -2_i32..=2,
        down in -2_i32..=2,
        phases in prop::collection::vec(0.0_f32..6.3, 8),
    ) {
        let texture = |row: i32, column: i32| {
            let waves = phases.iter().enumerate().map(|(number, phase)| {
                let [across, along] = [1 + number % 3, 1 + number / 3].map(|n| n as f32 * 0.16);
                (across * column as f32 + along * row as f32 * [1.0, -1.0][number % 2] + phase).sin()
            });
            (128.0 + 15.0 * waves.sum::<f32>()) as u8
        };
        let frame = |right: i32, down: i32| -> Vec<u8> {
            (0..40 * 40).map(|at| texture(at / 40 - down, at % 40 - right)).collect()
        };
        let (before, after) = (frame(0, 0), frame(right, down));
        let there = measure(&before, &after, [40, 40]);
        let back = measure(&after, &before, [40, 40]);
        let shift = |at: usize| if at < 40 * 40 { right as f32 } else { down as f32 };
        let off = mean(&inner([40, 40], 10, |at| there[at] - shift(at)));
        prop_assert!(off < 0.1, "off by {off} in the mean");
        let off = mean(&inner([40, 40], 10, |at| there[at] + back[at]));
        prop_assert!(off < 0.1, "there and back are off by {off} in the mean");
    }
}
