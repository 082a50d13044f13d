//! The AdamW step alone, over the tensors of ViT-B/16 and MAE's decoder.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use bauta_backbones::tch::{Device, Kind, Tensor};
use bauta_backbones::{MaeDecoder, MaeDecoderConfig, Parameters, VisionTransformer, VitConfig};
use bauta_libtorch::normal;
use bauta_streams::{Purpose, StreamKey};
use bauta_train::{Optimizer, OptimizerConfig, Rule, is_decayed};
use serde_json::{Value, json};

use crate::steps::write_json;
use crate::{Measurement, Setting};

const WARM_UP: usize = 3;
const LR: f64 = 1e-4;

/// Writes the shapes of both groups of tensors.
pub fn prepare(shared: &Path) -> Result<()> {
    let mut parameters = Parameters::sketch();
    add_model(&mut parameters)?;
    let shapes = |decayed: bool| -> Vec<Value> {
        let members = parameters.trainable().filter(|p| is_decayed(p) == decayed);
        members.map(|p| json!(p.tensor.size())).collect()
    };
    let OptimizerConfig { rule, weight_decay, .. } = OptimizerConfig::default();
    let Rule::AdamW { betas, eps } = rule else { bail!("the default is AdamW") };
    let setting = json!({
        "lr": LR,
        "betas": betas,
        "eps": eps,
        "weight_decay": weight_decay,
        "warm_up": WARM_UP,
        "decayed": shapes(true),
        "rest": shapes(false),
    });
    write_json(&shared.join("setting.json"), &setting)
}

/// Times steps on constant random gradients.
pub fn measure(setting: &Setting) -> Result<Measurement> {
    let mut parameters = Parameters::new(0, Device::Cpu);
    add_model(&mut parameters)?;
    let mut optimizer = Optimizer::new(&parameters, OptimizerConfig::default());
    let key = StreamKey { seed: 0, purpose: Purpose::named("gradients"), epoch: 0, sample: 0 };
    let mut stream = key.stream();
    let parameters = optimizer.parameters();
    let gradients: Vec<Tensor> =
        parameters.iter().map(|tensor| normal(&tensor.size(), 1e-3, &mut stream)).collect();
    let found_inf = Tensor::zeros([] as [i64; 0], (Kind::Float, Device::Cpu));
    let mut seconds = Vec::new();
    for step in 0..WARM_UP + setting.steps {
        let start = Instant::now();
        optimizer.step(&gradients, LR, &found_inf)?;
        if step >= WARM_UP {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let items = gradients.iter().map(Tensor::numel).sum();
    Ok(Measurement { seconds, unit: "parameters", items, losses: None, work: None })
}

fn add_model(parameters: &mut Parameters) -> Result<()> {
    let config = VitConfig::base(224, 16);
    let encoder = VisionTransformer::new(parameters.root(), &config)?;
    let decoder = MaeDecoderConfig::new(config.dim, 512, 8, 16, config.patch_values());
    MaeDecoder::new(parameters.root(), &decoder, encoder.grid())?;
    Ok(())
}
