//! Features of images from a Hugging Face model (a ViT, ViT-MAE, BEiT or CLIP folder), and the most
//! similar image to each: `features MODEL_FOLDER PICTURES`.

#![allow(clippy::print_stdout, reason = "an example is a program")]

use std::path::PathBuf;

use bauta_backbones::Pooling;
use bauta_backbones::checkpoint::read_tensors;
use bauta_eval::folder::{Embed, FeatureFormat};
use bauta_eval::{DeviceChoice, nearest};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1).map(PathBuf::from);
    let (model, root) = words.next().zip(words.next()).ok_or("give a model and pictures")?;
    let out = std::env::temp_dir().join("features.safetensors");
    let (format, device) = (FeatureFormat::Safetensors, DeviceChoice::Auto.choose()?);
    let embed = Embed { model, root, out: out.clone(), pooling: Pooling::Mean, format, device };
    let ([images, width], _) = embed.run()?;
    println!("{images} pictures, {width} values each, in {}", out.display());

    let features = &read_tensors(&out)?["features"];
    let alike = nearest(features, images as usize, 1)?;
    for picture in 0..images {
        println!("{picture} is most like {}", alike.int64_value(&[picture, 0]));
    }
    Ok(())
}
