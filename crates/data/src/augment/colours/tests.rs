//! Each operation against torchvision's on Pillow (`fixtures/colours.py`), and the draws.

use bauta_datasets::{Augment, Crop};
use bauta_streams::{Purpose, StreamKey};
use serde_json::Value;

use super::*;
use crate::{Augmenter, Image};

const HEIGHT: usize = 9;
const WIDTH: usize = 11;

/// Rows of RGB pixels, like the fixture's.
fn picture() -> Vec<u8> {
    (0..HEIGHT * WIDTH * 3).map(|i| (i * 37 % 251) as u8 ^ (i / 7) as u8).collect()
}

/// \[H, W, C\] to \[C, H, W\].
fn planes(pixels: &[u8]) -> Vec<u8> {
    (0..3).flat_map(|channel| pixels[channel..].iter().step_by(3).copied()).collect()
}

#[test]
fn operations_equal_torchvisions() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/colours.json");
    let cases: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 24);
    for case in cases {
        let (name, parameter) =
            (case["name"].as_str().unwrap(), case["parameter"].as_f64().unwrap());
        let mut pixels = planes(&picture());
        let mut image = Planes { pixels: &mut pixels, channels: 3, height: HEIGHT, width: WIDTH };
        match name {
            "brightness" => image.brightness(parameter as f32),
            "contrast" => image.contrast(parameter as f32),
            "saturation" => image.color(parameter as f32),
            "hue" => image.turn_hue(parameter),
            "grey" => image.grey_out(),
            "solarize" => image.solarize(SOLARIZED),
            _ => {
                let side = name.strip_prefix("blur-").unwrap().parse().unwrap();
                gaussian_blur(&mut image, side, parameter, &mut Vec::new());
            }
        }
        let wanted: Vec<u8> =
            case["planes"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u8).collect();
        let off: Vec<u8> =
            pixels.iter().zip(&wanted).map(|(found, wanted)| found.abs_diff(*wanted)).collect();
        // A blur adds its terms in another order, so a tie can round the other way.
        let most = u8::from(name.starts_with("blur"));
        let changed = off.iter().filter(|&&off| off > 0).count();
        assert!(
            off.iter().all(|&off| off <= most) && changed <= 3,
            "{name} {parameter}: {changed} samples differ: {off:?}"
        );
    }
}

fn stream(sample: u64) -> RandomStream {
    StreamKey { seed: 2, purpose: Purpose::AUGMENT, epoch: 0, sample }.stream()
}

fn augment(colours: Colours) -> Augment {
    Augment { crop: Crop::None, flip: false, colours: Some(colours), ..Augment::default() }
}

fn view(colours: &Colours, sample: u64) -> Vec<u8> {
    let pixels = picture();
    let mut out = vec![0; pixels.len()];
    let augmenter = Augmenter::new(&augment(colours.clone()), 3, HEIGHT, WIDTH).unwrap();
    augmenter.apply(&Image::new(HEIGHT, WIDTH, 3, pixels), &mut stream(sample), &mut out);
    out
}

#[test]
fn probabilities_are_those_that_were_asked_for() {
    let none = Colours { jitter_probability: 0.0, grey: 0.0, blur: 0.0, ..Colours::default() };
    let own = planes(&picture());
    assert_eq!(view(&none, 0), own);
    for (colours, wanted) in [
        (Colours { jitter_probability: 0.8, ..none.clone() }, 0.8),
        (Colours { grey: 0.2, ..none.clone() }, 0.2),
        (Colours { blur: 0.5, sigma: [1.0, 2.0], ..none.clone() }, 0.5),
        (Colours { solarize: 0.3, ..none.clone() }, 0.3),
        (Colours::default(), 1.0 - 0.2 * 0.8 * 0.5),
    ] {
        let changed = (0..1000).filter(|&sample| view(&colours, sample) != own).count() as f64;
        // Four standard deviations, and blurs that are too weak to change a byte.
        assert!((changed / 1000.0 - wanted).abs() < 0.065, "{colours:?}: {changed}");
    }
    // The same stream gives the same view, others differ.
    assert_eq!(view(&Colours::default(), 5), view(&Colours::default(), 5));
    assert_ne!(view(&Colours::default(), 5), view(&Colours::default(), 6));
}

#[test]
fn grey_images_stay_grey_and_the_least_sides_are_fine() {
    let colours = Colours { blur: 1.0, ..Colours::default() };
    let augmenter = Augmenter::new(&augment(colours), 1, 1, 7).unwrap();
    let mut out = [0; 7];
    augmenter.apply(&Image::new(1, 7, 1, vec![9; 7]), &mut stream(0), &mut out);
    assert!(out.iter().all(|&sample| sample == out[0]));
}
