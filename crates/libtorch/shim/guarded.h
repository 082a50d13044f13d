// How the shim answers: null, or a message that the caller frees.

#pragma once

#include <cstring>
#include <exception>

template <typename F> char *guarded(F &&body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const std::exception &error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}
