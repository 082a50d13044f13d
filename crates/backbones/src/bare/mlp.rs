//! The LeNet-style MLP: `linear.0`, `linear.2`, … with ReLU between, as the released code
//! names its layers.

use tch::Tensor;

use super::WeightShape;
use super::pass::Pass;

pub(super) fn layers(inputs: usize, hidden: &[usize], outputs: usize) -> Vec<WeightShape> {
    let from = [inputs].into_iter().chain(hidden.iter().copied());
    let to = hidden.iter().copied().chain([outputs]);
    let sides = from.zip(to).enumerate();
    sides
        .map(|(i, (from, to))| WeightShape { name: name(i), shape: vec![to as i64, from as i64] })
        .collect()
}

/// The last hidden layer before its ReLU; without hidden layers the input itself.
pub(super) fn features(pass: &Pass<'_>, input: &Tensor, hidden: usize) -> Tensor {
    let mut x = input.flatten(1, -1);
    for layer in 0..hidden {
        let seen = if layer == 0 { x } else { x.relu() };
        x = pass.linear(&name(layer), &seen);
    }
    x
}

/// Activations stand between the layers in the released code's list.
fn name(layer: usize) -> String {
    format!("linear.{}", 2 * layer)
}
