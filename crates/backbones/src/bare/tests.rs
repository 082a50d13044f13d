//! Weight counts of the released code, shapes, and what a pass can change.

use bauta_libtorch::normal;
use bauta_streams::{Purpose, StreamKey};
use tch::Device;

use super::*;

fn weights(network: &BareNetwork) -> Weights {
    let key = StreamKey { seed: 0, purpose: Purpose::named("bare"), epoch: 0, sample: 0 };
    let mut stream = key.stream();
    let draw = |layer: &WeightShape| {
        let deviation = (2.0 / layer.fan_in() as f64).sqrt();
        (layer.name.clone(), normal(&layer.shape, deviation, &mut stream))
    };
    network.layers().iter().map(draw).collect()
}

fn inputs(shape: &[i64]) -> Tensor {
    let key = StreamKey { seed: 1, purpose: Purpose::named("inputs"), epoch: 0, sample: 0 };
    normal(shape, 1.0, &mut key.stream())
}

fn text() -> BareConfig {
    BareConfig::TextCnn { dim: 768, filters: 200, lengths: vec![3, 4, 5] }
}

#[test]
fn weight_counts_are_those_of_the_released_code() {
    for (config, body, each) in [
        (BareConfig::Mlp { inputs: 784, hidden: vec![300, 100] }, 265_200, 100),
        (BareConfig::ResNet18 { channels: 3, width: 20 }, 1_090_140, 160),
        (BareConfig::ResNet50 { channels: 3 }, 23_454_912, 2048),
        (text(), 1_843_200, 600),
    ] {
        let network = BareNetwork::new(config, 7).unwrap();
        assert_eq!(network.count(), body + 7 * each, "{:?}", network.config());
    }
}

#[test]
fn layers_have_the_released_names() {
    let gem = BareNetwork::new(BareConfig::ResNet18 { channels: 3, width: 4 }, 5).unwrap();
    let names: Vec<&str> = gem.layers().iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names[..4], ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1"]);
    assert!(names.contains(&"layer2.0.shortcut.0") && !names.contains(&"layer1.0.shortcut.0"));
    assert_eq!(names.last(), Some(&"linear"));
    assert!(gem.norms().contains(&("layer4.0.shortcut.1".to_owned(), 32)));
    let mlp = BareNetwork::new(BareConfig::Mlp { inputs: 4, hidden: vec![3, 2] }, 5).unwrap();
    let names: Vec<&str> = mlp.layers().iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["linear.0", "linear.2", "linear.4"]);
}

#[test]
fn outputs_have_their_shapes() {
    for (config, input, features) in [
        (BareConfig::Mlp { inputs: 64, hidden: vec![20, 10] }, inputs(&[3, 1, 8, 8]), 10),
        (BareConfig::Mlp { inputs: 64, hidden: vec![] }, inputs(&[3, 64]), 64),
        (BareConfig::ResNet18 { channels: 3, width: 4 }, inputs(&[3, 3, 16, 16]), 32),
        (BareConfig::ResNet50 { channels: 1 }, inputs(&[3, 1, 32, 32]), 2048),
        (BareConfig::TextCnn { dim: 6, filters: 5, lengths: vec![2, 3] }, inputs(&[3, 4, 6]), 10),
    ] {
        let network = BareNetwork::new(config, 7).unwrap();
        let statistics = RunningStatistics::fresh(network.norms(), Device::Cpu);
        let weights = weights(&network);
        let output = network.forward(&input, &weights, &statistics, Mode::Training).unwrap();
        assert_eq!(output.features.size(), [3, features]);
        assert_eq!(output.logits.size(), [3, 7]);
    }
}

#[test]
fn training_moves_the_statistics_and_evaluation_does_not() {
    let network = BareNetwork::new(BareConfig::ResNet18 { channels: 1, width: 2 }, 3).unwrap();
    let (weights, statistics) =
        (weights(&network), RunningStatistics::fresh(network.norms(), Device::Cpu));
    let values = |statistics: &RunningStatistics| -> Vec<f32> {
        let tensors = statistics.tensors().into_iter();
        tensors.flat_map(|(_, tensor)| Vec::<f32>::try_from(tensor).unwrap()).collect()
    };
    let (images, before) = (inputs(&[4, 1, 8, 8]), values(&statistics));
    let _ = network.forward(&images, &weights, &statistics, Mode::Evaluation).unwrap();
    assert_eq!(values(&statistics), before);
    let copy = statistics.copy();
    let _ = network.forward(&images, &weights, &statistics, Mode::Training).unwrap();
    assert_ne!(values(&statistics), before);
    assert_eq!(values(&copy), before);
}

#[test]
fn inputs_of_another_shape_are_refused() {
    let message = |config, input: &Tensor| {
        let network = BareNetwork::new(config, 2).unwrap();
        let statistics = RunningStatistics::fresh(network.norms(), Device::Cpu);
        let weights = weights(&network);
        let output = network.forward(input, &weights, &statistics, Mode::Evaluation);
        output.unwrap_err().to_string()
    };
    let mlp = BareConfig::Mlp { inputs: 784, hidden: vec![3] };
    assert_eq!(
        message(mlp, &inputs(&[2, 3, 32, 32])),
        "the input is [2, 3, 32, 32], the model expects [B, …] of 784 values"
    );
    let images = BareConfig::ResNet18 { channels: 3, width: 2 };
    assert!(message(images, &inputs(&[2, 1, 8, 8])).contains("[B, 3, H, W]"));
    let texts = BareConfig::TextCnn { dim: 6, filters: 2, lengths: vec![5] };
    assert!(message(texts, &inputs(&[2, 4, 6])).contains("5 tokens or more"));
    assert!(BareNetwork::new(BareConfig::Mlp { inputs: 3, hidden: vec![0] }, 2).is_err());
}
