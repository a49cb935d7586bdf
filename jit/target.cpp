#include "jit/target.h"

#include <fmt/format.h>
#include <llvm/ADT/StringMap.h>
#include <llvm/TargetParser/Host.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <vector>

#include "ad/error.h"

namespace tapeloop {
namespace {

using Features = llvm::StringMap<bool>;

// What g++ needs for the interpreter's avx512 functions, and what emit_lanes takes for granted.
Isa newest(const Features& features) {
  const auto has = [&](auto... names) { return (features.lookup(names) && ...); };
  if (!has("avx2", "fma")) return Isa::sse2;
  return has("avx512f", "avx512vl", "avx512bw", "avx512dq") ? Isa::avx512 : Isa::avx2;
}

// The host's features in a fixed order, so that two runs ask LLVM for the same thing by the same text.
std::string text_of(const Features& features) {
  std::vector<std::string> names;
  for (const auto& feature : features) names.push_back((feature.second ? "+" : "-") + feature.first().str());
  std::ranges::sort(names, {}, [](const std::string& name) { return name.substr(1); });
  return fmt::format("{}", fmt::join(names, ","));
}

// A usual size where the system does not tell.
std::int64_t second_cache() {
#ifdef _SC_LEVEL2_CACHE_SIZE
  if (const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE); bytes > 0) return bytes;
#endif
  return 1 << 20;
}

// One target per instruction set, each limited to what the host has.
struct Targets {
  std::array<Target, 3> by_isa;
  Isa best;

  Targets() {
    const Features features = llvm::sys::getHostCPUFeatures();
    const std::string cpu = llvm::sys::getHostCPUName().str();
    const std::string all = text_of(features);
    const std::int64_t cache = second_cache();
    best = newest(features);
    // The oldest x86-64: no SSE3 and later, no fma.
    by_isa[int(Isa::sse2)] = {Isa::sse2, "x86-64", "", 16, 16, cache};
    // The host's own pipeline, but nothing of AVX-512: whatever builds on avx512f goes with it.
    by_isa[int(Isa::avx2)] = {Isa::avx2, cpu, all + ",-avx512f", 32, 16, cache};
    // LLVM shies away from 512 bits on some CPUs because of their clocks; our loops are all in one width.
    by_isa[int(Isa::avx512)] = {Isa::avx512, cpu, all + ",-prefer-256-bit", 64, 32, cache};
  }
};

const Targets& targets() {
  static const Targets instance;
  return instance;
}

Isa isa_named(const std::string& name) {
  if (name == "avx512") return Isa::avx512;
  if (name == "avx2") return Isa::avx2;
  if (name == "sse2") return Isa::sse2;
  throw Error(fmt::format("jit: unknown instruction set {}", name), "use avx512, avx2 or sse2");
}

}  // namespace

const Target& host_target() { return targets().by_isa[int(targets().best)]; }

const Target& target_for(const std::string& isa_option) {
  if (isa_option.empty()) return host_target();
  return targets().by_isa[int(std::min(isa_named(isa_option), targets().best))];
}

}  // namespace tapeloop
