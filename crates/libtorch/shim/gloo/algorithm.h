// Declared for c10d/ProcessGroupGloo.hpp, which uses nothing of it; see ../process_group.cpp.
#pragma once
