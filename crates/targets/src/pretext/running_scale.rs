//! Losses of different size made comparable, each divided by its mean over the first steps.

use std::collections::HashMap;
use std::convert::Infallible;

use bauta_backbones::checkpoint::Mismatch;
use tch::{Device, Kind, Tensor};

/// Lower bound of a mean.
const LEAST: f64 = 1e-6;

/// Divides each loss by its mean over the first steps in which it was computed, without a gradient
/// through the mean, so that the weights of losses are comparable whatever their units.
#[derive(Debug)]
pub struct RunningScale {
    /// Sums and counts of the losses, f64 [2, N].
    taken: Tensor,
    /// Number of steps that the means are taken over.
    steps: f64,
    /// `taken` with the losses of the current step, until that step is counted, f64 [2, N].
    pending: Option<Tensor>,
}

impl RunningScale {
    /// Means of `losses` losses over their first `steps` steps, at least 1.
    pub fn new(losses: usize, steps: u32, device: Device) -> Self {
        let taken = Tensor::zeros([2, losses as i64], (Kind::Double, device));
        Self { taken, steps: f64::from(steps.max(1)), pending: None }
    }

    /// Scales the losses of a step; missing ones stay missing. The step counts towards the means
    /// once [`Self::after_step`] is called.
    ///
    /// # Panics
    /// When the number of losses is not that given to [`Self::new`].
    pub fn scale(&mut self, losses: Vec<Option<Tensor>>) -> Vec<Option<Tensor>> {
        let scaled = self.scale_by(losses, Ok::<_, Infallible>);
        scaled.unwrap_or_else(|never| match never {})
    }

    /// Scales the losses of a part of a batch: `whole` computes the losses of the whole batch from
    /// those of the part, f64 `[N]`, in which a missing loss is 0.
    ///
    /// # Errors
    /// The error of `whole`.
    ///
    /// # Panics
    /// As [`Self::scale`].
    pub fn scale_by<E>(
        &mut self,
        losses: Vec<Option<Tensor>>,
        whole: impl FnOnce(Tensor) -> Result<Tensor, E>,
    ) -> Result<Vec<Option<Tensor>>, E> {
        assert_eq!(losses.len() as i64, self.taken.size()[1], "one value per loss");
        let options = (Kind::Double, self.taken.device());
        let zero = Tensor::zeros([], options);
        let values: Vec<Tensor> = losses
            .iter()
            .map(|loss| match loss {
                Some(loss) => loss.detach().to_kind(Kind::Double).view([] as [i64; 0]),
                None => zero.shallow_clone(),
            })
            .collect();
        let there: Vec<f64> =
            losses.iter().map(|loss| f64::from(u8::from(loss.is_some()))).collect();
        let there = Tensor::from_slice(&there).to_device(self.taken.device());
        let values = whole(Tensor::stack(&values, 0))?;
        let step = Tensor::stack(&[values, there], 0);
        let open = self.taken.get(1).lt(self.steps).to_kind(Kind::Double).unsqueeze(0);
        let taken = &self.taken + step * open;
        let means = (taken.get(0) / taken.get(1).clamp_min(1.0)).clamp_min(LEAST);
        self.pending = Some(taken);
        let scaled = losses.into_iter().enumerate();
        let mean = |place: usize| means.get(place as i64).to_kind(Kind::Float);
        Ok(scaled.map(|(place, loss)| loss.map(|loss| loss / mean(place))).collect())
    }

    /// Whether the mean of any `wanted` loss is still being measured; waits for the device.
    pub fn measures(&self, wanted: &[bool]) -> bool {
        let counts = Vec::<f64>::try_from(self.taken.get(1)).expect("a vector of doubles");
        counts.iter().zip(wanted).any(|(count, wanted)| *wanted && *count < self.steps)
    }

    /// Counts the step whose losses were scaled last.
    pub fn after_step(&mut self) {
        if let Some(taken) = self.pending.take() {
            self.taken = taken;
        }
    }

    /// The state to save: `scale`, f64 [2, N].
    pub fn state(&self) -> Vec<(String, Tensor)> {
        vec![("scale".to_owned(), self.taken.shallow_clone())]
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// When `scale` is missing or has another shape, or when there are other tensors.
    pub fn load_state(&mut self, saved: &HashMap<String, Tensor>) -> Result<(), Mismatch> {
        let mut mismatch = Mismatch::default();
        match saved.get("scale") {
            None => mismatch.missing.push("scale".to_owned()),
            Some(found) if found.size() != self.taken.size() => {
                mismatch.misshaped.push(("scale".to_owned(), found.size(), self.taken.size()));
            }
            Some(found) => self.taken = found.to_device(self.taken.device()).copy(),
        }
        mismatch.unexpected = saved.keys().filter(|name| *name != "scale").cloned().collect();
        if mismatch.is_empty() { Ok(()) } else { Err(mismatch) }
    }
}
