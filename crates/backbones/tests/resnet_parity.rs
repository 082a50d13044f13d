//! Comparison with torchvision's ResNet-18 and ResNet-50: a training pass, gradients, a step of
//! SGD, running moments and an evaluation pass. The numbers are from `fixtures/resnet.py`.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::collections::HashMap;
use std::path::Path;

use bauta_backbones::checkpoint::{read_tensors, write_tensors};
use bauta_backbones::{
    ImportOptions, ModelFolder, Moments, Naming, Parameter, Parameters, ResNet, ResNetConfig,
    ResNetDepth, ResNetFolder, Stem, export_model, import_model,
};
use tch::{Device, Kind, Tensor};

const RATE: f64 = 0.002;

/// Numbers in [-0.5, 0.5) that differ from their neighbours.
fn numbers(place: u64, count: usize) -> Vec<f64> {
    let mix = |i: u64| {
        let mut mixed = (i + 977 * place + 1).wrapping_mul(2_654_435_761) & 0xffff_ffff;
        mixed ^= mixed >> 15;
        mixed = mixed.wrapping_mul(2_246_822_519) & 0xffff_ffff;
        mixed ^= mixed >> 13;
        mixed as f64 / 4_294_967_296.0 - 0.5
    };
    (0..count as u64).map(mix).collect()
}

fn tensor(place: u64, shape: &[i64], scale: f64, shift: f64) -> Tensor {
    let count = shape.iter().product::<i64>() as usize;
    let values: Vec<f32> =
        numbers(place, count).iter().map(|value| (value * scale + shift) as f32).collect();
    Tensor::from_slice(&values).view(shape)
}

/// In the order of their names, as in the fixture.
fn sorted(parameters: &Parameters) -> Vec<&Parameter> {
    let mut all: Vec<&Parameter> = parameters.iter().collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

fn fill(parameters: &Parameters) {
    let mut values = HashMap::new();
    for (place, Parameter { name, tensor: old, .. }) in sorted(parameters).into_iter().enumerate() {
        let shape = old.size();
        let (scale, shift) = match shape[..] {
            [_, inputs, height, width] => ((9.0 / (inputs * height * width) as f64).sqrt(), 0.0),
            _ if name.ends_with("weight") || name.ends_with("running_var") => (0.4, 1.0),
            _ => (0.4, 0.0),
        };
        values.insert(name.clone(), tensor(place as u64, &shape, scale, shift));
    }
    parameters.assign(&values).unwrap();
}

/// In single precision, a value near 0 can be zeroed by ReLU in one implementation but not in the
/// other, which changes the gradients of a batch of three abruptly.
fn in_double_precision(parameters: &Parameters) {
    for parameter in parameters.iter() {
        let double = parameter.tensor.to_kind(Kind::Double);
        tch::no_grad(|| parameter.tensor.shallow_clone().set_data(&double));
    }
}

fn summaries<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Tensor {
    let summary = |values: &Tensor| {
        let flat = values.detach().to_kind(Kind::Double).flatten(0, -1);
        let weighted = &flat * Tensor::from_slice(&numbers(5000, flat.numel()));
        [flat.norm().double_value(&[]), weighted.sum(Kind::Double).double_value(&[])]
    };
    let rows: Vec<[f64; 2]> = tensors.map(summary).collect();
    Tensor::from_slice(rows.as_flattened()).view([-1, 2])
}

/// Checks that each row is within 10⁻⁴ of its largest value.
fn assert_close(what: &str, found: &Tensor, wanted: &Tensor) {
    assert_eq!(found.size(), wanted.size(), "{what}");
    let off = (found - wanted).abs().flatten(1, -1).amax([1_i64].as_slice(), false);
    let off = off / wanted.abs().flatten(1, -1).amax([1_i64].as_slice(), false);
    let off = off.max().double_value(&[]);
    assert!(off < 1e-4, "{what} is off by {off:.1e}");
}

#[test]
fn torchvisions_networks_compute_the_same_and_learn_the_same() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/resnet.safetensors");
    let wanted = read_tensors(&path).unwrap();
    for (case, depth, stem, side) in [
        ("resnet18-small", ResNetDepth::Eighteen, Stem::Small, 16),
        ("resnet18-large", ResNetDepth::Eighteen, Stem::Large, 64),
        ("resnet50-large", ResNetDepth::Fifty, Stem::Large, 64),
    ] {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let config = ResNetConfig { depth, stem, width: 64, channels: 3 };
        let network = ResNet::new(parameters.root(), config).unwrap();
        fill(&parameters);
        in_double_precision(&parameters);
        let wanted = |what: &str| &wanted[&format!("{case}.{what}")];
        let images = tensor(3000, &[3, 3, side, side], 3.0, 0.0).to_kind(Kind::Double);
        let features = network.forward(&images, Moments::Batch { splits: 1 }).unwrap();
        assert_close(&format!("{case} training"), &features.detach(), wanted("training"));
        let loss = (&features * tensor(4000, &features.size(), 1.0, 0.0)).sum(Kind::Double);
        let found = loss.double_value(&[]);
        assert!((found / wanted("loss").double_value(&[0]) - 1.0).abs() < 1e-4, "{found}");
        loss.backward();
        let all = sorted(&parameters);
        let gradients: Vec<Tensor> =
            all.iter().filter(|p| p.trainable).map(|p| p.tensor.grad()).collect();
        assert_close(
            &format!("{case} gradients"),
            &summaries(gradients.iter()),
            wanted("gradients"),
        );
        tch::no_grad(|| {
            for parameter in parameters.trainable() {
                let gradient = parameter.tensor.grad();
                let _ = parameter.tensor.shallow_clone().g_sub_(&(gradient * RATE));
            }
        });
        let moments = all.iter().filter(|p| !p.trainable).map(|p| &p.tensor);
        assert_close(&format!("{case} moments"), &summaries(moments), wanted("moments"));
        let after = tch::no_grad(|| network.forward(&images, Moments::Running)).unwrap();
        assert_close(&format!("{case} after a step"), &after, wanted("after"));
    }
}

