// Multi-head self-attention from the packed product of queries, keys and values.
//
// libtorch's fused CPU kernel goes backwards in bfloat16 more slowly than in
// single precision, and none of its kernels to a bias on the scores. Batched
// products and a softmax over a few heads at a time, whose matrices stay in the
// cache, are two to five times faster. Like the fused kernel, this keeps no
// probabilities for the backward pass, but makes them again.

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
#include <ATen/ops/sum.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>

#include "guarded.h"
#include "once.h"

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The most tokens for which heads are gone through in groups.
constexpr int64_t MOST_TOKENS = 512;

// Bytes of a group's matrix of scores, and the most heads in a group.
constexpr int64_t GROUP_BYTES = 1 << 20;
constexpr int64_t GROUP_HEADS = 64;

// Matrices of one head, some samples at a time. What they are, and with them every bit
// of the result, does not depend on the threads.
struct Groups {
  int64_t heads, samples, size, per_head;

  // Of `packed`, [3, heads * samples, tokens, width].
  Groups(const at::Tensor &packed, int64_t heads)
      : heads(heads), samples(packed.size(1) / heads) {
    auto tokens = packed.size(2);
    auto bytes = tokens * tokens * static_cast<int64_t>(packed.element_size());
    size = std::clamp<int64_t>(GROUP_BYTES / bytes, 1, GROUP_HEADS);
    per_head = (samples + size - 1) / size;
  }

  // Calls body(group, its head, its first matrix, their number) on all threads.
  template <typename F> void for_each(F &&body) const {
    at::parallel_for(0, heads * per_head, 1, [&](int64_t from, int64_t to) {
      at::AutoDispatchBelowADInplaceOrView no_autograd;
      // The operands have the type that autocast gave them.
      c10::impl::ExcludeDispatchKeyGuard as_they_are(c10::autocast_dispatch_keyset);
      for (auto group = from; group < to; ++group) {
        auto head = group / per_head, first = group % per_head * size;
        auto count = std::min(size, samples - first);
        body(group, head, head * samples + first, count);
      }
    });
  }
};

// scale · a · b, batch by batch.
at::Tensor scaled_product(const at::Tensor &a, const at::Tensor &b, double scale) {
  auto result = at::empty({a.size(0), a.size(1), b.size(2)}, a.options());
  return at::baddbmm_out(result, result, a, b, /*beta=*/0, scale);
}

// softmax(scale · q · kᵀ + bias), batch by batch; bias is [N, N] or undefined.
at::Tensor probabilities(const at::Tensor &q, const at::Tensor &k, double scale,
                         const at::Tensor &bias) {
  auto scores = scaled_product(q, k.transpose(1, 2), scale);
  if (bias.defined())
    scores.add_(bias);
  return scores.softmax(-1);
}

struct GroupedAttention : torch::autograd::Function<GroupedAttention> {
  // qkv [B, N, 3D], biases [1, H, N, N] -> [B, N, D].
  static at::Tensor forward(AutogradContext *context, const at::Tensor &qkv,
                            int64_t heads,
                            const std::optional<at::Tensor> &biases) {
    const auto bias = biases.value_or(at::Tensor());
    auto batch = qkv.size(0), tokens = qkv.size(1), dim = qkv.size(2) / 3;
    auto width = dim / heads;
    auto scale = 1 / std::sqrt(static_cast<double>(width));
    // Head by head, so that a group shares its bias.
    auto packed = qkv.reshape({batch, tokens, 3, heads, width})
                      .permute({2, 3, 0, 1, 4})
                      .contiguous()
                      .view({3, heads * batch, tokens, width});
    auto result = at::empty({heads * batch, tokens, width}, packed.options());
    Groups(packed, heads).for_each([&](int64_t, int64_t head, int64_t first, int64_t count) {
      auto part = packed.narrow(1, first, count);
      auto of_head = bias.defined() ? bias[0][head] : bias;
      auto p = probabilities(part[0], part[1], scale, of_head);
      auto out = result.narrow(0, first, count);
      at::bmm_out(out, p, part[2]);
    });
    context->save_for_backward({packed, bias});
    context->saved_data["heads"] = heads;
    return result.view({heads, batch, tokens, width})
        .permute({1, 2, 0, 3})
        .reshape({batch, tokens, dim});
  }

