// How many cores this process may use.
#pragma once

#include <filesystem>
#include <string>

namespace tapeloop {

// As many as TAPELOOP_THREADS says, or as the process may run on: its affinity mask, and the quotas of its control group
// and of those above it. The latter are read once.
int threads_available();

// The cores that a process of the control groups described by `membership` (the text of /proc/self/cgroup) may use by
// quota, where the control groups are mounted at `mount`: the least over the group and all above it, rounded up; no quota
// is a very large number. Both versions of control groups.
int cores_of_cgroup(const std::filesystem::path& mount, const std::string& membership);

}  // namespace tapeloop
