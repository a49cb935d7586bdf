// Trees of tensors compared bit for bit, and options that differ for a scope.
#pragma once

#include <doctest/doctest.h>

#include "ad/options.h"
#include "ad/trace.h"
#include "tests/cases.h"

namespace tapeloop::testing {

inline bool same(const Tensors& a, const Tensors& b) {
  bool all = a.size() == b.size();
  for (std::size_t i = 0; all && i < a.size(); ++i) all = same_bits(a[i].materialized(), b[i].materialized());
  return all;
}

template <class Tree>
void check_same_bits(const Tree& a, const Tree& b) {
  const Tensors x = leaves_of(a), y = leaves_of(b);
  const auto names = names_of(a);
  REQUIRE(x.size() == y.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    CAPTURE(names[i]);
    CHECK(same_bits(x[i], y[i]));
  }
  ++cases;
}

// ScopedOptions scope(changed([](Options& o) { … }));
template <class Change>
Options changed(const Change& change) {
  Options o = options();
  change(o);
  return o;
}

}  // namespace tapeloop::testing
