//! The steps since the last update of a meta-learner, from which its gradient is computed.
//!
//! Actions and credits are kept instead of graphs: an update replays the window from its first
//! state. So a run that is resumed in the middle of a window gives bit-identical results.

use std::collections::HashMap;

use tch::{Device, Kind, Tensor};

/// The current window so far.
#[derive(Debug)]
pub(crate) struct Window {
    /// The recurrent state before the first step, `[1, H]`.
    pub(crate) state: Tensor,
    /// The input of the first step, `[1, 2 N]`.
    pub(crate) input: Tensor,
    pub(crate) steps: Vec<WindowStep>,
}

/// One step of a window.
#[derive(Debug)]
pub(crate) struct WindowStep {
    /// The action in logit space, `[N]` each.
    pub(crate) weight_logits: Tensor,
    pub(crate) threshold_logits: Tensor,
    /// The credit of each threshold, `[N]`.
    pub(crate) credit: Tensor,
    /// The loss of held-out documents; a scalar.
    pub(crate) held_out: Tensor,
    /// The action's weights and thresholds, the input of the next step, `[1, 2 N]`; it is not
    /// saved, since it follows from the logits.
    pub(crate) reading: Tensor,
}

impl Window {
    pub(crate) fn begin(state: &Tensor, input: &Tensor) -> Self {
        Self { state: state.shallow_clone(), input: input.shallow_clone(), steps: Vec::new() }
    }

    /// The window as tensors of fixed shapes; rows after the last step are zero.
    pub(crate) fn state(&self, length: usize, labels: i64) -> Vec<(String, Tensor)> {
        let padded = |of: fn(&WindowStep) -> &Tensor, width: i64| {
            let zeros = Tensor::zeros([width], (Kind::Float, self.state.device()));
            let rows = self.steps.iter().map(|step| of(step).view([width]));
            let rows = rows.chain(std::iter::repeat_with(|| zeros.shallow_clone()));
            Tensor::stack(&rows.take(length).collect::<Vec<_>>(), 0)
        };
        vec![
            ("window.state".to_owned(), self.state.copy()),
            ("window.input".to_owned(), self.input.copy()),
            ("window.weight_logits".to_owned(), padded(|step| &step.weight_logits, labels)),
            ("window.threshold_logits".to_owned(), padded(|step| &step.threshold_logits, labels)),
            ("window.credit".to_owned(), padded(|step| &step.credit, labels)),
            ("window.held_out".to_owned(), padded(|step| &step.held_out, 1)),
        ]
    }

    /// Restores the window from a saved state with `steps` steps; names and shapes have been
    /// checked. `reading` computes the next step's input from an action's logits.
    pub(crate) fn load(
        saved: &HashMap<String, Tensor>,
        steps: usize,
        device: Device,
        reading: impl Fn(&Tensor, &Tensor) -> Tensor,
    ) -> Self {
        let tensor = |name: &str| saved[name].to_device(device);
        let rows = ["weight_logits", "threshold_logits", "credit", "held_out"]
            .map(|name| tensor(&format!("window.{name}")));
        let step = |row: usize| {
            let [weight_logits, threshold_logits, credit, held_out] =
                rows.each_ref().map(|rows| rows.get(row as i64));
            let held_out = held_out.view([] as [i64; 0]);
            let reading = reading(&weight_logits, &threshold_logits);
            WindowStep { weight_logits, threshold_logits, credit, held_out, reading }
        };
        Self {
            state: tensor("window.state"),
            input: tensor("window.input"),
            steps: (0..steps).map(step).collect(),
        }
    }
}
