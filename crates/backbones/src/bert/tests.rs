//! Comparison with transformers' `BertModel`, on the fixture written by `fixtures/bert.py`.

use std::path::{Path, PathBuf};

use super::*;
use crate::checkpoint::read_tensors;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bert").join(name)
}

fn config() -> BertConfig {
    let text = std::fs::read_to_string(fixture("config.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn hidden_states_are_those_of_transformers() {
    let tensors = read_tensors(&fixture("model.safetensors")).unwrap();
    let case = read_tensors(&fixture("case.safetensors")).unwrap();
    let (wanted, seen) = (&case["last_hidden_state"], &case["seen"]);
    let prefixed = tensors.iter().map(|(name, t)| (format!("bert.{name}"), t.shallow_clone()));
    // The names of norms in `bert-base-uncased`.
    let first = |name: &str| {
        let name = name.replace("LayerNorm.weight", "LayerNorm.gamma");
        format!("bert.{}", name.replace("LayerNorm.bias", "LayerNorm.beta"))
    };
    let first = tensors.iter().map(|(name, t)| (first(name), t.shallow_clone()));
    for tensors in [&tensors, &prefixed.collect(), &first.collect()] {
        let encoder = BertEncoder::of_tensors(&config(), tensors, Device::Cpu).unwrap();
        let found = encoder.encode(&case["words"], seen).unwrap();
        assert_eq!(found.size(), wanted.size());
        // Outputs at padding are not defined and can differ.
        let words = seen.unsqueeze(-1).to_kind(Kind::Float);
        let off = ((found - wanted).abs() * words).max().double_value(&[]);
        let largest = wanted.abs().max().double_value(&[]);
        assert!(off < 1e-5 * largest, "off by {off:.1e} of {largest}");
        assert!(encoder.parameters().trainable().next().is_none());
    }
}

#[test]
fn padding_changes_nothing() {
    let encoder = BertEncoder::new(&config(), 1, Device::Cpu).unwrap();
    let words = Tensor::from_slice(&[5_i64, 9, 3, 0, 0]).view([1, 5]);
    let seen = Tensor::from_slice(&[true, true, true, false, false]).view([1, 5]);
    let padded = encoder.encode(&words, &seen).unwrap().narrow(1, 0, 3);
    let short = encoder.encode(&words.narrow(1, 0, 3), &seen.narrow(1, 0, 3)).unwrap();
    assert!(padded.allclose(&short, 1e-5, 1e-6, false));
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut tensors = read_tensors(&fixture("model.safetensors")).unwrap();
    let message = |config: &BertConfig, tensors: &HashMap<String, Tensor>| {
        BertEncoder::of_tensors(config, tensors, Device::Cpu).unwrap_err().to_string()
    };
    let odd = BertConfig { num_attention_heads: 5, ..config() };
    assert!(message(&odd, &tensors).contains("24 must be a multiple of num_attention_heads 5"));
    // Sizes that no memory holds are compared with the weights first.
    let wide = BertConfig { vocab_size: 1 << 20, intermediate_size: 1 << 20, ..config() };
    assert!(message(&wide, &tensors).contains("model expects [1048576, 24]"));
    let wide = BertConfig { vocab_size: 1 << 40, ..config() };
    assert!(message(&wide, &tensors).contains("vocab_size is 1099511627776; it must be at least"));
    let deep = BertConfig { num_hidden_layers: 1 << 20, ..config() };
    assert!(message(&deep, &tensors).contains("num_hidden_layers is 1048576, but the weights"));
    let deep = BertConfig { num_hidden_layers: 3, ..config() };
    assert!(message(&deep, &tensors).contains("encoder.layer.2."));
    let _ = tensors.remove("embeddings.word_embeddings.weight");
    assert!(message(&config(), &tensors).contains("embeddings.word_embeddings.weight"));
    let encoder = BertEncoder::new(&config(), 1, Device::Cpu).unwrap();
    let long = Tensor::zeros([1, 17], (Kind::Int64, Device::Cpu));
    let error = encoder.encode(&long, &long).unwrap_err().to_string();
    assert!(error.contains("at most 16 words"), "{error}");
}
