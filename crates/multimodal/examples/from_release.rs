//! Writes M3AE's released weights under this crate's names.
//!
//! cargo run -p bauta-multimodal --example from_release RELEASED.safetensors OURS.safetensors
//!
//! The first file is the output of the Python script in `docs/systems/m3ae.md`.

#![allow(clippy::print_stdout, reason = "an example speaks to whoever runs it")]

use std::error::Error;
use std::path::Path;

use bauta_backbones::Parameters;
use bauta_backbones::checkpoint::read_tensors;
use bauta_masking::Grid;
use bauta_multimodal::{PairAutoencoder, PairConfig, from_released};
use tch::Tensor;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output] = &arguments[..] else {
        return Err("give the released file and the file to write".into());
    };
    let released = read_tensors(Path::new(input))?;
    let side = |name: &str, dimension: usize| -> Option<usize> {
        Some(released.get(name)?.size().get(dimension).copied()? as usize)
    };
    let lacking = |name: &str| format!("{input} has no {name}");
    let needed = |name: &str, dimension| side(name, dimension).ok_or_else(|| lacking(name));
    let depth = |part: &str| {
        let has = |block: &usize| {
            released.contains_key(&format!("{part}/Block_{block}/LayerNorm_0/scale"))
        };
        (0..).take_while(has).count()
    };
    // Grid, heads and text length cannot be read from the weights.
    let grid = Grid::image(16, 16)?;
    let config =
        PairConfig::new(grid, needed("image_embedding/kernel", 0)?, needed("cls_token", 2)?)
            .with_decoder(needed("decoder_input_projection/kernel", 1)?, depth("decoder"), 1);
    let config = match side("text_embedding/embedding", 0) {
        Some(vocabulary) => config.with_text(vocabulary, 64),
        None => config,
    };
    let type_vectors = released.contains_key("encoder_image_type_embedding");
    let config = PairConfig { depth: depth("encoder"), heads: 1, type_vectors, ..config };
    let mut sketch = Parameters::sketch();
    PairAutoencoder::new(sketch.root(), &config)?;
    let names: Vec<&str> = sketch.iter().map(|parameter| parameter.name.as_str()).collect();
    let ours = from_released(names.iter().copied(), &released);
    if let Some(missing) = names.iter().find(|name| !ours.contains_key(**name)) {
        return Err(format!("{input} lacks what becomes {missing}").into());
    }
    let tensors: Vec<(&str, &Tensor)> = names.iter().map(|&name| (name, &ours[name])).collect();
    Tensor::write_safetensors(&tensors, output)?;
    println!("{} tensors, {} values in {output}", tensors.len(), sketch.count());
    Ok(())
}
