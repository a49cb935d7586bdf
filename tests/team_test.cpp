// The threads of a program, and how many there may be.
#include <doctest/doctest.h>

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <vector>

#include "cases.h"
#include "jit/cores.h"
#include "jit/pace.h"
#include "jit/team.h"

using namespace tapeloop;

namespace {

namespace fs = std::filesystem;

// A folder that looks like mounted control groups, removed at the end.
struct Groups {
  fs::path root = fs::temp_directory_path() / ("tapeloop_groups_" + std::to_string(::getpid()));
  Groups() { fs::create_directories(root); }
  ~Groups() { fs::remove_all(root); }
  void write(const std::string& path, const std::string& text) const {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  }
  int cores(const std::string& membership) const { return cores_of_cgroup(root, membership); }
};

}  // namespace

TEST_CASE("no thread goes on before all have come") {
  for (int threads : {1, 2, 3, 5}) {
    CHECK(hire(threads));
    std::vector<std::atomic<int>> steps(std::size_t{std::size_t(threads)});  // all zero
    std::atomic<int> late{0};
    run_together(threads, [&](void* team, std::int64_t thread) {
      for (int step = 1; step <= 300; ++step) {
        steps[std::size_t(thread)] = step;
        if (threads > 1) tapeloop_meet(team, thread);
        for (const auto& other : steps)
          if (other < step) ++late;
        if (threads > 1) tapeloop_meet(team, thread);
      }
    });
    CHECK(late == 0);
    for (const auto& step : steps) CHECK(step == 300);
  }
}

TEST_CASE("the quota of a control group, and of those above it, limits the cores") {
  const Groups groups;
  CHECK(groups.cores("0::/\n") > 1000);
  groups.write("a/cpu.max", "max 100000\n");
  groups.write("a/b/cpu.max", "150000 100000\n");
  groups.write("a/b/c/cpu.max", "max 100000\n");
  groups.write("a/d/cpu.max", "50000 100000\n");
  CHECK(groups.cores("0::/a\n") > 1000);
  CHECK(groups.cores("0::/a/b\n") == 2);
  CHECK(groups.cores("0::/a/b/c\n") == 2);  // by the one above
  CHECK(groups.cores("0::/a/d\n") == 1);
  CHECK(groups.cores("0::/not/mounted\n") > 1000);
  groups.write("cpu.max", "100000 100000\n");
  CHECK(groups.cores("0::/a/b\n") == 1);
}

TEST_CASE("the quota of a control group of version 1 limits the cores") {
  const Groups groups;
  groups.write("cpu/x/cpu.cfs_quota_us", "300000\n");
  groups.write("cpu/x/cpu.cfs_period_us", "100000\n");
  groups.write("cpu/y/cpu.cfs_quota_us", "-1\n");
  groups.write("cpu/y/cpu.cfs_period_us", "100000\n");
  CHECK(groups.cores("4:memory:/x\n3:cpu,cpuacct:/x\n") == 3);
  CHECK(groups.cores("3:cpu,cpuacct:/y\n") > 1000);
  CHECK(groups.cores("4:memory:/x\n") > 1000);
  CHECK(groups.cores("nonsense\n\n") > 1000);
}

namespace {

// The part of `calls` calls that a team runs, when seconds(together, whether the call before was otherwise, its number).
double part_of_team(Pace& pace, int calls, const std::function<double(bool, bool, int)>& seconds) {
  int of_team = 0;
  bool before = true;
  for (int i = 0; i < calls; ++i) {
    const bool now = pace.together();
    pace.learn(now, seconds(now, now != before, i));
    before = now;
    of_team += now;
  }
  return double(of_team) / calls;
}

}  // namespace

TEST_CASE("two threads are taken where they are faster once they are awake, and one where they are not") {
  const double ms = 1e-3;
  const auto faster = [&](bool together, bool woken, int) { return (together ? 0.7 : 1.0) * (woken ? 1.8 : 1.0) * ms; };
  Pace pace;
  CHECK(part_of_team(pace, 400, faster) > 0.9);
  // Other work takes a core away, and gives it back.
  CHECK(part_of_team(pace, 2000, [&](bool together, bool, int) { return (together ? 2.2 : 1.0) * ms; }) < 0.1);
  CHECK(part_of_team(pace, 2000, faster) > 0.5);
  Pace loaded;
  CHECK(part_of_team(loaded, 400, [&](bool together, bool, int) { return (together ? 1.1 : 1.0) * ms; }) < 0.15);
  // One interrupted call of a trial decides nothing.
  Pace interrupted;
  CHECK(part_of_team(interrupted, 300, [&](bool together, bool, int i) {
          return (together ? (i % 7 == 3 ? 5.0 : 0.6) : 1.0) * ms;
        }) > 0.85);
  ++tapeloop::testing::cases;
}

TEST_CASE("of long calls one is enough to try whether a thread alone would be as fast") {
  Pace pace;
  CHECK(part_of_team(pace, 10, [](bool together, bool, int) { return together ? 0.16 : 0.3; }) >= 0.9);
  Pace loaded;
  CHECK(part_of_team(loaded, 100, [](bool together, bool, int) { return together ? 0.6 : 0.3; }) < 0.2);
  ++tapeloop::testing::cases;
}
