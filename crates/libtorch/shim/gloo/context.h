// What c10d/ProcessGroupGloo.hpp names of Gloo's context; see ../process_group.cpp.
#pragma once

#include <chrono>

namespace gloo {
class Context {
public:
  // Defined in libtorch; never called from here.
  void setTimeout(std::chrono::milliseconds timeout);
};
} // namespace gloo
