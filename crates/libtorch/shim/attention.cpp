// Multi-head self-attention from the packed product of queries, keys and values.
//
// libtorch's fused CPU kernel goes over blocks of long sequences. Short ones,
// as masking leaves them, it serves badly, its bfloat16 backward worst; there
// four batched products and a softmax are several times faster, and the matrix
// of probabilities is small.

#include <ATen/ops/_softmax_backward_data.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>

#include "guarded.h"

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The most tokens for which batched products are taken.
constexpr int64_t SHORT = 128;

struct ShortAttention : torch::autograd::Function<ShortAttention> {
  // qkv [B, N, 3D] -> [B, N, D].
  static at::Tensor forward(AutogradContext *context, const at::Tensor &qkv,
                            int64_t heads) {
    // The operands have the type that autocast gave them.
    c10::impl::ExcludeDispatchKeyGuard as_they_are(c10::autocast_dispatch_keyset);
    auto batch = qkv.size(0), tokens = qkv.size(1), dim = qkv.size(2) / 3;
    auto width = dim / heads;
    auto packed = qkv.reshape({batch, tokens, 3, heads, width})
                      .permute({2, 0, 3, 1, 4})
                      .contiguous()
                      .view({3, batch * heads, tokens, width});
    auto q = packed[0], k = packed[1], v = packed[2];
    auto scale = 1 / std::sqrt(static_cast<double>(width));
    auto p = scaled_bmm(q, k.transpose(1, 2), scale).softmax(-1);
    context->save_for_backward({packed, p});
    context->saved_data["heads"] = heads;
    return at::bmm(p, v)
        .view({batch, heads, tokens, width})
        .transpose(1, 2)
        .reshape({batch, tokens, dim});
  }

  static variable_list backward(AutogradContext *context,
                                variable_list gradients) {
    auto saved = context->get_saved_variables();
    const auto &packed = saved[0], &p = saved[1];
    auto q = packed[0], k = packed[1], v = packed[2];
    auto heads = context->saved_data["heads"].toInt();
    auto tokens = packed.size(2), width = packed.size(3);
    auto batch = packed.size(1) / heads;
    auto scale = 1 / std::sqrt(static_cast<double>(width));
    auto of_heads = gradients[0]
                        .view({batch, tokens, heads, width})
                        .transpose(1, 2)
                        .reshape({batch * heads, tokens, width});
    auto of_packed = at::empty(packed.sizes(), packed.options());
    auto of_q = of_packed[0], of_k = of_packed[1], of_v = of_packed[2];
    at::bmm_out(of_v, p.transpose(1, 2), of_heads);
    auto of_p = at::bmm(of_heads, v.transpose(1, 2));
    auto of_scores = at::_softmax_backward_data(of_p, p, -1, p.scalar_type());
    at::baddbmm_out(of_q, of_q, of_scores, k, /*beta=*/0, scale);
    at::baddbmm_out(of_k, of_k, of_scores.transpose(1, 2), q, /*beta=*/0, scale);
    auto of_qkv = of_packed.view({3, batch, heads, tokens, width})
                      .permute({1, 3, 0, 2, 4})
                      .reshape({batch, tokens, 3 * heads * width});
    return {of_qkv, at::Tensor()};
  }

  static at::Tensor scaled_bmm(const at::Tensor &a, const at::Tensor &b,
                               double scale) {
    auto result = at::empty({a.size(0), a.size(1), b.size(2)}, a.options());
    return at::baddbmm_out(result, result, a, b, /*beta=*/0, scale);
  }
};

at::Tensor fused_attention(const at::Tensor &qkv, int64_t heads) {
  auto batch = qkv.size(0), tokens = qkv.size(1), dim = qkv.size(2) / 3;
  auto parts = qkv.view({batch, tokens, 3, heads, dim / heads})
                   .permute({2, 0, 3, 1, 4})
                   .unbind(0);
  return at::scaled_dot_product_attention(parts[0], parts[1], parts[2])
      .transpose(1, 2)
      .reshape({batch, tokens, dim});
}

} // namespace

extern "C" char *bauta_attention(const at::Tensor *qkv, int64_t heads,
                                 at::Tensor **result) {
  return guarded([&] {
    TORCH_CHECK(qkv->dim() == 3 && heads > 0 && qkv->size(2) % (3 * heads) == 0,
                "attention takes [B, N, 3D] with D a multiple of ", heads,
                " heads, got ", qkv->sizes());
    bool is_short = qkv->is_cpu() && qkv->size(1) <= SHORT;
    *result = new at::Tensor(is_short ? ShortAttention::apply(*qkv, heads)
                                      : fused_attention(*qkv, heads));
  });
}