/// A narrow network's file as written by MoCo's training.
fn moco_file(folder: &Path) -> (std::path::PathBuf, Parameters, ResNet) {
    let mut parameters = Parameters::new(0, Device::Cpu);
    let config =
        ResNetConfig { depth: ResNetDepth::Fifty, stem: Stem::Large, width: 4, channels: 3 };
    let network = ResNet::new(parameters.root(), config).unwrap();
    fill(&parameters);
    let path = folder.join("checkpoint.safetensors");
    let count = Tensor::from(7_i64);
    let queue = tensor(1, &[4, 8], 1.0, 0.0);
    let mut named = vec![("module.queue".to_owned(), &queue)];
    for Parameter { name, tensor, .. } in &parameters {
        named.push((format!("module.encoder_q.{name}"), tensor));
        named.push((format!("module.encoder_k.{name}"), tensor));
        if let Some(front) = name.strip_suffix("running_mean") {
            named.push((format!("module.encoder_q.{front}num_batches_tracked"), &count));
        }
    }
    let head = tensor(2, &[8, 128], 1.0, 0.0);
    named.push(("module.encoder_q.fc.0.weight".to_owned(), &head));
    write_tensors(&path, named.iter().map(|(name, tensor)| (name.as_str(), *tensor))).unwrap();
    (path, parameters, network)
}

#[test]
fn mocos_files_become_folders_under_any_names_with_the_same_features() {
    let place = tempfile::tempdir().unwrap();
    let (path, _parameters, network) = moco_file(place.path());
    let images = tensor(3000, &[2, 3, 64, 64], 3.0, 0.0);
    let wanted = network.forward(&images, Moments::Running).unwrap();
    let (ours, theirs) = (place.path().join("ours"), place.path().join("theirs"));
    let said = import_model(&path, ImportOptions::default(), &ours).unwrap();
    assert!(said.starts_with("residual network of "), "{said}");
    export_model(&ours, &theirs, Naming::HuggingFace, true).unwrap();
    for folder in [&ours, &theirs] {
        assert!(ResNetFolder::describes(folder));
        let read = ResNetFolder::read(folder).unwrap();
        let (_parameters, network) = read.encoder(Device::Cpu).unwrap();
        assert_eq!(network.forward(&images, Moments::Running).unwrap(), wanted);
        let refused = read.export(folder, Naming::Timm).unwrap_err();
        assert!(refused.to_string().contains("holds a model already"), "{refused}");
    }
    let names = read_tensors(&theirs.join("model.safetensors")).unwrap();
    let counts = "encoder.stages.1.layers.0.layer.2.normalization.num_batches_tracked";
    assert!(names.contains_key(counts));
    let names = read_tensors(&ours.join("detectron2.safetensors")).unwrap();
    assert!(names.contains_key("res2.0.shortcut.norm.running_var"));
}

#[test]
fn files_that_are_not_whole_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let (path, ..) = moco_file(place.path());
    let mut tensors = read_tensors(&path).unwrap();
    tensors.remove("module.encoder_q.layer3.4.bn2.running_mean");
    let broken = place.path().join("broken.safetensors");
    write_tensors(&broken, tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))).unwrap();
    let refused = ResNetFolder::import(&broken).unwrap_err().to_string();
    assert!(refused.contains("layer3.4.bn2.running_mean"), "{refused}");
    let other = place.path().join("other.safetensors");
    write_tensors(&other, [("blocks.0.weight", &tensors["module.queue"])]).unwrap();
    assert!(ResNetFolder::import(&other).unwrap().is_none());
}

/// Tensors without numbers can have any width.
#[test]
fn a_width_that_no_network_has_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("wide.safetensors");
    let header = format!(
        r#"{{"conv1.weight":{{"dtype":"F32","shape":[{},1,7,0],"data_offsets":[0,0]}},
        "layer1.0.conv1.weight":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}}}"#,
        1_u64 << 57
    );
    let length = (header.len() as u64).to_le_bytes();
    std::fs::write(&path, [&length[..], header.as_bytes()].concat()).unwrap();
    let refused = ResNetFolder::import(&path).unwrap_err().to_string();
    assert!(refused.contains("the weights' width is 144115188075855872"), "{refused}");
}

#[test]
fn a_file_where_a_folder_is_wanted_is_told_what_makes_one_of_it() {
    let place = tempfile::tempdir().unwrap();
    let (file, ..) = moco_file(place.path());
    let refused = ModelFolder::read(&file).unwrap_err().to_string();
    let words = "is a file, not a model folder; make a folder of it first: cargo xtask import ";
    assert!(refused.contains(words), "{refused}");
}
