//! Multi-tensor operations: one call for all parameters of a model.

use tch::Tensor;

use crate::{LibtorchError, ffi};

/// Settings of one AdamW step (Loshchilov & Hutter, decoupled weight decay).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay rate of the first moment.
    pub beta1: f64,
    /// Decay rate of the second moment.
    pub beta2: f64,
    /// Decoupled weight decay, multiplied by `lr`.
    pub weight_decay: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
}

/// The tensors of one AdamW step; the four lists run parallel.
#[derive(Clone, Copy, Debug)]
pub struct AdamWTensors<'a> {
    /// Parameters, overwritten.
    pub parameters: &'a [Tensor],
    /// Their gradients.
    pub gradients: &'a [Tensor],
    /// First moments, overwritten.
    pub exp_avgs: &'a [Tensor],
    /// Second moments, overwritten.
    pub exp_avg_sqs: &'a [Tensor],
    /// Count of the steps made before (f32 scalar), raised by one.
    pub step: &'a Tensor,
}

/// Makes one AdamW step over all tensors in one kernel (`at::_fused_adamw_`).
///
/// Where `found_inf` (an f32 scalar on the device) is 1, nothing is changed:
/// so a step with a non-finite loss is skipped without asking the host.
///
/// # Errors
/// [`LibtorchError::Call`] with libtorch's message, such as for unequal shapes.
///
/// # Panics
/// When the four lists differ in length.
pub fn fused_adamw(
    tensors: AdamWTensors<'_>,
    settings: AdamW,
    found_inf: Option<&Tensor>,
) -> Result<(), LibtorchError> {
    let count = tensors.parameters.len();
    let lists = [tensors.parameters, tensors.gradients, tensors.exp_avgs, tensors.exp_avg_sqs];
    assert!(lists.iter().all(|list| list.len() == count), "AdamW lists must run parallel");
    if count == 0 {
        return Ok(());
    }
    let [parameters, gradients, exp_avgs, exp_avg_sqs] = lists.map(ffi::pointers);
    // The kernel only reads the count; PyTorch's front end raises it first, too.
    let _ = tensors.step.shallow_clone().g_add_scalar_(1.0);
    // One count serves all parameters, because they are always stepped together.
    let steps = vec![tensors.step.as_ptr(); count];
    // SAFETY: all lists hold `count` live tensors for the duration of the call.
    ffi::check(unsafe {
        ffi::bauta_fused_adamw(
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

/// Euclidean norm over all elements of all tensors, as a scalar on their device
/// (`at::_foreach_norm`, then the norm of the norms).
///
/// # Errors
/// [`LibtorchError::Call`] with libtorch's message, such as for an empty list.
pub fn global_norm(tensors: &[Tensor]) -> Result<Tensor, LibtorchError> {
    let list = ffi::pointers(tensors);
    let mut norm = std::ptr::null_mut();
    // SAFETY: the list holds live tensors; on success the shim has written an
    // owned tensor pointer, which is taken over once.
    unsafe {
        ffi::check(ffi::bauta_foreach_norm(list.as_ptr(), list.len(), &raw mut norm))?;
        Ok(Tensor::from_ptr(norm))
    }
}

/// Multiplies every tensor in place by a scalar tensor (`at::_foreach_mul_`).
///
/// # Errors
/// [`LibtorchError::Call`] with libtorch's message.
pub fn scale_all(tensors: &[Tensor], factor: &Tensor) -> Result<(), LibtorchError> {
    let list = ffi::pointers(tensors);
    // SAFETY: the list and the factor are live tensors.
    ffi::check(unsafe { ffi::bauta_foreach_mul(list.as_ptr(), list.len(), factor.as_ptr()) })
}

/// Moves every start by `weight` towards its end, in place (`at::_foreach_lerp_`).
///
/// # Errors
/// [`LibtorchError::Call`] with libtorch's message, such as for unequal shapes.
///
/// # Panics
/// When the lists differ in length.
pub fn lerp_all(starts: &[Tensor], ends: &[Tensor], weight: f64) -> Result<(), LibtorchError> {
    assert_eq!(starts.len(), ends.len(), "lerp lists must run parallel");
    let (start_list, end_list) = (ffi::pointers(starts), ffi::pointers(ends));
    // SAFETY: both lists hold live tensors and are of one length.
    ffi::check(unsafe {
        ffi::bauta_foreach_lerp(start_list.as_ptr(), end_list.as_ptr(), starts.len(), weight)
    })
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);
    const SETTINGS: AdamW =
        AdamW { lr: 0.1, beta1: 0.9, beta2: 0.95, weight_decay: 0.05, eps: 1e-8 };

    fn scalar(value: f64) -> Tensor {
        Tensor::from(value as f32)
    }

    #[test]
    fn adamw_equals_its_formula() {
        let start = [[0.5_f64, -1.0], [2.0, 0.25]];
        let gradients = [[0.3_f64, -0.2], [1.5, 0.0]];
        let list = |rows: [[f64; 2]; 2]| rows.map(|row| Tensor::from_slice(&row.map(|x| x as f32)));
        let parameters = list(start);
        let (m, v) = (list([[0.0; 2]; 2]), list([[0.0; 2]; 2]));
        let step = scalar(0.0);
        let (mut x, mut first, mut second) = (start, [[0.0; 2]; 2], [[0.0; 2]; 2]);
        for t in 1..=3 {
            let scaled = gradients.map(|row| row.map(|g| g * f64::from(t)));
            let tensors = AdamWTensors {
                parameters: &parameters,
                gradients: &list(scaled),
                exp_avgs: &m,
                exp_avg_sqs: &v,
                step: &step,
            };
            fused_adamw(tensors, SETTINGS, Some(&scalar(0.0))).unwrap();
            for i in 0..2 {
                for j in 0..2 {
                    let g = scaled[i][j];
                    first[i][j] = 0.9 * first[i][j] + 0.1 * g;
                    second[i][j] = 0.95 * second[i][j] + 0.05 * g * g;
                    let m_hat = first[i][j] / (1.0 - 0.9_f64.powi(t));
                    let v_hat = second[i][j] / (1.0 - 0.95_f64.powi(t));
                    x[i][j] -= 0.1 * 0.05 * x[i][j];
                    x[i][j] -= 0.1 * m_hat / (v_hat.sqrt() + 1e-8);
                }
            }
        }
        for (row, parameter) in x.iter().zip(&parameters) {
            for (place, wanted) in row.iter().enumerate() {
                assert!((parameter.double_value(&[place as i64]) - wanted).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn a_step_that_found_infinity_changes_nothing() {
        let parameters = [Tensor::ones([3], CPU)];
        let moments = [Tensor::zeros([3], CPU)];
        let second = [Tensor::zeros([3], CPU)];
        let tensors = AdamWTensors {
            parameters: &parameters,
            gradients: &[Tensor::full([3], f64::NAN, CPU)],
            exp_avgs: &moments,
            exp_avg_sqs: &second,
            step: &scalar(0.0),
        };
        fused_adamw(tensors, SETTINGS, Some(&scalar(1.0))).unwrap();
        assert_eq!(parameters[0], Tensor::ones([3], CPU));
        assert_eq!(moments[0], Tensor::zeros([3], CPU));
    }

    #[test]
    fn norms_scales_and_averages_go_over_all_tensors() {
        let a = [Tensor::from_slice(&[3.0_f32]), Tensor::from_slice(&[0.0_f32, 4.0])];
        assert_eq!(global_norm(&a).unwrap().double_value(&[]), 5.0);
        scale_all(&a, &scalar(0.5)).unwrap();
        assert_eq!(global_norm(&a).unwrap().double_value(&[]), 2.5);
        let b = [Tensor::from_slice(&[5.5_f32]), Tensor::from_slice(&[1.0_f32, 2.0])];
        lerp_all(&a, &b, 0.25).unwrap();
        assert_eq!(a[0].double_value(&[0]), 2.5);
        assert_eq!(a[1].double_value(&[0]), 0.25);
    }

    #[test]
    fn a_refusal_is_an_error() {
        let ends = [Tensor::ones([3], CPU)];
        let error = lerp_all(&[Tensor::ones([2], CPU)], &ends, 0.5).unwrap_err();
        assert!(error.to_string().starts_with("libtorch: "), "{error}");
    }
}
