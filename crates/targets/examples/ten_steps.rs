//! Ten steps of a masked autoencoder on random images, from two crates.

#![allow(clippy::print_stdout, reason = "an example is a program")]

use bauta_backbones::masking::{MaskPlan, RandomMask};
use bauta_backbones::tch::{Device, Kind, Tensor, no_grad};
use bauta_backbones::{
    MaeDecoder, MaeDecoderConfig, Parameters, TokenIndices, VisionTransformer, VitConfig,
};
use bauta_targets::{PixelTarget, Target};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = VitConfig::nano(32, 4);
    let mut parameters = Parameters::new(0, Device::Cpu);
    let encoder = VisionTransformer::new(parameters.root(), &config)?;
    let decoder = MaeDecoderConfig::new(config.dim, 64, 1, 4, config.patch_values());
    let decoder = MaeDecoder::new(parameters.root(), &decoder, encoder.grid())?;
    let target = PixelTarget::normalized(encoder.grid(), config.channels);
    let strategy = RandomMask::new(encoder.grid(), 0.75)?;
    let images = Tensor::rand([16, 3, 32, 32], (Kind::Float, Device::Cpu));
    let samples: Vec<u64> = (0..16).collect();
    for step in 0..10 {
        let plan = MaskPlan::draw(&strategy, 0, step, &samples)?;
        let indices = TokenIndices::new(&plan, Device::Cpu);
        let latent = encoder.forward_visible(&images, &indices)?;
        let prediction = decoder.predict_masked(&latent, &indices)?;
        let loss = target.loss(&prediction, &target.masked(&images, &indices)?)?;
        loss.backward();
        no_grad(|| {
            for parameter in parameters.trainable() {
                let mut gradient = parameter.tensor.grad();
                let _ = parameter.tensor.shallow_clone().g_add_(&(&gradient * -0.05));
                let _ = gradient.zero_();
            }
        });
        println!("step {step}: loss {:.4}", loss.double_value(&[]));
    }
    Ok(())
}
