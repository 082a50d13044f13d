//! One small model folder for each kind of network that can be exported to ONNX, with weights from
//! a formula.

use std::collections::HashMap;
use std::path::Path;

use bauta_backbones::checkpoint::write_tensors;
use bauta_backbones::tch::{Device, Tensor};
use bauta_backbones::{
    Activation, BeitConfig, BeitEncoder, BeitModelConfig, ClipModelConfig, ClipVisionConfig,
    ClipVisual, Encode, EncoderHead, EncoderWithHead, ImportOptions, Linear, MaeDecoder,
    MaeDecoderConfig, ModelConfig, ModelFolder, Moments, Naming, Parameters, Pooling, ResNet,
    ResNetConfig, ResNetDepth, ResNetFolder, Stem, VideoConfig, VideoFolder, VideoModelConfig,
    VideoPositions, VideoTransformer, VisionTransformer, VitConfig, VitMaeConfig, VitModelConfig,
    import_model,
};

/// Every kind.
pub const KINDS: [&str; 13] = [
    "mae",
    "vit-classifier",
    "vit-mean-classifier",
    "vit-pooler",
    "beit",
    "beit-classifier",
    "clip",
    "resnet18-small",
    "resnet18-classifier",
    "resnet50-large",
    "video",
    "video-classifier",
    "video-without-class-token",
];

/// Writes the folder of one kind.
pub fn write_folder(kind: &str, place: &Path) {
    let mut parameters = Parameters::new(0, Device::Cpu);
    if let Some(config) = residual(kind) {
        ResNet::new(parameters.root(), config).unwrap();
        if kind.ends_with("classifier") {
            Linear::new(parameters.root().sub("fc"), config.features(), 3, true);
        }
        fill(&parameters);
        let file = place.with_extension("safetensors");
        let weights = parameters.iter().map(|p| (p.name.as_str(), &p.tensor));
        write_tensors(&file, weights).unwrap();
        import_model(&file, ImportOptions::default(), place).unwrap();
        std::fs::remove_file(file).unwrap();
        return;
    }
    let vit = VitConfig { image_width: 12, ..VitConfig::new(8, 4, 16, 2, 2) };
    if kind.starts_with("video") {
        return write_video_folder(kind, vit, place);
    }
    let headed = |parameters: &mut Parameters, vit: &VitConfig, head| {
        EncoderWithHead::vit(parameters.root(), vit, head).unwrap();
        let classes = matches!(head, EncoderHead::Pooler(_)).then_some(3).xor(Some(3));
        ModelConfig::Vit(VitModelConfig::new(vit, classes))
    };
    let config = match kind {
        "mae" => {
            let encoder = VisionTransformer::new(parameters.root(), &vit).unwrap();
            let decoder = MaeDecoderConfig::new(16, 8, 1, 2, vit.patch_values());
            MaeDecoder::new(parameters.root(), &decoder, encoder.grid()).unwrap();
            ModelConfig::VitMae(VitMaeConfig::new(&vit, &decoder, 0.75, true))
        }
        "vit-classifier" => {
            let vit = VitConfig { activation: Activation::GeluTanh, ..vit };
            headed(&mut parameters, &vit, EncoderHead::Classifier(3))
        }
        "vit-mean-classifier" => {
            let vit = VitConfig { activation: Activation::Silu, ..vit };
            headed(&mut parameters, &vit, EncoderHead::MeanClassifier(3))
        }
        "vit-pooler" => {
            let vit = VitConfig { activation: Activation::Relu, ..vit };
            headed(&mut parameters, &vit, EncoderHead::Pooler(16))
        }
        "beit" => {
            let config = BeitConfig::new(vit);
            BeitEncoder::new(parameters.root(), &config).unwrap();
            ModelConfig::Beit(BeitModelConfig::new(&config, None))
        }
        "beit-classifier" => {
            let config = BeitConfig { absolute_positions: true, ..BeitConfig::new(vit) };
            EncoderWithHead::beit(parameters.root(), &config, EncoderHead::MeanClassifier(3))
                .unwrap();
            ModelConfig::Beit(BeitModelConfig::fine_tuned(&config, Some(3), true))
        }
        "clip" => {
            let config = ClipVisionConfig::new(vit);
            ClipVisual::new(parameters.root(), &config).unwrap();
            ModelConfig::Clip(ClipModelConfig::new(&config))
        }
        other => panic!("{other}"),
    };
    fill(&parameters);
    let tensors: HashMap<String, Tensor> =
        parameters.iter().map(|p| (p.name.clone(), p.tensor.detach())).collect();
    ModelFolder::new("made".into(), config, tensors).write(place, Naming::Timm).unwrap();
}

