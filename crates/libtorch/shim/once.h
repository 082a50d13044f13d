// Functions whose gradients have no graph of their own.

#pragma once

#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

// Refuses a backward pass that records a graph (create_graph): what is computed without libtorch's
// autograd would be missing in it, and second derivatives would be wrong without a word.
inline void differentiated_once(const char *what) {
  TORCH_CHECK(!c10::GradMode::is_enabled(), what, " can be differentiated once; ask for its "
              "gradients without create_graph");
}
