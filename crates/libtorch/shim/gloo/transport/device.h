// What c10d/ProcessGroupGloo.hpp names of Gloo's transport; see ../../process_group.cpp.
#pragma once

namespace gloo::transport {
class Device;
class UnboundBuffer;
} // namespace gloo::transport
