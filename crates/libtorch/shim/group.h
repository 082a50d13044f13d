// What a process group is behind its pointer.

#pragma once

#define USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

struct Group {
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
};
