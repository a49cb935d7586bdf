// The test program: doctest's own output, then the number of cases, then `N passed, N failed` as the last line.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <optional>

#include "ad/options.h"
#include "tests/cases.h"

namespace {

struct Counts {
  unsigned passed, failed;
};
std::optional<Counts> counts;  // of test cases; stays absent when nothing ran, as with --list-test-cases
unsigned started = 0;          // doctest's own total knows the filters, but not --first and --last

// doctest keeps its totals to itself; a listener is shown them.
struct Totals : doctest::IReporter {
  explicit Totals(const doctest::ContextOptions&) {}

  void test_run_end(const doctest::TestRunStats& run) override {
    counts = {started - run.numTestCasesFailed, run.numTestCasesFailed};
  }

  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_case_start(const doctest::TestCaseData&) override { ++started; }
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};
REGISTER_LISTENER("totals", 1, Totals);

}  // namespace

int main(int argc, char** argv) {
  // Tests are about the code of today; those of the cache turn it on for themselves.
  // Sanitizers see nothing of the machine code that LLVM makes, so that it need not be good.
  tapeloop::Options mine = tapeloop::testing::quickly(tapeloop::options(), tapeloop::testing::kInstrumented);
  mine.cache = false;
  const tapeloop::ScopedOptions scope(mine);
  doctest::Context context(argc, argv);
  int status = context.run();
  if (!counts) return status;
  // A filter that matches nothing is a mistake, not a success.
  if (counts->passed + counts->failed == 0) status = 1;
  std::fflush(nullptr);
  std::printf("%ld cases\n", tapeloop::testing::cases.load());
  std::printf("%u passed, %u failed\n", counts->passed, counts->failed);
  std::fflush(nullptr);  // now: a leak found at exit ends the program without it
  return status;
}
