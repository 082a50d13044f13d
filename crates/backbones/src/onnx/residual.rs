//! Residual networks.

use bauta_onnx::{Dim, Graph, Value};

use super::{Weights, images};
use crate::batch_norm::EPS;
use crate::{ResNetConfig, ResNetDepth, Stem};

/// Maps images of any size to `features` [batch, D], and with a classifier to `logits`.
pub(super) fn graph(weights: &Weights<'_>, config: &ResNetConfig, classes: Option<usize>) -> Graph {
    let mut graph = Graph::new("residual network");
    let sides = [Dim::Named("height"), Dim::Named("width")];
    let x = images(&mut graph, config.channels, sides);
    let large = config.stem == Stem::Large;
    let (stride, padding) = if large { (2, 3) } else { (1, 1) };
    let mut x = unit(&mut graph, weights, &x, ["conv1", "bn1"], stride, padding);
    x = graph.unary("Relu", &x);
    if large {
        x = graph.max_pool(&x, 3, 2, 1);
    }
    let (depths, convolutions) = match config.depth {
        ResNetDepth::Eighteen => ([2, 2, 2, 2], 2),
        ResNetDepth::Fifty => ([3, 4, 6, 3], 3),
    };
    for (stage, depth) in depths.into_iter().enumerate() {
        for place in 0..depth {
            let stride = if place == 0 && stage > 0 { 2 } else { 1 };
            let name = format!("layer{}.{place}", stage + 1);
            x = block(&mut graph, weights, &x, &name, convolutions, stride);
        }
    }
    let features = graph.mean(&x, &[2, 3]);
    graph.output("features", &features, &[Dim::Named("batch"), Dim::Of(config.features())]);
    if let Some(classes) = classes {
        let [weight, bias] = weights.pair(&mut graph, "fc");
        let logits = graph.linear(&features, &weight, Some(&bias));
        graph.output("logits", &logits, &[Dim::Named("batch"), Dim::Of(classes)]);
    }
    graph
}

/// Two 3 × 3 convolutions, or 1 × 1, 3 × 3 and 1 × 1, whose output is added to the input.
fn block(
    graph: &mut Graph,
    weights: &Weights<'_>,
    input: &Value,
    name: &str,
    convolutions: usize,
    stride: i64,
) -> Value {
    // The first 3 × 3 convolution has the stride.
    let (wide, strided) = if convolutions == 3 { (1..=1, 1) } else { (0..=1, 0) };
    let mut x = input.clone();
    for place in 0..convolutions {
        let names = ["conv", "bn"].map(|part| format!("{name}.{part}{}", place + 1));
        let stride = if place == strided { stride } else { 1 };
        let padding = i64::from(wide.contains(&place));
        x = unit(graph, weights, &x, [&names[0], &names[1]], stride, padding);
        if place + 1 < convolutions {
            x = graph.unary("Relu", &x);
        }
    }
    let shortcut = [0, 1].map(|part| format!("{name}.downsample.{part}"));
    let beside = match weights.0.get(&format!("{}.weight", shortcut[0])) {
        Some(_) => unit(graph, weights, input, [&shortcut[0], &shortcut[1]], stride, 0),
        None => input.clone(),
    };
    let sum = graph.binary("Add", &x, &beside);
    graph.unary("Relu", &sum)
}

/// A convolution and its batch normalisation with running moments.
fn unit(
    graph: &mut Graph,
    weights: &Weights<'_>,
    x: &Value,
    [conv, norm]: [&str; 2],
    stride: i64,
    padding: i64,
) -> Value {
    let filters = weights.add(graph, &format!("{conv}.weight"));
    let x = graph.conv(x, &filters, None, &[stride; 2], padding);
    let [scale, shift, mean, variance] = ["weight", "bias", "running_mean", "running_var"]
        .map(|part| weights.add(graph, &format!("{norm}.{part}")));
    graph.batch_norm(&x, [&scale, &shift, &mean, &variance], EPS)
}
