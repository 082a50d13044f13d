//! The text CNN on frozen features: `conv1`, `conv2`, … over time and `linear`, as the
//! released code names its layers.

use tch::Tensor;

use super::WeightShape;
use super::pass::Pass;

pub(super) fn layers(
    dim: usize,
    filters: usize,
    lengths: &[usize],
    outputs: usize,
) -> Vec<WeightShape> {
    let filter = |(i, &length): (usize, &usize)| WeightShape {
        name: name(i),
        shape: vec![filters as i64, dim as i64, length as i64],
    };
    let width = filters * lengths.len();
    let head = WeightShape { name: "linear".to_owned(), shape: vec![outputs as i64, width as i64] };
    lengths.iter().enumerate().map(filter).chain([head]).collect()
}

/// Maps features of tokens [B, T, D] to the maximum response of each filter, [B, lengths ·
/// filters].
pub(super) fn features(pass: &Pass<'_>, tokens: &Tensor, lengths: usize) -> Tensor {
    let over_time = tokens.transpose(1, 2);
    let largest = |i: usize| {
        let answers = over_time.conv1d(pass.weight(&name(i)), None::<Tensor>, 1, 0, 1, 1);
        answers.relu().amax(-1, false)
    };
    Tensor::cat(&(0..lengths).map(largest).collect::<Vec<_>>(), 1)
}

fn name(layer: usize) -> String {
    format!("conv{}", layer + 1)
}
