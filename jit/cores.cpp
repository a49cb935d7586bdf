#include "jit/cores.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

#include "ad/options.h"

namespace tapeloop {
namespace {

namespace fs = std::filesystem;

constexpr int unlimited = 1 << 20;

std::optional<std::string> text_of(const fs::path& path) {
  std::ifstream file(path);
  if (!file) return {};
  return std::string(std::istreambuf_iterator<char>(file), {});
}

int rounded_up(double quota, double period) {
  return quota > 0 && period > 0 ? std::max(1, int((quota + period - 1) / period)) : unlimited;
}

// Version 2: "QUOTA PERIOD", or "max PERIOD".
int quota_of(const fs::path& group) {
  if (const auto text = text_of(group / "cpu.max")) {
    double quota = 0, period = 0;
    std::istringstream words(*text);
    return words >> quota >> period ? rounded_up(quota, period) : unlimited;
  }
  // Version 1: two files, and a quota of −1 for none.
  const auto quota = text_of(group / "cpu.cfs_quota_us"), period = text_of(group / "cpu.cfs_period_us");
  return quota && period ? rounded_up(std::atof(quota->c_str()), std::atof(period->c_str())) : unlimited;
}

int quota_up_to(const fs::path& mount, const std::string& group) {
  int least = quota_of(mount);
  fs::path path = mount;
  for (const fs::path& part : fs::path(group).relative_path()) {
    path /= part;
    least = std::min(least, quota_of(path));
  }
  return least;
}

}  // namespace

int cores_of_cgroup(const fs::path& mount, const std::string& membership) {
  int least = unlimited;
  std::istringstream lines(membership);
  // HIERARCHY:CONTROLLERS:PATH; version 2 is hierarchy 0 and names no controllers.
  for (std::string line; std::getline(lines, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",",
                      group = line.substr(second + 1);
    if (controllers == ",,") least = std::min(least, quota_up_to(mount, group));
    if (controllers.find(",cpu,") != std::string::npos) least = std::min(least, quota_up_to(mount / "cpu", group));
  }
  return least;
}

int threads_available() {
  if (options().threads > 0) return options().threads;
  static const int machine = [] {
    cpu_set_t set;
    const int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return std::max(1, std::min(cores, cores_of_cgroup("/sys/fs/cgroup", text_of("/proc/self/cgroup").value_or(""))));
  }();
  return machine;
}

}  // namespace tapeloop
