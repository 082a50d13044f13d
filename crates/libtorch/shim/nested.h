// Backward passes within another one, as checkpointed functions make them.

#pragma once

// How many of them this thread is in. The engine runs them on the thread of the outer one, and
// nothing of the outer one before they have ended.
inline thread_local int nested_passes = 0;

struct NestedPass {
  NestedPass() { ++nested_passes; }
  ~NestedPass() { --nested_passes; }
  NestedPass(const NestedPass &) = delete;
  NestedPass &operator=(const NestedPass &) = delete;
};
