#include "ops/scan_blocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ops/call.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

bool is_zero(const Extent& extent) { return extent.is_number() && extent.value() == 0; }

// min(length, 1), in the arithmetic that extents have.
Extent at_most_one(const Extent& length) { return length * 2 / (length + 1); }

// `count` steps of a sequence from `start` on.
Tensor steps_of(const Tensor& x, const Extent& start, const Extent& count, const Where& where) {
  return is_zero(start) && count == x.size(0) ? x : slice_at(x, 0, start, count, where);
}

// The same elements under other leading axes: the first `dropped` are replaced.
Tensor with_leading(const Tensor& x, Shape leading, std::size_t dropped, const Where& where) {
  leading.insert(leading.end(), x.shape().begin() + std::ptrdiff_t(dropped), x.shape().end());
  return reshape(x, leading, where);
}

// A part of the loop: all of its steps one by one, or in blocks again.
Tensors run_steps(const Loop& loop, const Tensors& in, const Extent& steps, const StripOptions& options,
                  const Where& where) {
  const Loop part(loop.attrs(loop.body, steps));
  if (options.inner.empty() || steps.value() <= options.inner[0])
    return picks(record(scan_op, in, part.attrs(part.body, steps), where));
  return strip_mine(
      part, in, options.inner[0],
      {.rest = options.rest, .recompute = options.recompute, .inner = {options.inner.begin() + 1, options.inner.end()}},
      where);
}

// The body of the loop over the blocks: one block, and what happens after it.
TapePtr block_body(const Loop& loop, const Tensors& in, const Extent& k, const StripOptions& options,
                   const Where& where) {
  auto recorder = Recorder::start();
  Tensors operands;
  for (std::size_t i = 0; i < in.size(); ++i) {
    Type type = in[i].type();
    if (i >= loop.first_x()) type.shape[0] = k;
    operands.push_back(recorder->input(type, where));
  }
  Tensors results = run_steps(loop, operands, k, options, where);
  if (options.between) {
    const auto ys = results.begin() + std::ptrdiff_t(loop.states);
    const Tensors state = options.between(Tensors(results.begin(), ys));
    std::copy(state.begin(), state.end(), results.begin());
  }
  const TapePtr block = recorder->finish(results, where);
  if (!options.recompute) return block;
  recorder = Recorder::start();
  operands.clear();
  for (std::size_t i = 0; i < block->inputs.size(); ++i)
    operands.push_back(recorder->input(block->input_type(i), where));
  return recorder->finish(picks(record(checkpoint_op, operands, {{"body", block}}, where)), where);
}

}  // namespace

Tensors strip_mine(const Loop& loop, const Tensors& in, const Extent& k, const StripOptions& options,
                   const Where& where) {
  if (k.value() < 1) throw InternalError(fmt::format("strip_mine: blocks of {} steps", k.value()), where);
  const Extent blocks = options.full_rest ? (loop.length - at_most_one(loop.length)) / k : loop.length / k;
  const Extent blocked = blocks * k, rest = loop.length - blocked;

  // Where the two parts lie in the sequences.
  const bool rest_at_end = (options.rest == StripOptions::Rest::last) != loop.reverse;
  const Extent blocks_from = rest_at_end ? Extent(0) : rest, rest_from = rest_at_end ? blocked : Extent(0);

  // Runs one part from the state of the one before.
  const auto x = in.begin() + std::ptrdiff_t(loop.first_x());
  Tensors state(in.begin() + std::ptrdiff_t(loop.constants), x);
  auto operands_of = [&](const Tensors& xs) {
    Tensors operands(in.begin(), in.begin() + std::ptrdiff_t(loop.constants));
    operands.insert(operands.end(), state.begin(), state.end());
    operands.insert(operands.end(), xs.begin(), xs.end());
    return operands;
  };
  auto take_state = [&](const Tensors& results) {
    const auto ys = results.begin() + std::ptrdiff_t(loop.states);
    state.assign(results.begin(), ys);
    return Tensors(ys, results.end());
  };
  Tensors ys_of_blocks, ys_of_rest;
  auto run_blocks = [&] {
    if (is_zero(blocks)) return;
    Tensors xs;
    for (auto it = x; it != in.end(); ++it)
      xs.push_back(with_leading(steps_of(*it, blocks_from, blocked, where), {blocks, k}, 1, where));
    const Attrs attrs = loop.attrs(block_body(loop, in, k, options, where), blocks);
    for (const Tensor& y : take_state(picks(record(scan_op, operands_of(xs), attrs, where))))
      ys_of_blocks.push_back(with_leading(y, {blocked}, 2, where));
  };
  auto run_rest = [&] {
    if (is_zero(rest) && !is_zero(blocks)) return;
    Tensors xs;
    for (auto it = x; it != in.end(); ++it) xs.push_back(steps_of(*it, rest_from, rest, where));
    ys_of_rest = take_state(run_steps(loop, operands_of(xs), rest, options, where));
  };
  if (options.rest == StripOptions::Rest::first) run_rest();
  run_blocks();
  if (options.rest == StripOptions::Rest::last) run_rest();

  Tensors results = state;
  for (std::size_t i = 0; i < loop.ys; ++i) {
    Tensors parts;
    if (!ys_of_blocks.empty()) parts.push_back(ys_of_blocks[i]);
    if (!ys_of_rest.empty()) parts.insert(rest_at_end ? parts.end() : parts.begin(), ys_of_rest[i]);
    results.push_back(concat(parts, 0, where));
  }
  return results;
}

std::vector<std::int64_t> blocks_within(const Loop& loop, std::int64_t bytes, const Where& where) {
  const std::int64_t state = std::max<std::int64_t>(1, bytes_of_state(loop)),
                     step = std::max<std::int64_t>(1, bytes_kept_per_step(loop));
  std::vector<std::int64_t> blocks;
  std::int64_t left = bytes;
  for (std::int64_t steps = loop.length.pin(); steps > left / step;) {
    auto cost = [&](std::int64_t k) {
      return (steps + k - 1) / k * state + k * step;
    };  // a state for each block, one block's steps
    // One level is enough if the cheapest size fits, √(steps · state / step); then the largest that fits has the fewest blocks.
    std::int64_t fits =
        std::clamp(std::int64_t(std::sqrt(double(steps) * double(state) / double(step))), std::int64_t(1), steps);
    if (cost(fits) <= left) {
      std::int64_t too_large = left / step + 1;
      while (too_large - fits > 1) {
        const std::int64_t middle = fits + (too_large - fits) / 2;
        (cost(middle) <= left ? fits : too_large) = middle;
      }
      blocks.push_back(fits);
      return blocks;
    }
    // Half of the memory for the states between blocks, the other half for one block, taken apart again.
    const std::int64_t most = left / 2 / state, k = most > 1 ? (steps + most - 1) / most : steps;
    if (most < 2 || k >= steps)
      throw Error(fmt::format("scan: no schedule keeps within memory_budget = {} bytes", bytes), where,
                  fmt::format("a state takes {} bytes and what a step keeps {}", state, step));
    blocks.push_back(k);
    left -= (steps + k - 1) / k * state;
    steps = k;
  }
  return blocks;
}

}  // namespace tapeloop
