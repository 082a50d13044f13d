// Gradient checkpointing: a function whose backward pass computes it again.
//
// As torch.utils.checkpoint does it, with one difference: the parameters are
// inputs of the node, so that gradients can be asked for, instead of being
// accumulated in the parameters.

#include <stdexcept>
#include <vector>

#include <ATen/autocast_mode.h>
#include <ATen/core/ivalue.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "guarded.h"
#include "nested.h"
#include "once.h"

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The caller's closure, and how it is called and dropped.
struct Closure : torch::CustomClassHolder {
  using Call = at::Tensor *(*)(void *, const at::Tensor *const *, size_t);

  void *self;
  Call call;
  void (*drop)(void *);
  at::DeviceType device;
  // Autocast in the forward pass, which the backward pass runs outside of.
  bool autocast;
  at::ScalarType autocast_type;

  Closure(void *self, Call call, void (*drop)(void *), at::DeviceType device)
      : self(self), call(call), drop(drop), device(device),
        autocast(at::autocast::is_autocast_enabled(device)),
        autocast_type(at::autocast::get_autocast_dtype(device)) {}
  ~Closure() override { drop(self); }

  at::Tensor operator()(const variable_list &inputs) const {
    std::vector<const at::Tensor *> pointers;
    for (const auto &input : inputs)
      pointers.push_back(&input);
    auto *made = call(self, pointers.data(), pointers.size());
    if (!made)
      throw std::runtime_error("a checkpointed function panicked");
    at::Tensor result = *made;
    delete made;
    return result;
  }
};

// Autocast as it was in the forward pass. Casts of weights are not kept: those made without
// gradients must not serve where gradients are recorded.
struct SameAutocast {
  at::DeviceType device;
  bool enabled, cached;
  at::ScalarType type;

  explicit SameAutocast(const Closure &closure)
      : device(closure.device),
        enabled(at::autocast::is_autocast_enabled(device)),
        cached(at::autocast::is_autocast_cache_enabled()),
        type(at::autocast::get_autocast_dtype(device)) {
    at::autocast::set_autocast_enabled(device, closure.autocast);
    at::autocast::set_autocast_dtype(device, closure.autocast_type);
    at::autocast::set_autocast_cache_enabled(false);
  }
  ~SameAutocast() {
    at::autocast::set_autocast_enabled(device, enabled);
    at::autocast::set_autocast_dtype(device, type);
    at::autocast::set_autocast_cache_enabled(cached);
  }
};

struct Checkpoint : torch::autograd::Function<Checkpoint> {
  // `tensors` are the inputs, then the parameters. No graph is recorded in here.
  static at::Tensor forward(AutogradContext *context,
                            c10::intrusive_ptr<Closure> closure,
                            int64_t input_count, at::TensorList tensors) {
    context->save_for_backward(tensors.vec());
    context->saved_data["inputs"] = input_count;
    context->saved_data["closure"] = c10::IValue::make_capsule(closure);
    SameAutocast as_before(*closure);
    return (*closure)(tensors.slice(0, input_count).vec());
  }

  static variable_list backward(AutogradContext *context,
                                variable_list gradients) {
    differentiated_once("a checkpointed function");
    auto closure = c10::static_intrusive_pointer_cast<Closure>(
        context->saved_data["closure"].toCapsule());
    auto tensors = context->get_saved_variables();
    auto input_count =
        static_cast<size_t>(context->saved_data["inputs"].toInt());
    variable_list inputs, wanted;
    std::vector<size_t> places;
    for (size_t i = 0; i < tensors.size(); ++i) {
      bool wants = tensors[i].requires_grad() && context->needs_input_grad(i);
      if (i < input_count) {
        inputs.push_back(tensors[i].detach());
        inputs.back().set_requires_grad(wants);
      }
      if (wants) {
        wanted.push_back(i < input_count ? inputs.back() : tensors[i]);
        places.push_back(i);
      }
    }
    // Of the closure and the number of inputs there are none.
    variable_list found(2 + tensors.size());
    at::Tensor made;
    {
      at::AutoGradMode with_graph(true);
      SameAutocast as_before(*closure);
      made = (*closure)(inputs);
    }
    NestedPass within;
    auto all = torch::autograd::grad({made}, wanted, {gradients[0]},
                                     /*retain_graph=*/std::nullopt,
                                     /*create_graph=*/false,
                                     /*allow_unused=*/true);
    for (size_t i = 0; i < places.size(); ++i)
      found[2 + places[i]] = all[i];
    return found;
  }
};

} // namespace

// Takes the closure over, whatever comes of it.
extern "C" char *bauta_checkpoint(const at::Tensor *const *inputs,
                                  size_t input_count,
                                  const at::Tensor *const *parameters,
                                  size_t parameter_count, void *closure,
                                  Closure::Call call, void (*drop)(void *),
                                  at::Tensor **result) {
  return guarded([&] {
    const auto *first = input_count ? inputs[0] : parameter_count ? parameters[0] : nullptr;
    auto device = first ? first->device().type() : at::kCPU;
    auto held = c10::make_intrusive<Closure>(closure, call, drop, device);
    variable_list tensors;
    for (size_t i = 0; i < input_count; ++i)
      tensors.push_back(*inputs[i]);
    for (size_t i = 0; i < parameter_count; ++i)
      tensors.push_back(*parameters[i]);
    *result = new at::Tensor(Checkpoint::apply(
        held, static_cast<int64_t>(input_count), at::TensorList(tensors)));
  });
}
