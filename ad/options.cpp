#include "ad/options.h"

#include <fmt/format.h>

#include <cstdlib>
#include <string_view>

#include "ad/error.h"

namespace tapeloop {
namespace {

std::string text(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

int number(const char* name, int missing) {
  const std::string value = text(name);
  if (value.empty()) return missing;
  char* end = nullptr;
  const long result = std::strtol(value.c_str(), &end, 10);
  if (*end != 0 || result < 0 || result > 1'000'000)
    throw Error(fmt::format("{}={}: not a number that makes sense here", name, value));
  return int(result);
}

Options from_environment() {
  Options o;
  o.debug = number("TAPELOOP_DEBUG", 0);
  o.dump = text("TAPELOOP_DUMP");
  o.jit = number("TAPELOOP_JIT", 1) != 0;
  o.check = number("TAPELOOP_CHECK", 0) != 0;
  o.threads = number("TAPELOOP_THREADS", 0);
  o.isa = text("TAPELOOP_ISA");
  if (!o.isa.empty() && o.isa != "avx512" && o.isa != "avx2" && o.isa != "sse2")
    throw Error(fmt::format("TAPELOOP_ISA={}: unknown instruction set", o.isa), "use avx512, avx2 or sse2");
  o.denormals = number("TAPELOOP_DENORMALS", 0) != 0;
  return o;
}

thread_local const Options* scoped = nullptr;

}  // namespace

const Options& options() {
  if (scoped) return *scoped;
  static const Options environment = from_environment();
  return environment;
}

ScopedOptions::ScopedOptions(Options options) : mine_(std::move(options)), outer_(scoped) { scoped = &mine_; }
ScopedOptions::~ScopedOptions() { scoped = outer_; }

}  // namespace tapeloop
