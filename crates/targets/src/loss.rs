//! How predictions and targets are compared (the slot L of MaskDistill's unified view,
//! arXiv 2210.10615 §2).

use tch::{Kind, Reduction, Tensor};

use crate::TargetError;

/// A loss on the features of tokens, averaged over everything it is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FeatureLoss {
    /// Mean squared error.
    Mse,
    /// With d = |prediction − target|: d² / 2β where d < β, else d − β / 2.
    SmoothL1 {
        /// Where the quadratic part becomes linear, above 0; 2 in dBOT.
        beta: f64,
    },
    /// 1 − cosine of the angle between a token's prediction and its target.
    Cosine,
}

/// Lower bound of the lengths that a cosine divides by.
const COSINE_EPS: f64 = 1e-6;

impl FeatureLoss {
    /// The loss of predictions against targets, both [B, N, D]: a scalar in single precision.
    ///
    /// # Errors
    /// [`TargetError::Shape`] when prediction and target differ in shape.
    pub fn of(self, prediction: &Tensor, target: &Tensor) -> Result<Tensor, TargetError> {
        if prediction.size() != target.size() {
            let expected = format!("predictions {:?}", target.size());
            return Err(TargetError::Shape { found: prediction.size(), expected });
        }
        let (prediction, target) = (prediction.to_kind(Kind::Float), &target.to_kind(Kind::Float));
        Ok(match self {
            Self::Mse => prediction.mse_loss(target, Reduction::Mean),
            Self::SmoothL1 { beta } => prediction.smooth_l1_loss(target, Reduction::Mean, beta),
            Self::Cosine => {
                let cosine = Tensor::cosine_similarity(&prediction, target, -1, COSINE_EPS);
                1.0 - cosine.mean(Kind::Float)
            }
        })
    }

    /// The loss of predicting the mean of all tokens of a target [B, N, D] everywhere: the loss of
    /// a network that has learnt nothing but a bias. A scalar in single precision.
    pub fn of_mean(self, target: &Tensor) -> Tensor {
        let target = target.to_kind(Kind::Float);
        let mean = target.mean_dim([0, 1].as_slice(), true, Kind::Float).expand_as(&target);
        self.of(&mean, &target).expect("the mean was given the shape of its target")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tch::Device;

    use super::*;
    use crate::tests::normal;

    fn loss(loss: FeatureLoss, prediction: &[f32], target: &[f32]) -> f64 {
        let tensor = |values| Tensor::from_slice(values).view([1, 1, -1]);
        loss.of(&tensor(prediction), &tensor(target)).unwrap().double_value(&[])
    }

    fn smooth(beta: f64) -> FeatureLoss {
        FeatureLoss::SmoothL1 { beta }
    }

    /// Worked by hand.
    #[test]
    fn golden_losses() {
        let close = |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-6, "{found}");
        close(loss(smooth(2.0), &[0.0; 3], &[1.0, -1.0, 3.0]), 2.5 / 3.0);
        close(loss(smooth(1.0), &[0.0; 2], &[0.5, -2.0]), 0.8125);
        close(loss(smooth(2.0), &[0.0; 2], &[0.5, -2.0]), 0.53125);
        close(loss(FeatureLoss::Mse, &[0.0; 2], &[0.5, -2.0]), 2.125);
        close(loss(FeatureLoss::Cosine, &[2.0, 0.0], &[1.0, 1.0]), 1.0 - 0.5_f64.sqrt());
        close(loss(FeatureLoss::Cosine, &[0.0, 0.0], &[1.0, 1.0]), 1.0);
    }

    #[test]
    fn the_mean_costs_what_the_targets_vary() {
        let target = Tensor::from_slice(&[1.0_f32, 10.0, 3.0, 10.0]).view([2, 1, 2]);
        let close = |found: Tensor, wanted: f64| {
            assert!((found.double_value(&[]) - wanted).abs() < 1e-6, "{found}");
        };
        close(FeatureLoss::Mse.of_mean(&target), 0.5);
        close(smooth(1.0).of_mean(&target), 0.25);
        let shifted = FeatureLoss::Mse.of_mean(&(normal("a", &[3, 5, 7]) + 4.0));
        close(shifted - FeatureLoss::Mse.of_mean(&normal("a", &[3, 5, 7])), 0.0);
        // The mean of opposite directions is zero.
        let opposite = Tensor::from_slice(&[1.0_f32, 0.0, -1.0, 0.0]).view([1, 2, 2]);
        close(FeatureLoss::Cosine.of_mean(&opposite), 1.0);
    }

    /// The loss of predicting zero for standard normal targets, as at the start of a run.
    #[test]
    fn the_zero_predictor_costs_what_integrals_say() {
        let targets = normal("targets", &[4, 500, 500]);
        let zero = targets.zeros_like();
        for (loss, wanted) in
            [(smooth(1.0), 0.424_66), (smooth(2.0), 0.247_12), (FeatureLoss::Mse, 1.0)]
        {
            // The standard deviation of a mean of a million draws is at most 0.0015.
            let found = loss.of(&zero, &targets).unwrap().double_value(&[]);
            assert!((found - wanted).abs() < 0.008, "{loss:?}: {found}");
        }
    }

    proptest! {
        #[test]
        fn smooth_l1_is_square_then_line_and_smooth_between(
            beta in 0.1..4.0_f64,
            share in 0.01..0.99_f64,
            beyond in 0.01..5.0_f64,
        ) {
            let at = |d: f64| loss(smooth(beta), &[0.0], &[d as f32]);
            let (near, far) = (share * beta, beta + beyond);
            prop_assert!((at(near) - near * near / (2.0 * beta)).abs() < 1e-5);
            prop_assert!((at(far) - (far - beta / 2.0)).abs() < 1e-5);
            // Continuous, with slope 1 from both sides.
            let step = 0.02 * beta;
            prop_assert!((at(beta) - beta / 2.0).abs() < 1e-5);
            let slope = (at(beta + step) - at(beta - step)) / (2.0 * step);
            prop_assert!((slope - 1.0).abs() < 0.01, "{slope}");
            // With β towards 0 it becomes |d|.
            prop_assert!((loss(smooth(1e-4), &[0.0], &[far as f32]) - far).abs() < 1e-3);
        }

        #[test]
        fn lengths_do_not_matter_to_the_cosine(gain in 0.1..9.0_f32, angle in 0.0..6.2_f32) {
            let prediction = [gain * angle.cos(), gain * angle.sin()];
            let found = loss(FeatureLoss::Cosine, &prediction, &[3.0, 0.0]);
            prop_assert!((found - (1.0 - f64::from(angle.cos()))).abs() < 1e-5);
        }
    }

    #[test]
    fn shapes_that_differ_are_refused() {
        let zeros = |shape: [i64; 3]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        let refused = FeatureLoss::Mse.of(&zeros([2, 3, 4]), &zeros([2, 3, 5])).unwrap_err();
        let message = refused.to_string();
        assert!(message.contains("[2, 3, 4]") && message.contains("[2, 3, 5]"), "{message}");
    }
}
