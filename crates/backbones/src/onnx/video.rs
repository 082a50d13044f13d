//! Video transformers on whole clips.

use bauta_onnx::{Dim, Graph, Value};
use tch::Tensor;

use super::transformer::block;
use super::{Weights, add, clips};

use crate::VideoTransformer;

/// Maps clips to `last_hidden_state`, `features`, and, with a classifier of weight [classes, D] and
/// bias `[classes]`, `logits`.
pub(super) fn graph(
    weights: &Weights<'_>,
    encoder: &VideoTransformer,
    classifier: Option<[&Tensor; 2]>,
) -> Graph {
    let (config, rows) = (encoder.config(), encoder.grid().tokens());
    let vit = &config.vit;
    let mut graph = Graph::new("transformer of video");
    let x = &mut graph;
    let sides = [config.frames, vit.image_height, vit.image_width].map(Dim::Of);
    let pixels = clips(x, vit.channels, sides);
    let mut tokens = embed(x, weights, encoder, &pixels);
    for place in 0..vit.depth {
        tokens = block(x, weights, vit, &format!("blocks.{place}"), &tokens, None);
    }
    // The mean is taken before the norm, as in fine-tuning.
    let leading = config.leading();
    let patches = x.rows(&tokens, leading as i64, (leading + rows) as i64);
    let mut features = x.mean(&patches, &[1]);
    if config.final_norm {
        let [scale, shift] = weights.pair(x, "norm");
        [tokens, features] =
            [&tokens, &features].map(|rows| x.layer_norm(rows, &scale, &shift, vit.layer_norm_eps));
    }
    let (batch, dim) = (Dim::Named("batch"), Dim::Of(vit.dim));
    x.output("last_hidden_state", &tokens, &[batch, Dim::Of(leading + rows), dim]);
    x.output("features", &features, &[batch, dim]);
    if let Some([weight, bias]) = classifier {
        let classes = weight.size()[0] as usize;
        let [weight, bias] = [("head.weight", weight), ("head.bias", bias)]
            .map(|(name, tensor)| add(x, name, tensor));
        let logits = x.linear(&features, &weight, Some(&bias));
        x.output("logits", &logits, &[batch, Dim::Of(classes)]);
    }
    graph
}

/// The input of the first block, [B, N, D].
fn embed(
    x: &mut Graph,
    weights: &Weights<'_>,
    encoder: &VideoTransformer,
    pixels: &Value,
) -> Value {
    let config = encoder.config();
    let [filters, bias] = weights.pair(x, "patch_embed.proj");
    let side = config.vit.patch_size as i64;
    let strides = [config.patch_frames as i64, side, side];
    let map = x.conv(pixels, &filters, Some(&bias), &strides, 0);
    let mut tokens = x.tokens(&map);
    if let Some(cls) = weights.maybe(x, "cls_token") {
        let cls = x.token_for_each(&cls, config.vit.dim, pixels);
        tokens = x.concat(&[&cls, &tokens], 1);
    }
    let positions = add(x, "positions", &encoder.positions());
    x.binary("Add", &tokens, &positions)
}