/// Clips of four frames in patches of two.
fn write_video_folder(kind: &str, vit: VitConfig, place: &Path) {
    let whole = VideoConfig::new(4, 2, vit);
    let config = match kind {
        "video-without-class-token" => VideoConfig {
            positions: VideoPositions::SineCosine,
            class_token: false,
            final_norm: false,
            ..whole
        },
        _ => whole,
    };
    let mut parameters = Parameters::new(0, Device::Cpu);
    VideoTransformer::new(parameters.root(), &config).unwrap();
    if kind.ends_with("classifier") {
        Linear::new(parameters.root().sub("head"), config.vit.dim, 3, true);
    }
    fill(&parameters);
    std::fs::create_dir_all(place).unwrap();
    let described = serde_json::to_vec(&VideoModelConfig::new(&config, None)).unwrap();
    std::fs::write(place.join("config.json"), described).unwrap();
    let weights = parameters.iter().map(|p| (p.name.as_str(), &p.tensor));
    write_tensors(&place.join("model.safetensors"), weights).unwrap();
}

/// Two images, or two clips, of a kind's size.
pub fn images(kind: &str) -> Tensor {
    let shape: &[i64] = match residual(kind) {
        Some(_) => &[2, 3, 32, 40],
        None if kind.starts_with("video") => &[2, 3, 4, 8, 12],
        None => &[2, 3, 8, 12],
    };
    let count = shape.iter().product::<i64>() as usize;
    Tensor::from_slice(&numbers(9000, count)).view(shape) * 4.0
}

/// The outputs of a folder's network for images, by the names of the file's outputs.
pub fn outputs(kind: &str, place: &Path, images: &Tensor) -> Vec<(&'static str, Tensor)> {
    if residual(kind).is_some() {
        let folder = ResNetFolder::read(place).unwrap();
        let (_, network) = folder.encoder(Device::Cpu).unwrap();
        let features = network.forward(images, Moments::Running).unwrap();
        let classified = folder.classified(Device::Cpu, Some([32, 40])).unwrap();
        let logits = classified.map(|(_, model)| {
            let output = model.forward(images, Encode::whole()).unwrap();
            ("logits", output.logits.unwrap())
        });
        return [("features", features)].into_iter().chain(logits).collect();
    }
    if kind.starts_with("video") {
        let folder = VideoFolder::read(place).unwrap();
        let (_, encoder) = folder.encoder(Device::Cpu).unwrap();
        let tokens = encoder.encode(images, Encode::whole()).unwrap();
        let features = encoder.features(images, None).unwrap();
        let logits = folder.tensors().get("head.weight").map(|weight| {
            let bias = &folder.tensors()["head.bias"];
            ("logits", features.matmul(&weight.transpose(0, 1)) + bias)
        });
        let all = [("last_hidden_state", tokens), ("features", features)];
        return all.into_iter().chain(logits).collect();
    }
    let folder = ModelFolder::read(place).unwrap();
    if kind.starts_with("vit-") || kind == "beit-classifier" {
        let (_, model) = folder.vit(Device::Cpu).unwrap();
        let output = model.forward(images, Encode::whole()).unwrap();
        let features = Pooling::Mean.pool(&output.last_hidden_state);
        let mut all = vec![("last_hidden_state", output.last_hidden_state), ("features", features)];
        all.extend(output.logits.map(|logits| ("logits", logits)));
        all.extend(output.pooler_output.map(|pooled| ("pooler_output", pooled)));
        return all;
    }
    let (_, encoder) = folder.image_encoder(Device::Cpu, None).unwrap();
    let tokens = encoder.encode(images, Encode::whole()).unwrap();
    let features = Pooling::Mean.pool(&tokens);
    vec![("last_hidden_state", tokens), ("features", features)]
}

fn residual(kind: &str) -> Option<ResNetConfig> {
    let (depth, stem, width) = match kind {
        "resnet18-small" | "resnet18-classifier" => (ResNetDepth::Eighteen, Stem::Small, 4),
        "resnet50-large" => (ResNetDepth::Fifty, Stem::Large, 4),
        _ => return None,
    };
    Some(ResNetConfig { depth, stem, width, channels: 3 })
}

/// Fills every parameter with numbers that depend on its position: factors and variances around 1,
/// and filters scaled so that activations neither vanish nor grow.
fn fill(parameters: &Parameters) {
    bauta_backbones::tch::no_grad(|| {
        for (place, parameter) in parameters.iter().enumerate() {
            let (name, size) = (&parameter.name, parameter.tensor.size());
            let values = Tensor::from_slice(&numbers(place, parameter.tensor.numel()));
            let around_one = size.len() == 1 && name.ends_with("weight");
            let scaled = match size[..] {
                [_, inputs, height, width] => {
                    values * (9.0 / (inputs * height * width) as f64).sqrt()
                }
                _ if around_one || name.ends_with("running_var") => values * 0.4 + 1.0,
                _ => values * 0.4,
            };
            parameter.tensor.shallow_clone().copy_(&scaled.view(&size[..]));
        }
    });
}

/// Numbers in [-0.5, 0.5) that differ from their neighbours.
fn numbers(place: usize, count: usize) -> Vec<f32> {
    let number = |index: usize| {
        let mut mixed = (index as u32).wrapping_add(977 * place as u32 + 1);
        mixed = mixed.wrapping_mul(2_654_435_761);
        mixed ^= mixed >> 15;
        mixed = mixed.wrapping_mul(2_246_822_519);
        mixed ^= mixed >> 13;
        (f64::from(mixed) / 4_294_967_296.0 - 0.5) as f32
    };
    (0..count).map(number).collect()
}
