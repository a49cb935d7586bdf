#include "ad/options.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
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

// Names each option as in the environment; a place without a line is not named.
void check(const Options& o, const Where& where) {
  if (!o.isa.empty() && o.isa != "avx512" && o.isa != "avx2" && o.isa != "sse2")
    throw Error(fmt::format("TAPELOOP_ISA={}: unknown instruction set", o.isa), where, "use avx512, avx2 or sse2");
  if (o.threads < 0)
    throw Error(fmt::format("TAPELOOP_THREADS={}: a negative number of threads", o.threads), where,
                "0 means as many as the machine gives");
  if (o.debug < 0 || o.debug > 5)
    throw Error(fmt::format("TAPELOOP_DEBUG={}: no such level", o.debug), where, "levels go from 0 to 5");
  std::error_code unused;
  if (!o.dump.empty() && !std::filesystem::is_directory(o.dump, unused))
    throw Error(fmt::format("TAPELOOP_DUMP={}: no such folder", o.dump), where, "create it first");
}

Options from_environment() {
  Options o;
  o.debug = number("TAPELOOP_DEBUG", 0);
  o.dump = text("TAPELOOP_DUMP");
  o.jit = number("TAPELOOP_JIT", 1) != 0;
  o.check = number("TAPELOOP_CHECK", 0) != 0;
  o.all_threads = number("TAPELOOP_ALL_THREADS", 0) != 0;
  o.threads = number("TAPELOOP_THREADS", 0);
  o.isa = text("TAPELOOP_ISA");
  o.denormals = number("TAPELOOP_DENORMALS", 0) != 0;
  o.cache = number("TAPELOOP_CACHE", 1) != 0;
  o.without = text("TAPELOOP_WITHOUT");
  o.profile = number("TAPELOOP_PROFILE", 0) != 0;
  o.trace = text("TAPELOOP_TRACE");
  check(o, Where());
  return o;
}

thread_local const Options* scoped = nullptr;

}  // namespace

const Options& options() {
  if (scoped) return *scoped;
  static const Options environment = from_environment();
  return environment;
}

ScopedOptions::ScopedOptions(Options options, Where where) : mine_(std::move(options)), outer_(scoped) {
  check(mine_, where);
  scoped = &mine_;
}
ScopedOptions::~ScopedOptions() { scoped = outer_; }

}  // namespace tapeloop
