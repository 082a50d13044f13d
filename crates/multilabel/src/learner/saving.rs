//! Saving a meta-learner, and continuing from the saved state bit for bit.

use std::collections::HashMap;

use bauta_backbones::checkpoint::Mismatch;
use tch::Tensor;

use super::{MetaLearner, reading};
use crate::window::Window;

impl MetaLearner {
    /// The state that the next step depends on, except the network: moments, recurrence, window,
    /// averages.
    pub fn saved(&self) -> Vec<(String, Tensor)> {
        let moments = ["exp_avg", "exp_avg_sq"].into_iter().zip(&self.moments);
        let moments = moments.flat_map(|(name, moments)| {
            let numbered = moments.iter().enumerate();
            numbered.map(move |(number, moment)| (format!("adam.{name}.{number}"), moment.copy()))
        });
        let counts = [self.window.steps.len() as f64, self.windows as f64];
        let labels = self.config.labels as i64;
        let own = [
            ("adam.step".to_owned(), self.updates.view([1]).copy()),
            ("state".to_owned(), self.state.copy()),
            ("input".to_owned(), self.input.copy()),
            ("averages".to_owned(), self.averages.copy()),
            ("counts".to_owned(), Tensor::from_slice(&counts)),
        ];
        moments.chain(own).chain(self.window.state(self.config.window, labels)).collect()
    }

    /// Continues from a state returned by [`Self::saved`]; the network is loaded with the model.
    ///
    /// # Errors
    /// The names and shapes that do not agree; nothing is changed in that case.
    pub fn load(&mut self, saved: &HashMap<String, Tensor>) -> Result<(), Mismatch> {
        let own = self.saved();
        let mut mismatch = Mismatch::default();
        for (name, tensor) in &own {
            match saved.get(name) {
                None => mismatch.missing.push(name.clone()),
                Some(found) if found.size() != tensor.size() => {
                    mismatch.misshaped.push((name.clone(), found.size(), tensor.size()));
                }
                Some(_) => {}
            }
        }
        let known = |name: &&String| own.iter().any(|(known, _)| known == *name);
        mismatch.unexpected = saved.keys().filter(|name| !known(name)).cloned().collect();
        mismatch.unexpected.sort();
        if !mismatch.is_empty() {
            return Err(mismatch);
        }
        let device = self.state.device();
        let counts: Vec<f64> = Vec::try_from(&saved["counts"]).unwrap_or_else(|_| vec![0.0; 2]);
        tch::no_grad(|| {
            for (name, moments) in ["exp_avg", "exp_avg_sq"].into_iter().zip(&self.moments) {
                for (number, moment) in moments.iter().enumerate() {
                    moment.shallow_clone().copy_(&saved[&format!("adam.{name}.{number}")]);
                }
            }
            self.updates.copy_(&saved["adam.step"].view([] as [i64; 0]));
            self.averages.copy_(&saved["averages"]);
            self.state = saved["state"].to_device(device);
            self.input = saved["input"].to_device(device);
            self.window = Window::load(saved, counts[0] as usize, device, |weights, thresholds| {
                reading(&self.weights_at(weights), &self.thresholds_at(thresholds))
            });
            self.windows = counts[1] as u64;
        });
        Ok(())
    }
}