  static variable_list backward(AutogradContext *context,
                                variable_list gradients) {
    differentiated_once("attention on the CPU in bfloat16 or with a bias");
    const auto saved = context->get_saved_variables();
    const auto packed = saved[0], bias = saved[1];
    auto heads = context->saved_data["heads"].toInt();
    auto tokens = packed.size(2), width = packed.size(3);
    auto batch = packed.size(1) / heads;
    auto scale = 1 / std::sqrt(static_cast<double>(width));
    auto of_result = gradients[0]
                         .reshape({batch, tokens, heads, width})
                         .permute({2, 0, 1, 3})
                         .contiguous()
                         .view({heads * batch, tokens, width});
    auto of_packed = at::empty(packed.sizes(), packed.options());
    Groups groups(packed, heads);
    // A sum a group, so that the order of additions does not depend on the threads.
    bool of_bias_wanted = bias.defined() && context->needs_input_grad(1);
    at::Tensor of_bias;
    if (of_bias_wanted)
      of_bias = at::empty({heads * groups.per_head, tokens, tokens},
                          packed.options().dtype(at::kFloat));
    groups.for_each([&](int64_t group, int64_t head, int64_t first, int64_t count) {
      auto part = packed.narrow(1, first, count);
      auto of_part = of_packed.narrow(1, first, count);
      auto q = part[0], k = part[1], v = part[2];
      auto of_q = of_part[0], of_k = of_part[1], of_v = of_part[2];
      auto of_out = of_result.narrow(0, first, count);
      auto p = probabilities(q, k, scale, bias.defined() ? bias[0][head] : bias);
      at::bmm_out(of_v, p.transpose(1, 2), of_out);
      auto of_p = at::bmm(of_out, v.transpose(1, 2));
      auto of_scores = at::_softmax_backward_data(of_p, p, -1, p.scalar_type());
      at::baddbmm_out(of_q, of_q, of_scores, k, /*beta=*/0, scale);
      at::baddbmm_out(of_k, of_k, of_scores.transpose(1, 2), q, /*beta=*/0, scale);
      if (of_bias_wanted) {
        auto sum = of_bias[group];
        at::sum_out(sum, of_scores, 0, /*keepdim=*/false, at::kFloat);
      }
    });
    auto of_qkv = of_packed.view({3, heads, batch, tokens, width})
                      .permute({2, 3, 0, 1, 4})
                      .reshape({batch, tokens, 3 * heads * width});
    if (of_bias_wanted)
      of_bias = of_bias.view({1, heads, groups.per_head, tokens, tokens})
                    .sum(2)
                    .to(bias.scalar_type());
    return {of_qkv, at::Tensor(), of_bias};
  }
};

at::Tensor fused_attention(const at::Tensor &qkv, int64_t heads,
                           const std::optional<at::Tensor> &biases) {
  auto batch = qkv.size(0), tokens = qkv.size(1), dim = qkv.size(2) / 3;
  auto parts = qkv.view({batch, tokens, 3, heads, dim / heads})
                   .permute({2, 0, 3, 1, 4})
                   .unbind(0);
  return at::scaled_dot_product_attention(parts[0], parts[1], parts[2], biases)
      .transpose(1, 2)
      .reshape({batch, tokens, dim});
}

} // namespace

extern "C" char *bauta_attention(const at::Tensor *qkv, int64_t heads,
                                 const at::Tensor *bias, at::Tensor **result) {
  return guarded([&] {
    TORCH_CHECK(qkv->dim() == 3 && heads > 0 && qkv->size(2) % (3 * heads) == 0,
                "attention takes [B, N, 3D] with D a multiple of ", heads,
                " heads, got ", qkv->sizes());
    auto tokens = qkv->size(1);
    // Numbers of one kind: under autocast the products have fewer bits.
    std::optional<at::Tensor> biases;
    if (bias)
      biases = bias->to(qkv->scalar_type());
    TORCH_CHECK(!bias || bias->sizes() == at::IntArrayRef({1, heads, tokens, tokens}),
                "the bias of ", heads, " heads on ", tokens, " tokens is [1, ", heads, ", ",
                tokens, ", ", tokens, "], got ", bias ? bias->sizes() : at::IntArrayRef());
    bool grouped = qkv->is_cpu() && tokens <= MOST_TOKENS && qkv->numel() > 0 &&
                   (bias || qkv->scalar_type() == at::kBFloat16);
    *result = new at::Tensor(grouped ? GroupedAttention::apply(*qkv, heads, biases)
                                     : fused_attention(*qkv, heads, biases));
  });
}
