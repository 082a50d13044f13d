//! Networks as ONNX, compared node by node with graphs whose outputs agreed with onnxruntime's
//! (1e-4; the generator is `fixtures/onnx.py`).

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod onnx_networks;

use std::path::Path;

use bauta_backbones::tch::Tensor;
use bauta_backbones::{ModelError, export_onnx, onnx_graph};
use onnx_networks::{KINDS, images, outputs, write_folder};

#[test]
fn every_kind_has_the_nodes_that_onnxruntime_agreed_with() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx");
    let scratch = tempfile::tempdir().unwrap();
    for kind in KINDS {
        let folder = scratch.path().join(kind);
        write_folder(kind, &folder);
        let wanted = std::fs::read_to_string(fixtures.join(format!("{kind}.txt"))).unwrap();
        let found = onnx_graph(&folder).unwrap().structure();
        assert_eq!(found, wanted.lines().collect::<Vec<_>>(), "{kind}");
        // The file contains the weights unchanged.
        let file = scratch.path().join(format!("{kind}.onnx"));
        let said = export_onnx(&folder, &file).unwrap();
        assert!(said.contains("bytes, in"), "{said}");
        let bytes = std::fs::read(&file).unwrap();
        let resnet = kind.starts_with("resnet");
        let first = if resnet { "conv1.weight" } else { "patch_embed.proj.weight" };
        let weights = Tensor::read_safetensors(folder.join("model.safetensors")).unwrap();
        let (_, tensor) = weights.iter().find(|(name, _)| name == first).unwrap();
        let mut values = vec![0.0_f32; tensor.numel()];
        tensor.flatten(0, -1).copy_data(&mut values, tensor.numel());
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert!(bytes.windows(raw.len()).any(|window| window == raw), "{kind}");
        // The outputs have the same names as in the file, and reasonable values.
        for (name, tensor) in outputs(kind, &folder, &images(kind)) {
            let largest = tensor.abs().max().double_value(&[]);
            assert!(0.1 < largest && largest < 100.0, "{kind}: {name} {largest}");
            assert!(wanted.contains(&format!("{name} = Identity")), "{kind}: {name}");
        }
    }
}

#[test]
fn a_file_that_is_there_is_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let (folder, file) = (scratch.path().join("m"), scratch.path().join("m.onnx"));
    write_folder("mae", &folder);
    std::fs::write(&file, "mine").unwrap();
    let refused = export_onnx(&folder, &file).unwrap_err();
    assert!(matches!(refused, ModelError::Occupied(_)), "{refused}");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
}
