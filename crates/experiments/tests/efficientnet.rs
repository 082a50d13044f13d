//! The published EfficientNet-Lite0 on real photos, if the cache holds both.
//!
//! `cargo xtask data fetch NAME` brings them; a test without its files is reported as
//! ignored by the runner.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bauta_backbones::{EfficientNetLite0, FeatureStride};
use bauta_data::{DatasetName, ModelName, PACKAGES, Source, Split, cache_root, locate};
use libtest_mimic::{Arguments, Trial};
use strum::IntoEnumIterator;
use tch::{Device, Kind, Tensor};

/// Side of the images that the network was trained on.
const SIDE: i64 = 224;

fn main() -> ExitCode {
    let shows = || {
        it_knows_what_the_photos_show(&fetched(weights())?, &fetched(photos())?);
        Ok(())
    };
    let computes = || {
        it_computes_what_the_reference_does(&fetched(weights())?);
        Ok(())
    };
    let tests = vec![
        Trial::test("it_knows_what_the_photos_show", shows)
            .with_ignored_flag(weights().is_none() || photos().is_none()),
        Trial::test("it_computes_what_the_reference_does", computes)
            .with_ignored_flag(weights().is_none()),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn fetched(file: Option<PathBuf>) -> Result<PathBuf, &'static str> {
    file.ok_or(
        "not in the cache; `cargo xtask data fetch efficientnet-lite0` and `foolbox-samples` \
         bring what this test needs",
    )
}

/// The published weights, if they have been fetched.
fn weights() -> Option<PathBuf> {
    cache_root().ok().and_then(|root| ModelName::EfficientNetLite0.weights(&root).ok())
}

/// Foolbox's photos of ImageNet, if they have been fetched.
fn photos() -> Option<PathBuf> {
    let package = PACKAGES.iter().find(|package| package.name == "foolbox-samples").unwrap();
    cache_root().ok().and_then(|root| locate(package, &root))
}

/// The model with its published weights.
fn published(weights: &Path) -> EfficientNetLite0 {
    let (parameters, model) = EfficientNetLite0::read(weights, Device::Cpu).unwrap();
    assert_eq!(parameters.count(), 4_694_024);
    model
}

/// The central part of each photo as pixels [N, 3, 224, 224], and its class.
///
/// The shorter side becomes 256 by a bicubic filter without antialiasing, like TensorFlow's, where
/// the weights come from. With antialiasing, as in `bauta_data::Augment`, the last photo is a tie
/// of two beetles, which the rounding of pixels decides: 17 or 18 of 20.
fn cropped(source: &dyn Source) -> (Tensor, Vec<i64>) {
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for index in 0..source.len() {
        // imagenet_NUMBER_CLASS.jpg
        let path = PathBuf::from(source.describe(index));
        let name = path.file_stem().unwrap().to_str().unwrap();
        let Some(name) = name.strip_prefix("imagenet_") else { continue };
        labels.push(name.split_once('_').unwrap().1.parse().unwrap());
        let image = source.image(index).unwrap();
        let (height, width) = (image.height() as i64, image.width() as i64);
        let pixels = Tensor::from_slice(image.pixels()).view([1, height, width, 3]);
        let pixels = pixels.permute([0, 3, 1, 2]).to_kind(Kind::Float);
        let short = height.min(width);
        let size = [256 * height / short, 256 * width / short];
        let full = pixels.upsample_bicubic2d(size, false, None, None);
        let [top, left] = size.map(|length| (length - SIDE) / 2);
        images.push(full.narrow(2, top, SIDE).narrow(3, left, SIDE));
    }
    (Tensor::cat(&images, 0), labels)
}

fn it_knows_what_the_photos_show(weights: &Path, photos: &Path) {
    let model = published(weights);
    let source = bauta_data::open(DatasetName::Folder, Split::Train, photos).unwrap();
    let (pixels, labels) = cropped(&*source);
    let images = EfficientNetLite0::normalization(Device::Cpu).normalize(&pixels);
    let (_, best) = model.logits(&images).topk(5, 1, true, true);
    let correct = |among: i64| {
        let best = best.narrow(1, 0, among);
        let labels = Tensor::from_slice(&labels).view([-1, 1]);
        best.eq_tensor(&labels).any_dim(1, false).sum(Kind::Int64).int64_value(&[])
    };
    assert_eq!(labels.len(), 20);
    assert!(correct(1) >= 18, "{} of 20", correct(1));
    assert!(correct(5) >= 19, "{} of 20 among five", correct(5));
}

/// Values of the package `efficientnet_lite_pytorch` 0.1.0 on this image.
fn it_computes_what_the_reference_does(weights: &Path) {
    let model = published(weights);
    let pixels: Vec<u8> = (0..3 * SIDE * SIDE)
        .map(|place| (place / SIDE / SIDE, place / SIDE % SIDE, place % SIDE))
        .map(|(channel, y, x)| ((7 * x + 5 * y + 40 * channel) % 256) as u8)
        .collect();
    let pixels = Tensor::from_slice(&pixels).view([1, 3, SIDE, SIDE]);
    let images = EfficientNetLite0::normalization(Device::Cpu).normalize(&pixels);
    let close = |found: f64, expected: f64| {
        assert!((found - expected).abs() < 1e-4 * expected.abs().max(1.0), "{found}, {expected}");
    };
    let logits = model.logits(&images);
    let expected = [0.146_522_9, 1.148_324_0, 1.400_858_4, -0.532_870_8, -0.861_273_2];
    for (class, expected) in expected.into_iter().enumerate() {
        close(logits.double_value(&[0, class as i64]), expected);
    }
    close(logits.double_value(&[0, 807]), 8.732_571_6);
    close(logits.std(true).double_value(&[]), 1.246_501_7);
    // One value of each map, and the mean of all magnitudes.
    let maps = [(23.667_942_0, 9.809_186_9), (-1.577_495_6, 9.400_625_2)];
    let maps = maps.into_iter().chain([(-3.907_881_3, 4.495_727_1), (2.884_978_3, 1.862_619_9)]);
    for (stride, (value, magnitude)) in FeatureStride::iter().zip(maps) {
        let map = model.forward_features(&images, stride);
        close(map.double_value(&[0, 1, 3, 2]), value);
        close(map.abs().mean(Kind::Float).double_value(&[]), magnitude);
    }
}
