// No op without a test line: every function that ops/ and the losses declare has one in the tables of op cases, and every
// Op that is defined there is recorded by one of them.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

#include "ad/grad.h"
#include "ad/tape.h"
#include "ad/trace.h"
#include "op_cases.h"

using namespace tapeloop;

namespace {

namespace fs = std::filesystem;

// Not ops: pieces that ops are made of, and keys, which the random ops' lines use.
const std::set<std::string> kNotOps{"record",
                                    "narrowed",
                                    "broadcast_axes",
                                    "flat_along",
                                    "flat_nd",
                                    "scan_leaves",
                                    "strip_mine",
                                    "repeated",
                                    "all_batched",
                                    "move_axis",
                                    "indices_of_all",
                                    "listed_rows",
                                    "barrier",
                                    "checkpoint_leaves",
                                    "cond_leaves",
                                    "while_leaves",
                                    "evaluate_batch",
                                    "every_second",
                                    "in_turns",
                                    "jacobian_leaves",
                                    "custom_leaves",
                                    "placeholders",
                                    "key",
                                    "split_key",
                                    "fold_in",
                                    "mean_of"};

std::string read(const fs::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::set<std::string> matches(const std::string& text, const std::regex& pattern) {
  std::set<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it) found.insert((*it)[1]);
  return found;
}

std::string sources(const std::string& extension) {
  std::string text = read(fs::path(TAPELOOP_SOURCE_DIR) / "models/loss.h");
  for (const auto& entry : fs::directory_iterator(fs::path(TAPELOOP_SOURCE_DIR) / "ops"))
    if (extension.find(entry.path().extension().string()) != std::string::npos) text += read(entry.path());
  return text;
}

void collect_ops(const Tape& tape, std::set<std::string>& names) {
  for (const Record& r : tape.records) {
    names.insert(std::string(r.op->name));
    for (const auto& [name, value] : r.attrs.entries())
      if (const auto* body = std::get_if<TapePtr>(&value)) collect_ops(**body, names);
  }
}

std::set<std::string> functions_declared(const std::string& text) {
  return matches(text, std::regex("\\n(?:inline )?(?:Tensors?|TopK|std::array<Tensor, N>) ([a-z_0-9]+)\\("));
}

}  // namespace

TEST_CASE("op coverage: a declaration is seen") {
  CHECK(functions_declared(
            "\nTensor a(const Tensor& x);\ninline Tensor b_1(\n  Tensor c(int);\nTensor operator+(int);\n") ==
        std::set<std::string>{"a", "b_1"});
}

TEST_CASE("op coverage: every function of ops/ and every loss has a test line") {
  std::set<std::string> tested;
  for (const testing::OpCase& c : testing::op_cases()) tested.insert(c.op);
  const std::set<std::string> declared = functions_declared(sources(".h"));
  CHECK(declared.size() > 120);
  for (const std::string& name : declared) {
    CAPTURE(name);
    CHECK((tested.contains(name) || kNotOps.contains(name)));
  }
}

TEST_CASE("op coverage: every Op of ops/ is recorded by a test line") {
  std::set<std::string> recorded;
  for (const testing::OpCase& c : testing::op_cases()) {
    Tensors x;
    for (const auto& sizes : c.samples[0])
      x.push_back(full(Shape(sizes.begin(), sizes.end()), 0.7, Dtype::f64).materialized());
    auto f = [&](const Tensors& v) {
      auto [y, pull] = vjp(c.f)(v);
      return std::pair{y, std::get<0>(pull(y))};
    };
    collect_ops(*trace(f, Recorder::Captures::recorded, x).tape, recorded);
  }
  const std::set<std::string> defined = matches(sources(".h .cpp"), std::regex("\\.name = \"([a-z_0-9]+)\""));
  CHECK(defined.size() > 80);
  for (const std::string& name : defined) {
    CAPTURE(name);
    CHECK(recorded.contains(name));
  }
}
