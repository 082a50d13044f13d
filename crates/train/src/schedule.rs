//! Learning rate: linear warm-up from zero, then half a cosine (MAE, appendix A.1).

/// The learning rate of every step of a run.
///
/// With e = step / steps per epoch: `lr · e / W` for e < W, then
/// `min + (lr − min) · ½ (1 + cos(π (e − W) / (E − W)))`, changed every step.
///
/// ```
/// use bauta_train::Schedule;
/// let schedule = Schedule { lr: 1.0, min_lr: 0.0, warmup_steps: 10.0, steps: 110 };
/// assert_eq!(schedule.at(0), 0.0);
/// assert_eq!(schedule.at(10), 1.0);
/// assert!((schedule.at(60) - 0.5).abs() < 1e-12);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Highest learning rate, at the end of the warm-up.
    pub lr: f64,
    /// Learning rate at the very end.
    pub min_lr: f64,
    /// Length of the warm-up, in steps (a fraction of a step is allowed).
    pub warmup_steps: f64,
    /// Length of the whole schedule, in steps.
    pub steps: u64,
}

impl Schedule {
    /// Scales a base rate to the batch: `base · samples a step / 256` (Goyal et al.).
    pub fn scaled_lr(base_lr: f64, samples_per_step: usize) -> f64 {
        base_lr * samples_per_step as f64 / 256.0
    }

    /// The learning rate of a step, counted from 0.
    pub fn at(&self, step: u64) -> f64 {
        let step = step as f64;
        if step < self.warmup_steps {
            return self.lr * step / self.warmup_steps;
        }
        let rest = self.steps as f64 - self.warmup_steps;
        let done = if rest > 0.0 { ((step - self.warmup_steps) / rest).min(1.0) } else { 1.0 };
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        self.min_lr + (self.lr - self.min_lr) * cosine
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
        // 1,000 steps an epoch, 40 epochs of warm-up, 800 epochs.
        let s = Schedule { lr: 2.4e-3, min_lr: 0.0, warmup_steps: 40e3, steps: 800_000 };
        assert_eq!(s.at(20_000), 1.2e-3);
        assert!((s.at(420_000) - 1.2e-3).abs() < 1e-12);
        assert!(s.at(800_000).abs() < 1e-15);
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
            let s = Schedule { lr, min_lr, warmup_steps: warmup, steps };
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
