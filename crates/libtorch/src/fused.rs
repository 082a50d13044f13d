//! Fused optimiser steps: one kernel call for all parameters of a group.
//!
//! If `found_inf` (an f32 scalar on the device) is 1, a step changes no parameters or moments, so
//! that a step whose loss is not finite is skipped without waiting for the host.

use std::ffi::c_int;

use tch::Tensor;

use crate::{LibtorchError, ffi};

/// Settings of one step of Adam (Kingma & Ba) or AdamW (Loshchilov & Hutter).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay rate of the first moment.
    pub beta1: f64,
    /// Decay rate of the second moment.
    pub beta2: f64,
    /// Weight decay: AdamW subtracts it, times `lr` and the weights, from the weights; Adam adds
    /// it, times the weights, to the gradient.
    pub weight_decay: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
}

/// The tensors of one step of Adam or AdamW; the four lists have the same length.
#[derive(Clone, Copy, Debug)]
pub struct AdamTensors<'a> {
    /// Parameters, overwritten.
    pub parameters: &'a [Tensor],
    /// Their gradients.
    pub gradients: &'a [Tensor],
    /// First moments, overwritten.
    pub exp_avgs: &'a [Tensor],
    /// Second moments, overwritten.
    pub exp_avg_sqs: &'a [Tensor],
    /// Number of steps made before (f32 scalar), always raised by one, even for empty lists.
    pub step: &'a Tensor,
}

/// Makes one AdamW step over all tensors in one kernel (`at::_fused_adamw_`).
///
/// # Errors
/// [`LibtorchError::Call`] with libtorch's message, such as for unequal shapes.
///
/// # Panics
/// When the four lists differ in length.
pub fn fused_adamw(
    tensors: AdamTensors<'_>,
    settings: AdamStep,
    found_inf: Option<&Tensor>,
) -> Result<(), LibtorchError> {
    adam(true, tensors, settings, found_inf)
}

/// Makes one Adam step over all tensors in one kernel (`at::_fused_adam_`).
///
/// # Errors
/// As [`fused_adamw`].
///
/// # Panics
/// As [`fused_adamw`].
pub fn fused_adam(
    tensors: AdamTensors<'_>,
    settings: AdamStep,
    found_inf: Option<&Tensor>,
) -> Result<(), LibtorchError> {
    adam(false, tensors, settings, found_inf)
}

fn adam(
    decoupled: bool,
    tensors: AdamTensors<'_>,
    settings: AdamStep,
    found_inf: Option<&Tensor>,
) -> Result<(), LibtorchError> {
    let count = tensors.parameters.len();
    let lists = [tensors.parameters, tensors.gradients, tensors.exp_avgs, tensors.exp_avg_sqs];
    assert!(lists.iter().all(|list| list.len() == count), "the lists must run parallel");
    // The kernel only reads the count; PyTorch's front end also raises it first.
    let _ = tensors.step.shallow_clone().g_add_scalar_(1.0);
    if count == 0 {
        return Ok(());
    }
    let [parameters, gradients, exp_avgs, exp_avg_sqs] = lists.map(ffi::pointers);
    // One count serves all parameters, because they are always stepped together.
    let steps = vec![tensors.step.as_ptr(); count];
    // SAFETY: all lists hold `count` live tensors for the duration of the call.
    ffi::check(unsafe {
        ffi::bauta_fused_adam(
            c_int::from(decoupled),
            parameters.as_ptr(),
            gradients.as_ptr(),
            exp_avgs.as_ptr(),
            exp_avg_sqs.as_ptr(),
            steps.as_ptr(),
            count,
            settings.lr,
            settings.beta1,
            settings.beta2,
            settings.weight_decay,
            settings.eps,
            found_inf.map_or(std::ptr::null(), Tensor::as_ptr),
        )
    })
}

/// Settings of one step of stochastic gradient descent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// Learning rate of this step.
    pub lr: f64,
    /// Momentum; 0 for plain descent.
    pub momentum: f64,
    /// Step along gradient + momentum · buffer instead of along the buffer.
    pub nesterov: bool,
    /// Weight decay: added, times the weights, to the gradient.
    pub weight_decay: f64,
}

