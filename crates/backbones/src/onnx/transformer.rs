//! Vision transformers, BEiTs and CLIP's visual towers on whole images.

use bauta_masking::Grid;
use bauta_onnx::{Attention, Dim, Gelu, Graph, Value};
use tch::Tensor;

use super::{Weights, add, images};
use crate::{Activation, EncoderHead, ImageEncoder, VitConfig, relative_position_index};

/// Maps images to `last_hidden_state`, `features` and the head's output.
pub(super) fn graph(weights: &Weights<'_>, encoder: &dyn ImageEncoder, head: EncoderHead) -> Graph {
    let config = encoder.transformer().expect("a ViT, BEiT or CLIP tower");
    let grid = encoder.grid();
    let mut graph = Graph::new("vision transformer");
    let x = &mut graph;
    let sides = encoder.image_size().map(Dim::Of);
    let pixels = images(x, config.channels, sides);
    let mut tokens = embed(x, weights, config, &pixels);
    let shared = bias_of(x, weights, "rel_pos_bias", grid);
    for place in 0..config.depth {
        let name = format!("blocks.{place}");
        let own = bias_of(x, weights, &format!("{name}.attn"), grid);
        tokens = block(x, weights, config, &name, &tokens, own.as_ref().or(shared.as_ref()));
    }
    if weights.0.get("norm.weight").is_some() {
        tokens = norm(x, weights, "norm", &tokens, config.layer_norm_eps);
    }
    let (batch, rows) = (Dim::Named("batch"), 1 + grid.tokens());
    x.output("last_hidden_state", &tokens, &[batch, Dim::Of(rows), Dim::Of(config.dim)]);
    let patches = x.rows(&tokens, 1, rows as i64);
    let mean = x.mean(&patches, &[1]);
    x.output("features", &mean, &[batch, Dim::Of(config.dim)]);
    let cls = |x: &mut Graph| {
        let first = x.rows(&tokens, 0, 1);
        x.mean(&first, &[1])
    };
    match head {
        EncoderHead::None => {}
        EncoderHead::Classifier(classes) => {
            let cls = cls(x);
            let logits = linear(x, weights, "head", &cls);
            x.output("logits", &logits, &[batch, Dim::Of(classes)]);
        }
        EncoderHead::MeanClassifier(classes) => {
            let read = norm(x, weights, "fc_norm", &mean, config.layer_norm_eps);
            let logits = linear(x, weights, "head", &read);
            x.output("logits", &logits, &[batch, Dim::Of(classes)]);
        }
        EncoderHead::Pooler(width) => {
            let cls = cls(x);
            let pooled = linear(x, weights, "pooler", &cls);
            let pooled = x.unary("Tanh", &pooled);
            x.output("pooler_output", &pooled, &[batch, Dim::Of(width)]);
        }
    }
    graph
}

/// The input of the first block, [B, 1 + L, D].
fn embed(x: &mut Graph, weights: &Weights<'_>, config: &VitConfig, pixels: &Value) -> Value {
    let filters = weights.add(x, "patch_embed.proj.weight");
    let bias = weights.maybe(x, "patch_embed.proj.bias");
    let map = x.conv(pixels, &filters, bias.as_ref(), &[config.patch_size as i64; 2], 0);
    let patches = x.tokens(&map);
    let cls = weights.add(x, "cls_token");
    let cls = x.token_for_each(&cls, config.dim, pixels);
    let mut tokens = x.concat(&[&cls, &patches], 1);
    if let Some(positions) = weights.maybe(x, "pos_embed") {
        tokens = x.binary("Add", &tokens, &positions);
    }
    if weights.0.get("norm_pre.weight").is_some() {
        tokens = norm(x, weights, "norm_pre", &tokens, config.layer_norm_eps);
    }
    tokens
}

/// The biases of all pairs from a BEiT's table, [1, heads, 1 + L, 1 + L].
fn bias_of(x: &mut Graph, weights: &Weights<'_>, owner: &str, grid: Grid) -> Option<Value> {
    let name = format!("{owner}.relative_position_bias_table");
    let table = &weights.0.get(&name)?.tensor;
    let index = Tensor::from_slice(&relative_position_index(grid)).to_device(table.device());
    let tokens = 1 + grid.tokens() as i64;
    let pairs = table.index_select(0, &index).view([1, tokens, tokens, -1]);
    Some(add(x, &name, &pairs.permute([0, 3, 1, 2]).contiguous()))
}

/// `x += γ₁ · attention(norm1(x)); x += γ₂ · mlp(norm2(x))`, with γ only in BEiTs.
pub(super) fn block(
    x: &mut Graph,
    weights: &Weights<'_>,
    config: &VitConfig,
    name: &str,
    tokens: &Value,
    bias: Option<&Value>,
) -> Value {
    let VitConfig { dim, heads, layer_norm_eps: eps, activation, .. } = *config;
    let of = |part: &str| format!("{name}.{part}");

    let normed = norm(x, weights, &of("norm1"), tokens, eps);
    let weight = weights.add(x, &of("attn.qkv.weight"));
    let qkv_bias = match weights.0.get(&of("attn.q_bias")) {
        Some(q) => {
            let v = &weights.0.get(&of("attn.v_bias")).expect("a BEiT's values have a bias").tensor;
            let all = Tensor::cat(&[&q.tensor, &v.zeros_like(), v], 0);
            Some(add(x, &of("attn.qkv.bias"), &all))
        }
        None => weights.maybe(x, &of("attn.qkv.bias")),
    };
    let qkv = x.linear(&normed, &weight, qkv_bias.as_ref());
    let seen = x.attention(&qkv, Attention { heads, dim, bias });
    let seen = linear(x, weights, &of("attn.proj"), &seen);
    let tokens = branch(x, weights, &of("gamma_1"), tokens, &seen);

    let normed = norm(x, weights, &of("norm2"), &tokens, eps);
    let hidden = linear(x, weights, &of("mlp.fc1"), &normed);
    let hidden = activated(x, activation, &hidden);
    let out = linear(x, weights, &of("mlp.fc2"), &hidden);
    branch(x, weights, &of("gamma_2"), &tokens, &out)
}

/// Adds a branch's output, scaled if the block has a factor for it.
fn branch(x: &mut Graph, weights: &Weights<'_>, gamma: &str, tokens: &Value, out: &Value) -> Value {
    match weights.maybe(x, gamma) {
        Some(gamma) => {
            let scaled = x.binary("Mul", out, &gamma);
            x.binary("Add", tokens, &scaled)
        }
        None => x.binary("Add", tokens, out),
    }
}

fn linear(x: &mut Graph, weights: &Weights<'_>, name: &str, input: &Value) -> Value {
    let weight = weights.add(x, &format!("{name}.weight"));
    let bias = weights.maybe(x, &format!("{name}.bias"));
    x.linear(input, &weight, bias.as_ref())
}

fn norm(x: &mut Graph, weights: &Weights<'_>, name: &str, input: &Value, eps: f64) -> Value {
    let [weight, bias] = weights.pair(x, name);
    x.layer_norm(input, &weight, &bias, eps)
}

fn activated(x: &mut Graph, activation: Activation, input: &Value) -> Value {
    match activation {
        Activation::Gelu => x.gelu(input, Gelu::Exact),
        Activation::GeluTanh => x.gelu(input, Gelu::Tanh),
        Activation::QuickGelu => x.gelu(input, Gelu::Quick),
        Activation::Relu => x.unary("Relu", input),
        Activation::Silu => {
            let gate = x.unary("Sigmoid", input);
            x.binary("Mul", input, &gate)
        }
    }
}
