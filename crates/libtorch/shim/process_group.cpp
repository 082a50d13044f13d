// c10d's TCP store and its process group over Gloo, behind a C interface.
//
// libtorch holds Gloo whole, but ships none of Gloo's headers. The group is only made,
// used and dropped here, by functions of libtorch: what its class holds of Gloo are pointers,
// so Gloo's types need names and no layout, which `gloo/` beside this file gives. Nothing of
// Gloo is made or called from here.

#include <chrono>
#include <string>
#include <vector>

#include <c10/util/Exception.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "group.h"
#include "guarded.h"

namespace {
using Millis = std::chrono::milliseconds;

struct Store {
  c10::intrusive_ptr<c10d::Store> store;
};

struct Sum {
  c10::intrusive_ptr<c10d::Work> work;
};

// Gloo goes through memory as it lies, whatever the strides.
std::vector<at::Tensor> only(const at::Tensor &tensor) {
  TORCH_CHECK(tensor.is_cpu() && tensor.is_contiguous(),
              "processes exchange contiguous tensors on the CPU, got one on ", tensor.device(),
              " of shape ", tensor.sizes(), " with strides ", tensor.strides());
  return {tensor};
}
} // namespace

extern "C" {
// Opens the store at host:port, serving it where `serves`; keys get the prefix.
char *bauta_store_open(const char *host, uint16_t port, int serves, int64_t timeout_ms,
                       const char *prefix, void **result) {
  return guarded([&] {
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = serves;
    options.waitWorkers = false;
    options.timeout = Millis(timeout_ms);
    auto store = c10::make_intrusive<c10d::TCPStore>(host, options);
    *result = new Store{c10::make_intrusive<c10d::PrefixStore>(prefix, store)};
  });
}

char *bauta_store_set(void *store, const char *key, const char *value) {
  return guarded([&] { static_cast<Store *>(store)->store->set(key, std::string(value)); });
}

// Waits until the key is there; the caller frees its value with `bauta_free`.
char *bauta_store_get(void *store, const char *key, int64_t timeout_ms, char **value) {
  return guarded([&] {
    auto &inner = static_cast<Store *>(store)->store;
    inner->wait({key}, Millis(timeout_ms));
    *value = strdup(inner->get_to_str(key).c_str());
  });
}

void bauta_store_close(void *store) { delete static_cast<Store *>(store); }

char *bauta_group_open(void *store, int rank, int size, int64_t timeout_ms, void **result) {
  return guarded([&] {
    auto options = c10d::ProcessGroupGloo::Options::create_default(Millis(timeout_ms));
    auto &inner = static_cast<Store *>(store)->store;
    *result = new Group{
        c10::make_intrusive<c10d::ProcessGroupGloo>(inner, rank, size, std::move(options))};
  });
}

// Sums each tensor over the ranks, in place, one after the other: when one fails, none is
// under way, and the group can be closed at once, which tells the other ranks.
char *bauta_group_sum(void *group, at::Tensor *const *tensors, size_t count) {
  return guarded([&] {
    auto &gloo = static_cast<Group *>(group)->gloo;
    for (size_t i = 0; i < count; ++i) {
      auto one = only(*tensors[i]);
      gloo->allreduce(one)->wait();
    }
  });
}

// Begins to sum a tensor over the ranks, in place.
char *bauta_group_begin_sum(void *group, const at::Tensor *tensor, void **sum) {
  return guarded([&] {
    auto one = only(*tensor);
    *sum = new Sum{static_cast<Group *>(group)->gloo->allreduce(one)};
  });
}

char *bauta_sum_wait(void *sum) {
  return guarded([&] { static_cast<Sum *>(sum)->work->wait(); });
}

void bauta_sum_close(void *sum) { delete static_cast<Sum *>(sum); }

// Overwrites a tensor on all ranks with that of the rank `root`.
char *bauta_group_broadcast(void *group, at::Tensor *tensor, int root) {
  return guarded([&] {
    auto one = only(*tensor);
    c10d::BroadcastOptions options;
    options.rootRank = root;
    static_cast<Group *>(group)->gloo->broadcast(one, options)->wait();
  });
}

void bauta_group_close(void *group) { delete static_cast<Group *>(group); }
}