/// The tensors of one step of stochastic gradient descent; the lists have the same length.
#[derive(Clone, Copy, Debug)]
pub struct SgdTensors<'a> {
    /// Parameters, overwritten.
    pub parameters: &'a [Tensor],
    /// Their gradients.
    pub gradients: &'a [Tensor],
    /// Momentum buffers, zero before the first step, overwritten; empty without momentum.
    pub buffers: &'a [Tensor],
}

/// Makes one step of SGD over all tensors in one kernel (`at::_fused_sgd_`):
/// buffer ← momentum · buffer + gradient, weight ← weight − lr · buffer.
///
/// # Errors
/// [`LibtorchError::Call`] with libtorch's message, such as for unequal shapes.
///
/// # Panics
/// When the lists differ in length.
pub fn fused_sgd(
    tensors: SgdTensors<'_>,
    settings: SgdStep,
    found_inf: Option<&Tensor>,
) -> Result<(), LibtorchError> {
    let count = tensors.parameters.len();
    let buffers = if settings.momentum == 0.0 { 0 } else { count };
    assert_eq!(tensors.gradients.len(), count, "the lists must run parallel");
    assert_eq!(tensors.buffers.len(), buffers, "with momentum, each parameter has a buffer");
    if count == 0 {
        return Ok(());
    }
    let lists = [tensors.parameters, tensors.gradients, tensors.buffers];
    let [parameters, gradients, buffers] = lists.map(ffi::pointers);
    // SAFETY: the lists hold `count` live tensors for the duration of the call; the shim does
    // not read the buffers where there is no momentum.
    ffi::check(unsafe {
        ffi::bauta_fused_sgd(
            parameters.as_ptr(),
            gradients.as_ptr(),
            buffers.as_ptr(),
            count,
            settings.lr,
            settings.momentum,
            c_int::from(settings.nesterov),
            settings.weight_decay,
            found_inf.map_or(std::ptr::null(), Tensor::as_ptr),
        )
    })
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);
    const SETTINGS: AdamStep =
        AdamStep { lr: 0.1, beta1: 0.9, beta2: 0.95, weight_decay: 0.05, eps: 1e-8 };

    const START: [[f64; 2]; 2] = [[0.5, -1.0], [2.0, 0.25]];
    const GRADIENTS: [[f64; 2]; 2] = [[0.3, -0.2], [1.5, 0.0]];

    fn scalar(value: f64) -> Tensor {
        Tensor::from(value as f32)
    }

    fn list(rows: [[f64; 2]; 2]) -> [Tensor; 2] {
        rows.map(|row| Tensor::from_slice(&row.map(|x| x as f32)))
    }

    /// Calls `step` three times with the parameters and growing gradients, and compares with
    /// `by_hand`, which changes one weight given the step's number, its gradient and its index.
    fn check(
        mut step: impl FnMut(&[Tensor], &[Tensor]),
        mut by_hand: impl FnMut(i32, &mut f64, f64, (usize, usize)),
    ) {
        let parameters = list(START);
        let mut wanted = START;
        for t in 1..=3 {
            let gradients = GRADIENTS.map(|row| row.map(|g| g * f64::from(t)));
            step(&parameters, &list(gradients));
            for (i, row) in wanted.iter_mut().enumerate() {
                for (j, weight) in row.iter_mut().enumerate() {
                    by_hand(t, weight, gradients[i][j], (i, j));
                    let found = parameters[i].double_value(&[j as i64]);
                    assert!((found - *weight).abs() < 1e-5, "step {t}: {found}, not {weight}");
                }
            }
        }
    }

    #[test]
    fn adam_and_adamw_equal_their_formulas() {
        for decoupled in [true, false] {
            let (m, v, count) = (list([[0.0; 2]; 2]), list([[0.0; 2]; 2]), scalar(0.0));
            let (mut first, mut second) = ([[0.0; 2]; 2], [[0.0; 2]; 2]);
            check(
                |parameters, gradients| {
                    let (exp_avgs, exp_avg_sqs, step) = (&m[..], &v[..], &count);
                    let tensors =
                        AdamTensors { parameters, gradients, exp_avgs, exp_avg_sqs, step };
                    let step = if decoupled { fused_adamw } else { fused_adam };
                    step(tensors, SETTINGS, Some(&scalar(0.0))).unwrap();
                },
                |t, x, g, (i, j)| {
                    let g = if decoupled { g } else { g + 0.05 * *x };
                    first[i][j] = 0.9 * first[i][j] + 0.1 * g;
                    second[i][j] = 0.95 * second[i][j] + 0.05 * g * g;
                    let m_hat = first[i][j] / (1.0 - 0.9_f64.powi(t));
                    let v_hat: f64 = second[i][j] / (1.0 - 0.95_f64.powi(t));
                    if decoupled {
                        *x -= 0.1 * 0.05 * *x;
                    }
                    *x -= 0.1 * m_hat / (v_hat.sqrt() + 1e-8);
                },
            );
        }
    }

    #[test]
    fn sgd_equals_its_formula_with_and_without_momentum() {
        for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
            let settings = SgdStep { lr: 0.1, momentum, nesterov, weight_decay: 0.05 };
            let buffers = list([[0.0; 2]; 2]);
            let mut velocity = [[0.0; 2]; 2];
            check(
                |parameters, gradients| {
                    let buffers = if momentum == 0.0 { &[] } else { &buffers[..] };
                    let tensors = SgdTensors { parameters, gradients, buffers };
                    fused_sgd(tensors, settings, Some(&scalar(0.0))).unwrap();
                },
                |_, x, g, (i, j)| {
                    let g = g + 0.05 * *x;
                    velocity[i][j] = momentum * velocity[i][j] + g;
                    let along =
                        if nesterov { g + momentum * velocity[i][j] } else { velocity[i][j] };
                    *x -= 0.1 * along;
                },
            );
        }
    }

    #[test]
    fn a_step_that_found_infinity_changes_nothing() {
        let ones = || Tensor::ones([3], CPU);
        let zeros = || Tensor::zeros([3], CPU);
        let (parameters, moments, seconds) = ([ones()], [zeros()], [zeros()]);
        let gradients = [Tensor::full([3], f64::NAN, CPU)];
        let found_inf = scalar(1.0);
        for step in [fused_adamw, fused_adam] {
            let tensors = AdamTensors {
                parameters: &parameters,
                gradients: &gradients,
                exp_avgs: &moments,
                exp_avg_sqs: &seconds,
                step: &scalar(0.0),
            };
            step(tensors, SETTINGS, Some(&found_inf)).unwrap();
        }
        for momentum in [0.0, 0.9] {
            let settings = SgdStep { lr: 0.1, momentum, nesterov: false, weight_decay: 0.0 };
            let buffers = if momentum == 0.0 { &[] } else { &moments[..] };
            let tensors = SgdTensors { parameters: &parameters, gradients: &gradients, buffers };
            fused_sgd(tensors, settings, Some(&found_inf)).unwrap();
        }
        assert_eq!(parameters[0], ones());
        assert_eq!((&moments[0], &seconds[0]), (&zeros(), &zeros()));
    }

    #[test]
    fn a_gradient_of_another_shape_or_layout_is_an_error() {
        let settings = SgdStep { lr: 0.1, momentum: 0.0, nesterov: false, weight_decay: 0.0 };
        let parameters = [Tensor::ones([2, 3], CPU)];
        let refuse = |gradient: Tensor, message: &str| {
            let gradients = [gradient];
            let buffers: &[Tensor] = &[];
            let tensors = SgdTensors { parameters: &parameters, gradients: &gradients, buffers };
            let error = fused_sgd(tensors, settings, None).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
            let moments = [Tensor::zeros([2, 3], CPU)];
            let tensors = AdamTensors {
                parameters: &parameters,
                gradients: &gradients,
                exp_avgs: &moments,
                exp_avg_sqs: &moments,
                step: &scalar(0.0),
            };
            for step in [fused_adamw, fused_adam] {
                assert!(step(tensors, SETTINGS, None).is_err());
            }
        };
        refuse(Tensor::ones([2, 2], CPU), "gradient 0 is Float[2, 2], its parameter Float[2, 3]");
        refuse(Tensor::ones([3, 2], CPU).transpose(0, 1), "must be contiguous");
        refuse(Tensor::ones([2, 3], (Kind::Double, Device::Cpu)), "gradient 0 is Double");
        assert_eq!(parameters[0], Tensor::ones([2, 3], CPU));
    }
}
