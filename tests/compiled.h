// Compiled functions against the interpreter, bit for bit.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <initializer_list>
#include <string>

#include "cases.h"
#include "cells.h"
#include "jit/jit.h"
#include "ops/elementwise.h"
#include "ops/random.h"

namespace tapeloop::testing {

// Normally distributed; integers are rounded from numbers a hundred times as large.
inline Tensor numbers(int seed, const Shape& shape, Dtype dtype = Dtype::f32) {
  const Tensor x = 0.5 * normal(key(std::uint64_t(seed)), shape, is_float(dtype) ? dtype : Dtype::f64);
  return (is_float(dtype) ? x : cast(x * 100, dtype)).materialized();
}

// What a function is compiled for.
struct Machine {
  std::string isa;
  int threads;
};

// f(in…), a tree, has the interpreter's bits on all machines.
template <class F, class... In>
void check_compiled(std::initializer_list<Machine> machines, const F& f, const In&... in) {
  const auto run = [&](const Machine& machine, bool compiled) {
    Options o = options();
    o.isa = machine.isa;
    o.threads = machine.threads;
    o.all_threads = machine.threads > 1;
    o.jit = compiled;
    const ScopedOptions scope(o);
    return leaves_of(jit(f)(in...));
  };
  const Tensors expected = run({"", 1}, false);
  for (const Machine& machine : machines) {
    CAPTURE(machine.isa);
    CAPTURE(machine.threads);
    const Tensors compiled = run(machine, true);
    REQUIRE(compiled.size() == expected.size());
    for (std::size_t i = 0; i < compiled.size(); ++i) {
      CAPTURE(i);
      CHECK(same_bits(compiled[i], expected[i]));
    }
  }
}

// f(in…), a tree, has the interpreter's bits with the pass and without it.
template <class F, class... In>
void check_with_and_without(const char* pass, const F& f, const In&... in) {
  const Tensors expected = leaves_of(f(in...));
  for (const std::string without : {"", pass}) {
    CAPTURE(without);
    Options changed = quickly(options(), !without.empty());
    if (!without.empty()) changed.without += "," + without;
    const ScopedOptions scope(changed);
    CHECK(same(leaves_of(jit(f)(in...)), expected));
    ++cases;
  }
}

}  // namespace tapeloop::testing
