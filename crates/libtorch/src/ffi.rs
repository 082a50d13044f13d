//! The shim's C interface (`shim/shim.cpp`), and its errors as values.

use std::ffi::{CStr, c_char, c_int, c_void};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::LibtorchError;

pub(crate) type TensorList = *const *const C_tensor;

/// Calls a closure on tensors; returns an owned tensor, or null when the closure panicked.
pub(crate) type Forward = unsafe extern "C" fn(*mut c_void, TensorList, usize) -> *mut C_tensor;

unsafe extern "C" {
    pub(crate) fn bauta_free(message: *mut c_char);
    pub(crate) fn bauta_fused_adam(
        decoupled: c_int,
        parameters: TensorList,
        gradients: TensorList,
        exp_avgs: TensorList,
        exp_avg_sqs: TensorList,
        steps: TensorList,
        count: usize,
        lr: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
        found_inf: *const C_tensor,
    ) -> *mut c_char;
    pub(crate) fn bauta_fused_sgd(
        parameters: TensorList,
        gradients: TensorList,
        buffers: TensorList,
        count: usize,
        lr: f64,
        momentum: f64,
        nesterov: c_int,
        weight_decay: f64,
        found_inf: *const C_tensor,
    ) -> *mut c_char;
    pub(crate) fn bauta_foreach_norm(
        tensors: TensorList,
        count: usize,
        norm: *mut *mut C_tensor,
    ) -> *mut c_char;
    pub(crate) fn bauta_foreach_mul(
        tensors: TensorList,
        count: usize,
        factor: *const C_tensor,
    ) -> *mut c_char;
    pub(crate) fn bauta_foreach_lerp(
        starts: TensorList,
        ends: TensorList,
        count: usize,
        weight: f64,
    ) -> *mut c_char;
    pub(crate) fn bauta_autocast_enter(
        cuda: c_int,
        was_enabled: *mut c_int,
        old_dtype: *mut c_int,
    ) -> *mut c_char;
    pub(crate) fn bauta_autocast_exit(
        cuda: c_int,
        was_enabled: c_int,
        old_dtype: c_int,
    ) -> *mut c_char;
    pub(crate) fn bauta_linear(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        result: *mut *mut C_tensor,
    ) -> *mut c_char;
    pub(crate) fn bauta_attention(
        qkv: *const C_tensor,
        heads: i64,
        bias: *const C_tensor,
        result: *mut *mut C_tensor,
    ) -> *mut c_char;
    pub(crate) fn bauta_checkpoint(
        inputs: TensorList,
        input_count: usize,
        parameters: TensorList,
        parameter_count: usize,
        closure: *mut c_void,
        call: Forward,
        drop: unsafe extern "C" fn(*mut c_void),
        result: *mut *mut C_tensor,
    ) -> *mut c_char;
    pub(crate) fn bauta_store_open(
        host: *const c_char,
        port: u16,
        serves: c_int,
        timeout_ms: i64,
        prefix: *const c_char,
        result: *mut *mut c_void,
    ) -> *mut c_char;
    pub(crate) fn bauta_store_set(
        store: *mut c_void,
        key: *const c_char,
        value: *const c_char,
    ) -> *mut c_char;
    pub(crate) fn bauta_store_get(
        store: *mut c_void,
        key: *const c_char,
        timeout_ms: i64,
        value: *mut *mut c_char,
    ) -> *mut c_char;
    pub(crate) fn bauta_store_close(store: *mut c_void);
    pub(crate) fn bauta_group_open(
        store: *mut c_void,
        rank: c_int,
        size: c_int,
        timeout_ms: i64,
        result: *mut *mut c_void,
    ) -> *mut c_char;
    pub(crate) fn bauta_group_sum(
        group: *mut c_void,
        tensors: TensorList,
        count: usize,
    ) -> *mut c_char;
    pub(crate) fn bauta_group_begin_sum(
        group: *mut c_void,
        tensor: *const C_tensor,
        sum: *mut *mut c_void,
    ) -> *mut c_char;
    pub(crate) fn bauta_sum_wait(sum: *mut c_void) -> *mut c_char;
    pub(crate) fn bauta_sum_close(sum: *mut c_void);
    pub(crate) fn bauta_group_broadcast(
        group: *mut c_void,
        tensor: *const C_tensor,
        root: c_int,
    ) -> *mut c_char;
    pub(crate) fn bauta_group_close(group: *mut c_void);
    pub(crate) fn bauta_means_open(
        parameters: TensorList,
        count: usize,
        ends: *const usize,
        bucket_count: usize,
        result: *mut *mut c_void,
    ) -> *mut c_char;
    pub(crate) fn bauta_means_begin(
        means: *mut c_void,
        group: *const c_void,
        before: TensorList,
        count: usize,
    ) -> *mut c_char;
    pub(crate) fn bauta_means_finish(
        means: *mut c_void,
        results: *mut *mut C_tensor,
    ) -> *mut c_char;
    pub(crate) fn bauta_means_close(means: *mut c_void);
    pub(crate) fn bauta_keep_freed_memory();
    pub(crate) fn bauta_one_thread_here();
    pub(crate) fn bauta_deterministic(enabled: c_int) -> *mut c_char;
}

/// Turns the shim's answer into a result and frees its message.
pub(crate) fn check(message: *mut c_char) -> Result<(), LibtorchError> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: a non-null answer is a NUL-terminated string that the shim
    // allocated and that is freed once, here.
    let text = unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        bauta_free(message);
        text
    };
    let first = text.lines().next().unwrap_or_default().to_owned();
    Err(LibtorchError::Call(first))
}

/// Pointers to tensors, valid while the tensors live.
pub(crate) fn pointers(tensors: &[Tensor]) -> Vec<*const C_tensor> {
    tensors.iter().map(Tensor::as_ptr).collect()
}
