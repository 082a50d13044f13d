//! Ten steps of a masked autoencoder on random images, from two crates.

#![allow(clippy::print_stdout, reason = "an example is a program")]

use bauta_backbones::masking::{MaskPlan, RandomMask};
use bauta_backbones::tch::{Device, no_grad};
use bauta_backbones::{
    Encode, MaeDecoder, MaeDecoderConfig, Parameters, TokenIndices, VisionTransformer, VitConfig,
};
use bauta_libtorch::uniform;
use bauta_streams::{Purpose, StreamKey};
use bauta_targets::PixelTarget;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = VitConfig::nano(32, 4);
    let mut parameters = Parameters::new(0, Device::Cpu);
    let encoder = VisionTransformer::new(parameters.root(), &config)?;
    let decoder = MaeDecoderConfig::new(config.dim, 64, 1, 4, config.patch_values());
    let decoder = MaeDecoder::new(parameters.root(), &decoder, encoder.grid())?;
    let target = PixelTarget::normalized(encoder.grid(), config.channels);
    let strategy = RandomMask::new(encoder.grid(), 0.75)?;
    let key = StreamKey { seed: 0, purpose: Purpose::named("images"), epoch: 0, sample: 0 };
    let images = uniform(&[16, 3, 32, 32], 0.0, 1.0, &mut key.stream());
    let samples: Vec<u64> = (0..16).collect();
    for step in 0..10 {
        let plan = MaskPlan::draw(&strategy, 0, step, &samples)?;
        let indices = TokenIndices::new(&plan, Device::Cpu);
        let latent = encoder.encode(&images, Encode::visible(&indices))?;
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
