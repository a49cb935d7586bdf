// For test suites that use doctest:
//
//   TEST_CASE("my loss") { TAPELOOP_CHECK_GRADIENTS(loss, model, xs, ys); }
//
// An assertion that goes on when it fails, and prints the table of the report then. Include <doctest/doctest.h> first.
#pragma once

#include "ad/check.h"

#define TAPELOOP_CHECK_GRADIENTS(...)                                                                     \
  do {                                                                                                    \
    const ::tapeloop::CheckReport tapeloop_report =                                                       \
        ::tapeloop::gradient_report(::tapeloop::CheckOptions{}, __VA_ARGS__);                             \
    CHECK_MESSAGE(tapeloop_report.passed(), tapeloop_report.failure(), "\n", to_string(tapeloop_report)); \
  } while (false)
