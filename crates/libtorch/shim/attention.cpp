// Multi-head self-attention from the packed product of queries, keys and values.
//
// libtorch's fused CPU kernel goes backwards in bfloat16 more slowly than in
// single precision. Batched products and a softmax over a few heads at a time,
// whose matrices stay in the cache, are two to five times faster. Like the fused
// kernel, this keeps no probabilities for the backward pass, but makes them
// again.

#include <algorithm>
#include <cmath>

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
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

// The most tokens for which heads are gone through in groups.
constexpr int64_t MOST_TOKENS = 512;

// Bytes of a group's matrix of scores, and the most heads in a group.
constexpr int64_t GROUP_BYTES = 1 << 20;
constexpr int64_t GROUP_HEADS = 64;

// Calls body(first head, number of heads) for all groups, on all threads. The
// groups, and with them every bit of the result, do not depend on the threads.
template <typename F> void for_groups(const at::Tensor &packed, F &&body) {
  auto heads = packed.size(1), tokens = packed.size(2);
  auto bytes = tokens * tokens * static_cast<int64_t>(packed.element_size());
  auto size = std::clamp<int64_t>(GROUP_BYTES / bytes, 1, GROUP_HEADS);
  at::parallel_for(0, (heads + size - 1) / size, 1, [&](int64_t from, int64_t to) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    // The operands have the type that autocast gave them.
    c10::impl::ExcludeDispatchKeyGuard as_they_are(c10::autocast_dispatch_keyset);
    for (auto group = from; group < to; ++group)
      body(group * size, std::min(size, heads - group * size));
  });
}

// scale · a · b, batch by batch.
at::Tensor scaled_product(const at::Tensor &a, const at::Tensor &b, double scale) {
  auto result = at::empty({a.size(0), a.size(1), b.size(2)}, a.options());
  return at::baddbmm_out(result, result, a, b, /*beta=*/0, scale);
}

struct GroupedAttention : torch::autograd::Function<GroupedAttention> {
  // qkv [B, N, 3D] -> [B, N, D].
  static at::Tensor forward(AutogradContext *context, const at::Tensor &qkv,
                            int64_t heads) {
    auto batch = qkv.size(0), tokens = qkv.size(1), dim = qkv.size(2) / 3;
    auto width = dim / heads;
    auto scale = 1 / std::sqrt(static_cast<double>(width));
    auto packed = qkv.reshape({batch, tokens, 3, heads, width})
                      .permute({2, 0, 3, 1, 4})
                      .contiguous()
                      .view({3, batch * heads, tokens, width});
    auto result = at::empty({batch * heads, tokens, width}, packed.options());
    for_groups(packed, [&](int64_t first, int64_t count) {
      auto part = packed.narrow(1, first, count);
      auto q = part[0], k = part[1], v = part[2];
      auto p = scaled_product(q, k.transpose(1, 2), scale).softmax(-1);
      auto out = result.narrow(0, first, count);
      at::bmm_out(out, p, v);
    });
    context->save_for_backward({packed});
    context->saved_data["heads"] = heads;
    return result.view({batch, heads, tokens, width})
        .transpose(1, 2)
        .reshape({batch, tokens, dim});
  }

  static variable_list backward(AutogradContext *context,
                                variable_list gradients) {
    const auto packed = context->get_saved_variables()[0];
    auto heads = context->saved_data["heads"].toInt();
    auto tokens = packed.size(2), width = packed.size(3);
    auto batch = packed.size(1) / heads;
    auto scale = 1 / std::sqrt(static_cast<double>(width));
    auto of_result = gradients[0]
                         .reshape({batch, tokens, heads, width})
                         .transpose(1, 2)
                         .contiguous()
                         .view({batch * heads, tokens, width});
    auto of_packed = at::empty(packed.sizes(), packed.options());
    for_groups(packed, [&](int64_t first, int64_t count) {
      auto part = packed.narrow(1, first, count);
      auto of_part = of_packed.narrow(1, first, count);
      auto q = part[0], k = part[1], v = part[2];
      auto of_q = of_part[0], of_k = of_part[1], of_v = of_part[2];
      auto of_out = of_result.narrow(0, first, count);
      auto p = scaled_product(q, k.transpose(1, 2), scale).softmax(-1);
      at::bmm_out(of_v, p.transpose(1, 2), of_out);
      auto of_p = at::bmm(of_out, v.transpose(1, 2));
      auto of_scores = at::_softmax_backward_data(of_p, p, -1, p.scalar_type());
      at::baddbmm_out(of_q, of_q, of_scores, k, /*beta=*/0, scale);
      at::baddbmm_out(of_k, of_k, of_scores.transpose(1, 2), q, /*beta=*/0, scale);
    });
    auto of_qkv = of_packed.view({3, batch, heads, tokens, width})
                      .permute({1, 3, 0, 2, 4})
                      .reshape({batch, tokens, 3 * heads * width});
    return {of_qkv, at::Tensor()};
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
    bool grouped = qkv->is_cpu() && qkv->scalar_type() == at::kBFloat16 &&
                   qkv->size(1) <= MOST_TOKENS && qkv->numel() > 0;
    *result = new at::Tensor(grouped ? GroupedAttention::apply(*qkv, heads)
                                     : fused_attention(*qkv, heads));
  });
}
