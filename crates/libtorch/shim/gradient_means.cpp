// Means of gradients over processes, taken while the backward pass goes on.
//
// A hook at each parameter puts its gradient into a bucket, and a bucket that is full is summed at
// once, by threads of Gloo. Buckets are sent in one order, whatever the order in which they fill:
// all processes must make the same calls. The engine is given the place in the bucket in the
// gradient's stead, so that no gradient is held twice.

#include <exception>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/add.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include "group.h"
#include "guarded.h"
#include "nested.h"

namespace {

class Means {
public:
  // Buckets are consecutive; `ends` says where each of them ends in the list of parameters.
  Means(const at::Tensor *const *list, size_t count, const size_t *ends, size_t bucket_count)
      : there(count) {
    // Before the first hook: of an object that is not made, none may stay at a parameter.
    for (size_t i = 0; i < count; ++i) {
      const auto &one = *list[i];
      TORCH_CHECK(one.requires_grad(), "parameter ", i, " takes no gradient");
      TORCH_CHECK(one.is_cpu() && one.scalar_type() == at::kFloat, "parameter ", i, " is ",
                  one.scalar_type(), " on ", one.device(), ", not Float on the CPU");
    }
    for (size_t i = 0, begin = 0; i < bucket_count; begin = ends[i++]) {
      Bucket bucket{ends[i] - begin};
      for (size_t place = begin; place < ends[i]; ++place) {
        homes.push_back({i, bucket.numbers});
        bucket.numbers += list[place]->numel();
      }
      buckets.push_back(bucket);
    }
    reset();
    for (size_t i = 0; i < count; ++i) {
      parameters.push_back(*list[i]);
      auto hook = [this, i](const at::Tensor &gradient) { return take(i, gradient); };
      hooks.push_back(parameters[i].register_hook(hook));
    }
  }

  Means(const Means &) = delete;
  Means &operator=(const Means &) = delete;

  ~Means() {
    for (size_t i = 0; i < hooks.size(); ++i)
      parameters[i].remove_hook(hooks[i]);
  }

  void begin(const Group &group, const at::Tensor *const *list, size_t count) {
    reset();
    for (size_t i = 0; i < count; ++i)
      before.push_back(*list[i]);
    gloo = group.gloo;
  }

  std::vector<at::Tensor> finish() {
    TORCH_CHECK(gloo, "no means were begun");
    c10::AutoGradMode no_graph(false);
    std::vector<at::Tensor> means;
    for (size_t i = 0; i < parameters.size(); ++i) {
      // The loss does not depend on it.
      if (!there[i])
        put(i, at::Tensor());
      means.push_back(place(i));
    }
    // None may be under way when the group is closed.
    for (auto &work : works) {
      try {
        work->wait();
      } catch (...) {
        fail();
      }
    }
    for (auto &bucket : buckets)
      bucket.flat.div_(gloo->getSize());
    auto failed = failure;
    reset();
    if (failed)
      std::rethrow_exception(failed);
    return means;
  }

private:
  struct Bucket {
    size_t parameters;
    int64_t numbers = 0;
    // Of this pass: gradients that have not come, and where they lie.
    size_t missing = 0;
    at::Tensor flat;
  };
  // Where a parameter's gradient lies.
  struct Home {
    size_t bucket;
    int64_t first;
  };

  std::vector<at::Tensor> parameters;
  std::vector<unsigned> hooks;
  std::vector<Home> homes;
  std::vector<Bucket> buckets;

  // Of a pass: none is under way where there is no group.
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
  std::vector<at::Tensor> before;
  std::vector<bool> there;
  std::vector<c10::intrusive_ptr<c10d::Work>> works;
  size_t sent = 0;
  std::exception_ptr failure;

  void reset() {
    gloo.reset();
    before.clear();
    there.assign(there.size(), false);
    works.clear();
    sent = 0;
    failure = nullptr;
    for (auto &bucket : buckets) {
      bucket.missing = bucket.parameters;
      bucket.flat.reset();
    }
  }

  at::Tensor take(size_t i, const at::Tensor &gradient) {
    // What a pass within the pass gives is a part of what comes in the end.
    if (!gloo || nested_passes)
      return at::Tensor();
    TORCH_CHECK(!there[i], "a gradient came twice in one backward pass");
    c10::AutoGradMode no_graph(false);
    put(i, gradient);
    return gradient.defined() ? place(i) : at::Tensor();
  }

  at::Tensor place(size_t i) {
    auto &flat = buckets[homes[i].bucket].flat;
    return flat.narrow(0, homes[i].first, parameters[i].numel()).view(parameters[i].sizes());
  }

  void put(size_t i, const at::Tensor &gradient) {
    auto &bucket = buckets[homes[i].bucket];
    if (!bucket.flat.defined())
      bucket.flat = at::empty({bucket.numbers}, at::TensorOptions().dtype(at::kFloat));
    auto home = place(i);
    if (before.empty())
      gradient.defined() ? home.copy_(gradient) : home.zero_();
    else if (gradient.defined())
      at::add_out(home, before[i], gradient);
    else
      home.copy_(before[i]);
    there[i] = true;
    --bucket.missing;
    send();
  }

  // Sends what is full and comes next.
  void send() {
    for (; sent < buckets.size() && !buckets[sent].missing; ++sent) {
      if (failure)
        continue;
      try {
        std::vector<at::Tensor> one{buckets[sent].flat};
        works.push_back(gloo->allreduce(one));
      } catch (...) {
        fail();
      }
    }
  }

  // The first failure is the one to report.
  void fail() {
    if (!failure)
      failure = std::current_exception();
  }
};

} // namespace

extern "C" {
char *bauta_means_open(const at::Tensor *const *parameters, size_t count, const size_t *ends,
                       size_t bucket_count, void **result) {
  return guarded([&] { *result = new Means(parameters, count, ends, bucket_count); });
}

// Begins for the backward pass that comes next; `before` are gradients to add, or none.
char *bauta_means_begin(void *means, const void *group, const at::Tensor *const *before,
                        size_t count) {
  return guarded([&] {
    static_cast<Means *>(means)->begin(*static_cast<const Group *>(group), before, count);
  });
}

// Waits for all; writes an owned tensor a parameter.
char *bauta_means_finish(void *means, at::Tensor **results) {
  return guarded([&] {
    for (auto &mean : static_cast<Means *>(means)->finish())
      *results++ = new at::Tensor(mean);
  });
}

void bauta_means_close(void *means) { delete static_cast<Means *>(means); }
}
