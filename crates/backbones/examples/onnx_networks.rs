//! Writes a small network of each kind as ONNX, with images and its outputs for them, for
//! `fixtures/onnx.py` to compare: `onnx_networks DIR`.

#![allow(clippy::unwrap_used, reason = "a tool of the tests")]

use std::path::PathBuf;

use bauta_backbones::checkpoint::write_tensors;
use bauta_backbones::{export_onnx, onnx_graph};

#[path = "../tests/onnx_networks/mod.rs"]
mod onnx_networks;

use onnx_networks::{KINDS, images, outputs, write_folder};

fn main() {
    let place = PathBuf::from(std::env::args_os().nth(1).expect("the folder to write to"));
    for kind in KINDS {
        let folder = place.join(kind);
        write_folder(kind, &folder);
        export_onnx(&folder, &place.join(format!("{kind}.onnx"))).unwrap();
        let pixels = images(kind);
        let mut tensors = outputs(kind, &folder, &pixels);
        tensors.push(("pixel_values", pixels));
        let named = tensors.iter().map(|(name, tensor)| (*name, tensor));
        write_tensors(&place.join(format!("{kind}.safetensors")), named).unwrap();
        let structure = onnx_graph(&folder).unwrap().structure().join("\n") + "\n";
        std::fs::write(place.join(format!("{kind}.txt")), structure).unwrap();
    }
}
