//! Names and parameter counts of torchvision's network, shapes, and invalid inputs.

use tch::Device;

use super::*;
use crate::{Parameters, tests::normal};

#[test]
fn names_and_numbers_are_those_of_r2plus1d_18() {
    let mut parameters = Parameters::sketch();
    SpacetimeConv::new(parameters.root(), SpacetimeConvConfig::eighteen(3)).unwrap();
    // torchvision: 31,505,325 with a head of 400 classes, which has 512 · 400 + 400 parameters.
    let trained: usize = parameters.trainable().map(|p| p.tensor.numel()).sum();
    assert_eq!(trained, 31_505_325 - 205_200);
    for (name, shape) in [
        ("stem.0.weight", vec![45, 3, 1, 7, 7]),
        ("stem.1.running_mean", vec![45]),
        ("stem.3.weight", vec![64, 45, 3, 1, 1]),
        ("stem.4.weight", vec![64]),
        ("layer1.0.conv1.0.0.weight", vec![144, 64, 1, 3, 3]),
        ("layer1.0.conv1.0.3.weight", vec![64, 144, 3, 1, 1]),
        ("layer2.0.conv2.0.0.weight", vec![230, 128, 1, 3, 3]),
        ("layer2.0.downsample.0.weight", vec![128, 64, 1, 1, 1]),
        ("layer4.1.conv2.1.bias", vec![512]),
    ] {
        assert_eq!(parameters.get(name).map(|p| p.tensor.size()), Some(shape), "{name}");
    }
}

#[test]
fn a_resnet_50_has_the_names_and_numbers_of_torchvisions_bottlenecks() {
    let config = SpacetimeConvConfig::fifty(3, 64);
    let mut parameters = Parameters::sketch();
    SpacetimeConv::new(parameters.root(), config.clone()).unwrap();
    let trained: usize = parameters.trainable().map(|p| p.tensor.numel()).sum();
    assert_eq!(trained, 53_130_091);
    for (name, shape) in [
        ("stem.0.weight", vec![45, 3, 1, 7, 7]),
        ("layer1.0.conv1.0.weight", vec![64, 64, 1, 1, 1]),
        ("layer1.0.conv2.0.0.weight", vec![144, 64, 1, 3, 3]),
        ("layer1.1.conv2.0.3.weight", vec![64, 177, 3, 1, 1]),
        ("layer2.0.conv3.1.running_var", vec![512]),
        ("layer3.5.conv2.1.weight", vec![256]),
        ("layer4.0.downsample.0.weight", vec![2048, 1024, 1, 1, 1]),
    ] {
        assert_eq!(parameters.get(name).map(|p| p.tensor.size()), Some(shape), "{name}");
    }
    assert_eq!((config.features(), config.features_before_last()), (2048, 1024));

    let mut parameters = Parameters::new(0, Device::Cpu);
    let network = SpacetimeConv::new(parameters.root(), SpacetimeConvConfig::fifty(1, 2)).unwrap();
    let clips = normal("clips", &[2, 1, 8, 32, 32]);
    let found = network.forward(&clips, Moments::Batch { splits: 1 }).unwrap();
    assert_eq!(found.map.size(), [2, 64, 1, 2, 2]);
    assert_eq!(found.before_last.size(), [2, 32]);
}

#[test]
fn a_tiny_network_halves_time_once_and_space_four_times() {
    let mut parameters = Parameters::new(0, Device::Cpu);
    let config = SpacetimeConvConfig::tiny(3, 8);
    let network = SpacetimeConv::new(parameters.root(), config.clone()).unwrap();
    let clips = normal("clips", &[2, 3, 8, 32, 32]);
    let found = network.forward(&clips, Moments::Batch { splits: 1 }).unwrap();
    assert_eq!(found.map.size(), [2, 32, 4, 2, 2]);
    assert_eq!(found.before_last.size(), [2, config.features_before_last() as i64]);
    assert_eq!(found.embedding.size(), [2, config.features() as i64]);
    assert_eq!(config.strides(), [[1, 2], [1, 2], [1, 2], [2, 2]]);
    // A second pass, without a trace in the running moments, gives the same.
    let once = network.forward(&clips, Moments::Running).unwrap().embedding;
    let twice = network.forward(&clips, Moments::Running).unwrap().embedding;
    assert_eq!(once, twice);
}

#[test]
fn spectrograms_have_features_too() {
    let mut parameters = Parameters::new(0, Device::Cpu);
    let network = SpectrogramConv::new(parameters.root(), 2, 4).unwrap();
    let sound = normal("sound", &[2, 2, 64, 98]);
    let found = network.forward(&sound, Moments::Batch { splits: 1 }).unwrap();
    assert_eq!(found.map.size(), [2, 16, 1, 4, 7]);
    assert_eq!((found.embedding.size(), found.before_last.size()), (vec![2, 16], vec![2, 16]));
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut parameters = Parameters::new(0, Device::Cpu);
    let network = SpacetimeConv::new(parameters.root(), SpacetimeConvConfig::tiny(1, 4)).unwrap();
    let colour = normal("colour", &[1, 3, 8, 16, 16]);
    let refused = network.forward(&colour, Moments::Running).unwrap_err().to_string();
    assert_eq!(refused, "the input is [1, 3, 8, 16, 16], the model expects [B, 1, T, H, W]");
    for config in [
        SpacetimeConvConfig::tiny(0, 4),
        SpacetimeConvConfig { stem_side: 4, ..SpacetimeConvConfig::tiny(1, 4) },
        SpacetimeConvConfig { stages: Vec::new(), ..SpacetimeConvConfig::tiny(1, 4) },
    ] {
        assert!(SpacetimeConv::new(Parameters::sketch().root(), config).is_err());
    }
    assert!(SpectrogramConv::new(Parameters::sketch().root(), 2, 0).is_err());
}
