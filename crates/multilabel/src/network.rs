//! The meta-learner's network: a gated recurrent unit (Cho et al., arXiv 1406.1078) and two heads.

use bauta_backbones::{Init, Scope};
use tch::Tensor;

use crate::meta_config::MetaConfig;

/// Scale of the weights' means. Their reward is weak, but Adam would take steps as large as for
/// thresholds, until the weights drift to their bounds.
const WEIGHT_SCALE: f64 = 0.1;

/// The network's tensors. They have their own gradients, which no other loss reaches.
#[derive(Debug)]
pub(crate) struct Network {
    /// `weight_ih` [3 H, 2 N], `weight_hh` [3 H, H], `bias_ih`, `bias_hh` [3 H], then weight [N, H]
    /// and bias [N] of the weights' head and of the thresholds' head.
    pub(crate) tensors: Vec<Tensor>,
}

/// Means of both policies in logit space, `[N]` each.
pub(crate) struct Means {
    pub(crate) weights: Tensor,
    pub(crate) thresholds: Tensor,
}

impl Network {
    pub(crate) fn new(scope: &mut Scope<'_>, config: &MetaConfig) -> Self {
        let (hidden, labels) = (config.hidden as i64, config.labels as i64);
        let bound = Init::Uniform(1.0 / (hidden as f64).sqrt());
        let mut gru = scope.sub("gru");
        let mut tensors = vec![
            gru.add_frozen("weight_ih", &[3 * hidden, 2 * labels], bound.clone()),
            gru.add_frozen("weight_hh", &[3 * hidden, hidden], bound.clone()),
            gru.add_frozen("bias_ih", &[3 * hidden], bound.clone()),
            gru.add_frozen("bias_hh", &[3 * hidden], bound),
        ];
        for head in ["weights", "thresholds"] {
            let mut scope = scope.sub(head);
            // Zero, so that the first steps equal the plain baseline.
            tensors.push(scope.add_frozen("weight", &[labels, hidden], Init::Constant(0.0)));
            tensors.push(scope.add_frozen("bias", &[labels], Init::Constant(0.0)));
        }
        // Shares memory with the model's parameters, which the model's own optimiser does not
        // change.
        let leaf = |tensor: &Tensor| tensor.detach().set_requires_grad(true);
        Self { tensors: tensors.iter().map(leaf).collect() }
    }

    /// One step: the next state `[1, H]` and the means, for the input `[1, 2 N]`.
    pub(crate) fn step(&self, input: &Tensor, state: &Tensor) -> (Tensor, Means) {
        let [w_ih, w_hh, b_ih, b_hh, weight_w, bias_w, weight_q, bias_q] = &self.tensors[..] else {
            unreachable!("a network has eight tensors")
        };
        let state = input.gru_cell(state, w_ih, w_hh, Some(b_ih), Some(b_hh));
        let head = |weight: &Tensor, bias: &Tensor| state.linear(weight, Some(bias)).view([-1]);
        let weights = head(weight_w, bias_w) * WEIGHT_SCALE;
        let means = Means { weights, thresholds: head(weight_q, bias_q) };
        (state, means)
    }
}
