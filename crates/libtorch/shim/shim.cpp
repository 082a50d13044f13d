// What tch does not expose of libtorch 2.11, behind a C interface.
//
// Tensors cross as `at::Tensor *`, the pointers that tch holds. A function
// returns null, or a message that the caller frees with `bauta_free`; no C++
// exception crosses the border.

#include <climits>
#include <dlfcn.h>
#include <cstdlib>
#include <optional>
#include <vector>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "guarded.h"

namespace {

std::vector<at::Tensor> list(at::Tensor *const *tensors, size_t count) {
  std::vector<at::Tensor> result;
  result.reserve(count);
  for (size_t i = 0; i < count; ++i)
    result.push_back(*tensors[i]);
  return result;
}

// Refuses tensors that are not laid out like their parameters: the fused kernels
// go through both as plain memory, whatever their shapes.
void check_alike(const std::vector<at::Tensor> &parameters,
                 const std::vector<at::Tensor> &others, const char *what) {
  for (size_t i = 0; i < others.size(); ++i) {
    const auto &p = parameters[i], &o = others[i];
    TORCH_CHECK(o.sizes() == p.sizes() && o.scalar_type() == p.scalar_type(),
                what, " ", i, " is ", o.scalar_type(), o.sizes(),
                ", its parameter ", p.scalar_type(), p.sizes());
    TORCH_CHECK(p.is_contiguous() && o.is_contiguous(), what, " ", i,
                " and its parameter must be contiguous");
  }
}

std::optional<at::Tensor> optional(const at::Tensor *tensor) {
  return tensor ? std::optional<at::Tensor>(*tensor) : std::nullopt;
}

at::DeviceType device_type(int cuda) { return cuda ? at::kCUDA : at::kCPU; }

} // namespace

extern "C" {

void bauta_free(char *message) { free(message); }

// Adam; with `decoupled`, AdamW.
char *bauta_fused_adam(int decoupled, at::Tensor *const *parameters,
                       at::Tensor *const *gradients,
                       at::Tensor *const *exp_avgs,
                       at::Tensor *const *exp_avg_sqs,
                       at::Tensor *const *steps, size_t count, double lr,
                       double beta1, double beta2, double weight_decay,
                       double eps, const at::Tensor *found_inf) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    auto p = list(parameters, count), g = list(gradients, count),
         m = list(exp_avgs, count), v = list(exp_avg_sqs, count);
    check_alike(p, g, "gradient");
    check_alike(p, m, "first moment");
    check_alike(p, v, "second moment");
    auto step = [&](auto kernel) {
      kernel(p, g, m, v, at::TensorList(), list(steps, count), lr, beta1, beta2, weight_decay, eps,
             /*amsgrad=*/false, /*maximize=*/false, /*grad_scale=*/std::nullopt,
             optional(found_inf));
    };
    if (decoupled)
      step([](auto &&...all) { at::_fused_adamw_(all...); });
    else
      step([](auto &&...all) { at::_fused_adam_(all...); });
  });
}

// Without momentum there are no buffers, and `buffers` is not read.
char *bauta_fused_sgd(at::Tensor *const *parameters,
                      at::Tensor *const *gradients, at::Tensor *const *buffers,
                      size_t count, double lr, double momentum, int nesterov,
                      double weight_decay, const at::Tensor *found_inf) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    auto p = list(parameters, count), g = list(gradients, count),
         b = list(buffers, momentum == 0 ? 0 : count);
    check_alike(p, g, "gradient");
    check_alike(p, b, "momentum buffer");
    // A buffer of zeros needs no first step of its own.
    at::_fused_sgd_(p, g, b, weight_decay, momentum, lr, /*dampening=*/0, nesterov,
                    /*maximize=*/false, /*is_first_step=*/false,
                    /*grad_scale=*/std::nullopt, optional(found_inf));
  });
}

char *bauta_foreach_norm(at::Tensor *const *tensors, size_t count,
                         at::Tensor **norm) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    auto norms = at::_foreach_norm(list(tensors, count), 2);
    *norm = new at::Tensor(at::stack(norms).norm());
  });
}

char *bauta_foreach_mul(at::Tensor *const *tensors, size_t count,
                        const at::Tensor *factor) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    at::_foreach_mul_(list(tensors, count), *factor);
  });
}

char *bauta_foreach_lerp(at::Tensor *const *starts, at::Tensor *const *ends,
                         size_t count, double weight) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    at::_foreach_lerp_(list(starts, count), list(ends, count), weight);
  });
}

char *bauta_autocast_enter(int cuda, int *was_enabled, int *old_dtype) {
  return guarded([&] {
    auto device = device_type(cuda);
    *was_enabled = at::autocast::is_autocast_enabled(device);
    *old_dtype = static_cast<int>(at::autocast::get_autocast_dtype(device));
    at::autocast::increment_nesting();
    at::autocast::set_autocast_enabled(device, true);
    at::autocast::set_autocast_dtype(device, at::kBFloat16);
  });
}

char *bauta_autocast_exit(int cuda, int was_enabled, int old_dtype) {
  return guarded([&] {
    auto device = device_type(cuda);
    if (at::autocast::decrement_nesting() == 0)
      at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device, was_enabled);
    at::autocast::set_autocast_dtype(device,
                                     static_cast<at::ScalarType>(old_dtype));
  });
}

void bauta_keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
#endif
}

void bauta_one_thread_here() {
  // The process's number is taken once for each thread; then it is this thread's own.
  at::get_num_threads();
  using Set = void (*)(int);
  if (auto set = reinterpret_cast<Set>(dlsym(RTLD_DEFAULT, "omp_set_num_threads")))
    set(1);
}

char *bauta_deterministic(int enabled) {
  return guarded([&] {
    at::globalContext().setDeterministicAlgorithms(enabled, /*warn_only=*/true);
  });
}
}
