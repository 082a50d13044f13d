// The linear layer's three products by oneDNN, in single precision on the CPU.
//
// at::linear goes to MKL there, whose kernels for other makers' processors are
// far from the machine's peak; oneDNN's are not. libtorch reaches oneDNN for
// such products only inside compiled graphs, through the operator used here.

#include <algorithm>
#include <optional>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/sum.h>
#include <torch/csrc/autograd/custom_function.h>

#include "guarded.h"
#include "once.h"

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// x · wᵀ + b.
at::Tensor product(const at::Tensor &x, const at::Tensor &w,
                   const std::optional<at::Tensor> &b) {
  using Pointwise = at::Tensor(
      const at::Tensor &, const at::Tensor &, const std::optional<at::Tensor> &,
      std::string_view, c10::List<std::optional<at::Scalar>>,
      std::optional<std::string_view>);
  static const auto pointwise =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
          .typed<Pointwise>();
  static const c10::List<std::optional<at::Scalar>> no_scalars;
  return pointwise.call(x, w, b, "none", no_scalars, "");
}

// aᵀ of a contiguous a [M, N], laid out anew on all threads: libtorch copies a
// transposed matrix on one, and the others wait.
at::Tensor transposed(const at::Tensor &a) {
  // Tiles fit the registers, and blocks of them the first cache.
  constexpr int64_t TILE = 4, BLOCK = 64;
  const auto rows = a.size(0), columns = a.size(1);
  auto result = at::empty({columns, rows}, a.options());
  const auto *from = a.const_data_ptr<float>();
  auto *to = result.mutable_data_ptr<float>();
  const auto tile = [=](int64_t top, int64_t left) {
    float turned[TILE][TILE];
    for (int64_t i = 0; i < TILE; ++i)
      for (int64_t j = 0; j < TILE; ++j)
        turned[j][i] = from[(top + i) * columns + left + j];
    for (int64_t j = 0; j < TILE; ++j)
      std::copy_n(turned[j], TILE, to + (left + j) * rows + top);
  };
  const auto edge = [=](int64_t top, int64_t bottom, int64_t left, int64_t right) {
    for (auto row = top; row < bottom; ++row)
      for (auto column = left; column < right; ++column)
        to[column * rows + row] = from[row * columns + column];
  };
  const auto blocks = (columns + BLOCK - 1) / BLOCK;
  const auto grain = std::max<int64_t>(1, at::internal::GRAIN_SIZE / (BLOCK * rows));
  at::parallel_for(0, blocks, grain, [&](int64_t begin, int64_t end) {
    const auto first = begin * BLOCK, last = std::min(end * BLOCK, columns);
    for (auto left = first; left < last; left += BLOCK)
      for (int64_t top = 0; top < rows; top += BLOCK)
        for (auto column = left; column < std::min(left + BLOCK, last); column += TILE)
          for (auto row = top; row < std::min(top + BLOCK, rows); row += TILE)
            if (row + TILE <= rows && column + TILE <= columns)
              tile(row, column);
            else
              edge(row, std::min(row + TILE, rows), column, std::min(column + TILE, columns));
  });
  return result;
}

// aᵀ · b of contiguous a [M, N] and b [M, K]. One of the two must be laid out
// anew: the smaller.
at::Tensor transposed_product(const at::Tensor &a, const at::Tensor &b) {
  if (a.size(1) <= b.size(1))
    return product(transposed(a), b.t(), std::nullopt);
  return transposed(product(transposed(b), a.t(), std::nullopt));
}

struct Linear : torch::autograd::Function<Linear> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &x,
                            const at::Tensor &w,
                            const std::optional<at::Tensor> &b) {
    context->save_for_backward({x, w});
    context->saved_data["has_bias"] = b.has_value();
    return product(x, w, b);
  }

  static variable_list backward(AutogradContext *context,
                                variable_list gradients) {
    differentiated_once("a linear layer in single precision on the CPU");
    auto saved = context->get_saved_variables();
    const auto &x = saved[0], &w = saved[1];
    auto rows = gradients[0].reshape({-1, w.size(0)}).contiguous();
    at::Tensor of_x, of_w, of_b;
    if (context->needs_input_grad(0))
      of_x = product(rows, w.t(), std::nullopt).view(x.sizes());
    if (context->needs_input_grad(1))
      of_w = transposed_product(rows, x.reshape({-1, w.size(1)}).contiguous());
    if (context->saved_data["has_bias"].toBool())
      of_b = rows.sum(0);
    return {of_x, of_w, of_b};
  }
};

bool is_for_onednn(const at::Tensor &x, const at::Tensor &w) {
  return x.is_cpu() && x.scalar_type() == at::kFloat &&
         w.scalar_type() == at::kFloat && x.dim() >= 2 && x.numel() > 0 &&
         at::globalContext().userEnabledMkldnn() && at::hasMKLDNN() &&
         !at::autocast::is_autocast_enabled(at::kCPU);
}

} // namespace

extern "C" char *bauta_linear(const at::Tensor *x, const at::Tensor *weight,
                              const at::Tensor *bias, at::Tensor **result) {
  return guarded([&] {
    auto b = bias ? std::optional<at::Tensor>(*bias) : std::nullopt;
    *result = new at::Tensor(is_for_onednn(*x, *weight)
                                 ? Linear::apply(*x, *weight, b)
                                 : at::linear(*x, *weight, b));
  });
}
