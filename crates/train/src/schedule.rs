//! Learning rates: a linear warm-up from zero, then half a cosine, a constant, or steps.

/// The learning rate of every step of a phase.
///
/// In the first `warmup_steps` steps it rises as `lr · step / warmup_steps`; what follows is
/// the [`Shape`].
///
/// ```
/// use bauta_train::Schedule;
/// let schedule = Schedule::cosine(1.0, 0.0, 10.0, 110);
/// assert_eq!(schedule.at(0), 0.0);
/// assert_eq!(schedule.at(10), 1.0);
/// assert!((schedule.at(60) - 0.5).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Highest learning rate, at the end of the warm-up.
    pub lr: f64,
    /// Length of the warm-up, in steps (a fraction of a step is allowed).
    pub warmup_steps: f64,
    /// Length of the whole schedule, in optimiser steps.
    pub steps: u64,
    /// The schedule after the warm-up.
    pub shape: Shape,
}

/// The learning rate after the warm-up.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// `min_lr + (lr − min_lr) · ½ (1 + cos(π (step − warmup) / (steps − warmup)))` (MAE,
    /// appendix A.1).
    Cosine {
        /// Learning rate at the very end.
        min_lr: f64,
    },
    /// Stays at `lr`.
    Constant,
    /// Multiplied by `factor` at each milestone.
    Steps {
        /// The steps, counted from 0, at which the learning rate is multiplied.
        milestones: Vec<u64>,
        /// The factor.
        factor: f64,
    },
}

impl Schedule {
    /// A warm-up to `lr`, then half a cosine down to `min_lr` at step `steps`.
    pub fn cosine(lr: f64, min_lr: f64, warmup_steps: f64, steps: u64) -> Self {
        Self { lr, warmup_steps, steps, shape: Shape::Cosine { min_lr } }
    }

    /// The rate `lr` for `steps` steps, without a warm-up.
    pub fn constant(lr: f64, steps: u64) -> Self {
        Self { lr, warmup_steps: 0.0, steps, shape: Shape::Constant }
    }

    /// Scales a base rate to the batch: `base · samples per step / 256` (Goyal et al.).
    pub fn scaled_lr(base_lr: f64, samples_per_step: usize) -> f64 {
        base_lr * samples_per_step as f64 / 256.0
    }

    /// The learning rate of a step, counted from 0.
    pub fn at(&self, step: u64) -> f64 {
        let place = step as f64;
        if place < self.warmup_steps {
            return self.lr * place / self.warmup_steps;
        }
        match &self.shape {
            Shape::Cosine { min_lr } => {
                let rest = self.steps as f64 - self.warmup_steps;
                let done =
                    if rest > 0.0 { ((place - self.warmup_steps) / rest).min(1.0) } else { 1.0 };
                let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
                min_lr + (self.lr - min_lr) * cosine
            }
            Shape::Constant => self.lr,
            Shape::Steps { milestones, factor } => {
                let passed = milestones.iter().filter(|&&milestone| milestone <= step).count();
                self.lr * factor.powi(passed as i32)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equals_the_reference_numbers() {
        // The paper's headline run: base 1.5e-4 at batch 4096.
        assert!((Schedule::scaled_lr(1.5e-4, 4096) - 2.4e-3).abs() < 1e-18);
        // 1,000 steps per epoch, 40 epochs of warm-up, 800 epochs.
        let s = Schedule::cosine(2.4e-3, 0.0, 40e3, 800_000);
        assert_eq!(s.at(20_000), 1.2e-3);
        assert!((s.at(420_000) - 1.2e-3).abs() < 1e-12);
        assert!(s.at(800_000).abs() < 1e-15);
    }

    #[test]
    fn steps_fall_at_their_milestones_and_constants_stay() {
        let shape = Shape::Steps { milestones: vec![6, 9], factor: 0.1 };
        let steps = Schedule { lr: 1.0, warmup_steps: 4.0, steps: 12, shape };
        let rates: Vec<f64> = (0..12).map(|step| steps.at(step)).collect();
        let wanted = [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01];
        for (found, wanted) in rates.iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-12, "{rates:?}");
        }
        let constant = Schedule::constant(0.3, 5);
        assert!((0..5).all(|step| constant.at(step) == 0.3));
    }

    proptest! {
        #[test]
        fn rises_to_the_peak_then_falls_to_the_minimum(
            lr in 1e-5..1.0_f64,
            fraction in 0.0..1.0_f64,
            warmup in 0.0..50.0_f64,
            rest in 1_u64..200,
        ) {
            let steps = warmup.ceil() as u64 + rest;
            let min_lr = lr * fraction;
            let s = Schedule::cosine(lr, min_lr, warmup, steps);
            if warmup > 0.0 {
                prop_assert_eq!(s.at(0), 0.0);
            }
            // Continuous where warm-up ends: one step from the border is near the peak.
            let border = warmup.ceil() as u64;
            prop_assert!(s.at(border) <= lr * (1.0 + 1e-12));
            for step in 0..steps {
                let (now, next) = (s.at(step), s.at(step + 1));
                if ((step + 1) as f64) < warmup {
                    prop_assert!(next > now);
                } else if step as f64 >= warmup {
                    prop_assert!(next <= now);
                }
            }
            prop_assert!((s.at(steps) - min_lr).abs() < 1e-12);
        }
    }
}
