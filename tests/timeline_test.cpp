// The trace of what happened when: JSON that viewers read, with the passes of a compilation inside its time.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

#include "jit/jit.h"
#include "jit/timeline.h"
#include "ops/elementwise.h"

using namespace tapeloop;

namespace {

namespace fs = std::filesystem;

struct Event {
  std::string name, kind;
  double begin, duration;
};

// The spans in a trace, each of which is a line; everything else about the file is checked here.
std::vector<Event> events_in(const fs::path& path) {
  std::ifstream in(path);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  CHECK(text.starts_with("[\n{"));
  CHECK(text.ends_with("}\n]\n"));
  const std::regex span(
      R"re(\{"name":"([^"\\]+)","cat":"([a-z]+)","ph":"X","ts":([0-9.]+),"dur":([0-9.]+),"pid":[0-9]+,"tid":[0-9]+\}(,?)\n)re");
  std::vector<Event> events;
  for (std::sregex_iterator it(text.begin(), text.end(), span), end; it != end; ++it)
    events.push_back({(*it)[1], (*it)[2], std::stod((*it)[3]), std::stod((*it)[4])});
  // One line for each event, one for the process, and the two brackets.
  CHECK(std::ptrdiff_t(events.size()) + 3 == std::count(text.begin(), text.end(), '\n'));
  return events;
}

struct TracedTo {
  fs::path path;
  ScopedOptions scope;
  explicit TracedTo(const fs::path& file) : path(file), scope(with(file)) {}
  static Options with(const fs::path& file) {
    Options o = options();
    o.trace = file.string();
    return o;
  }
};

fs::path file_named(const char* name) {
  return fs::temp_directory_path() / (std::string("tapeloop_") + name + "_" + std::to_string(getpid()) + ".json");
}

}  // namespace

TEST_CASE("a trace holds the passes of a compilation in their order, then each call") {
  const fs::path path = file_named("trace");
  auto f = jit([](const Tensor& x) { return tanh(x) + x; });
  {
    const TracedTo traced(path);
    const Tensor x = Tensor::of(std::vector<float>{1, 2, 3}, {3});
    (void)f(x);
    (void)f(x);
  }
  (void)f(Tensor::of(std::vector<float>{1, 2}, {2}));  // nobody traces any more
  const std::vector<Event> events = events_in(path);
  fs::remove(path);
  const auto number_of = [&](const std::string& kind, const std::string& name) {
    return std::count_if(events.begin(), events.end(),
                         [&](const Event& e) { return e.kind == kind && e.name == name; });
  };
  for (const char* pass : {"prune", "pack", "plan", "generate code"}) CHECK(number_of("compile", pass) == 1);
  CHECK(number_of("call", "program") == 2);
  for (std::size_t i = 0; i < events.size(); ++i) {
    CHECK(events[i].duration >= 0);
    // Events are written as they end, and on one thread none of these lies in another.
    if (i > 0) CHECK(events[i - 1].begin + events[i - 1].duration <= events[i].begin + 0.002);
  }
}

TEST_CASE("a trace that cannot be written is an error of the call that asks for it") {
  auto f = jit([](const Tensor& x) { return x * 2; });
  const Tensor x = Tensor::of(std::vector<float>{1, 2, 3}, {3});
  (void)f(x);
  const TracedTo traced("/nowhere/at/all.json");
  Tensor y = Tensor::of(std::vector<float>{4, 5, 6}, {3});
  CHECK_THROWS_WITH_AS(f(std::move(y)), doctest::Contains("TAPELOOP_TRACE: cannot write /nowhere/at/all.json"), Error);
  CHECK(y.to_vector<float>() == std::vector<float>{4, 5, 6});  // NOLINT(bugprone-use-after-move): nothing was taken
}
