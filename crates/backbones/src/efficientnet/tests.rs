//! Shapes and names of the network, and its optimised paths compared with plain ones.

use std::collections::HashMap;

use bauta_libtorch::uniform;
use proptest::prelude::*;

use super::*;
use crate::checkpoint::write_tensors;
use crate::tests::{normal, stream};

/// A model whose batch norms all have an effect.
fn model() -> (Parameters, EfficientNetLite0) {
    let mut parameters = Parameters::new(1, Device::Cpu);
    let model = EfficientNetLite0::new(parameters.root());
    for parameter in &parameters {
        if parameter.tensor.dim() == 1 {
            let values = uniform(&parameter.tensor.size(), 0.5, 1.5, &mut stream(&parameter.name));
            parameter.tensor.shallow_clone().copy_(&values);
        }
    }
    (parameters, model)
}

fn off(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[]) / b.abs().max().double_value(&[])
}

/// The map at stride 32 from separate convolutions and batch norms.
fn long_way(model: &EfficientNetLite0, images: &Tensor) -> Tensor {
    let step = |convolution: &Convolution, x: &Tensor| convolution.forward_unfused(x);
    let mut x = step(&model.stem, images).relu6();
    for block in &model.blocks {
        let wide = match &block.expand {
            Some(expand) => step(expand, &x).relu6(),
            None => x.shallow_clone(),
        };
        let narrow = step(&block.project, &step(&block.depthwise, &wide).relu6());
        x = if block.residual { narrow + x } else { narrow };
    }
    x
}

#[test]
fn it_has_the_published_files_tensors() {
    let mut parameters = Parameters::sketch();
    let model = EfficientNetLite0::new(parameters.root());
    // The file's 296 tensors without 49 counts of batches.
    assert_eq!(parameters.iter().count(), 296 - 49);
    // The classifier, and running means and variances of 21,008 channels.
    assert_eq!(parameters.count(), 4_652_008 + 2 * 21_008);
    assert_eq!(model.blocks.len(), 16);
    assert!(parameters.iter().all(|parameter| !parameter.trainable));
    let size = |name: &str| parameters.get(name).unwrap().tensor.size();
    assert_eq!(size("_conv_stem.weight"), [32, 3, 3, 3]);
    assert_eq!(size("_bn0.running_var"), [32]);
    assert!(parameters.get("_blocks.0._expand_conv.weight").is_none());
    assert_eq!(size("_blocks.0._project_conv.weight"), [16, 32, 1, 1]);
    assert_eq!(size("_blocks.1._expand_conv.weight"), [96, 16, 1, 1]);
    assert_eq!(size("_blocks.11._depthwise_conv.weight"), [672, 1, 5, 5]);
    assert_eq!(size("_blocks.15._bn2.bias"), [320]);
    assert_eq!(size("_conv_head.weight"), [1280, 320, 1, 1]);
    assert_eq!(size("_fc.weight"), [1000, 1280]);
    let residual: Vec<usize> = (0..16).filter(|&block| model.blocks[block].residual).collect();
    assert_eq!(residual, [2, 4, 6, 7, 9, 10, 12, 13, 14]);
}

#[test]
fn folding_changes_nothing() {
    let (_parameters, mut model) = model();
    for size in [[2, 3, 32, 32], [1, 3, 45, 70]] {
        let images = normal("images", &size);
        let expected = long_way(&model, &images);
        let [each_time, logits] =
            [model.forward_features(&images, FeatureStride::ThirtyTwo), model.logits(&images)];
        assert!(off(&each_time, &expected) < 1e-5);
        model.fold();
        let once = model.forward_features(&images, FeatureStride::ThirtyTwo);
        assert!(off(&once, &expected) < 1e-5);
        assert!(off(&model.logits(&images), &logits) < 1e-5);
    }
}

#[test]
fn a_file_is_read_whole_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = EfficientNetLite0::read(&folder.path().join("absent.pth"), Device::Cpu);
    assert!(matches!(error, Err(ModelError::Io { .. })));
    // A file that PyTorch did not write.
    let path = folder.path().join("model.pth");
    let (parameters, _) = model();
    write_tensors(&path, parameters.iter().map(|p| (p.name.as_str(), &p.tensor))).unwrap();
    let error = EfficientNetLite0::read(&path, Device::Cpu).unwrap_err();
    assert!(matches!(error, ModelError::Format { .. }), "{error}");
    // A file of another model: every name is listed.
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/legacy_module.pth");
    let error = EfficientNetLite0::read(Path::new(other), Device::Cpu).unwrap_err();
    assert!(matches!(error, ModelError::Mismatch { .. }));
    let text = error.to_string();
    assert!(text.contains("missing _conv_stem.weight") && text.contains("unexpected conv.bias"));
}

#[test]
fn assigned_parameters_are_used_until_they_are_folded() {
    let (parameters, mut model) = model();
    let images = normal("images", &[1, 3, 33, 33]);
    let before = model.logits(&images);
    let zeros: HashMap<String, Tensor> =
        parameters.iter().map(|p| (p.name.clone(), p.tensor.zeros_like())).collect();
    let kept: HashMap<String, Tensor> =
        parameters.iter().map(|p| (p.name.clone(), p.tensor.copy())).collect();
    parameters.assign(&zeros).unwrap();
    assert_eq!(model.logits(&images).abs().max().double_value(&[]), 0.0);
    parameters.assign(&kept).unwrap();
    model.fold();
    let _ = parameters.get("_bn0.weight").unwrap().tensor.shallow_clone().zero_();
    assert!(off(&model.logits(&images), &before) < 1e-5);
}

#[test]
fn pixels_are_normalised_as_in_training() {
    let pixels = Tensor::from_slice(&[0_u8, 127, 255]).view([1, 3, 1, 1]);
    let images = EfficientNetLite0::normalization(Device::Cpu).normalize(&pixels);
    let values: Vec<f32> = images.flatten(0, -1).try_into().unwrap();
    for (value, expected) in values.iter().zip([-127.0 / 128.0, 0.0, 1.0]) {
        assert!((value - expected).abs() < 1e-6, "{value}");
    }
}

#[test]
fn strides_are_found_by_their_pixels() {
    for stride in FeatureStride::iter() {
        assert_eq!(FeatureStride::of_pixels(stride.pixels()), Some(stride));
    }
    assert_eq!(FeatureStride::of_pixels(2), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn maps_have_their_strides_sides(height in 1..80_i64, width in 1..80_i64) {
        let mut parameters = Parameters::sketch();
        let model = EfficientNetLite0::new(parameters.root());
        let images = normal("images", &[1, 3, height, width]);
        for stride in FeatureStride::iter() {
            let map = model.forward_features(&images, stride);
            let side = |length: i64| (length as usize).div_ceil(stride.pixels()) as i64;
            let expected = [1, stride.channels() as i64, side(height), side(width)];
            prop_assert_eq!(map.size(), expected);
        }
        prop_assert_eq!(model.pooled(&images).size(), [1, 1280]);
        prop_assert_eq!(model.logits(&images).size(), [1, 1000]);
    }
}
