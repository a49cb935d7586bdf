#include "ops/scan_blocks.h"

#include <fmt/format.h>

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
  Tensors results = picks(record(scan_op, operands, loop.attrs(loop.body, k), where));
  if (options.between) {
    const auto ys = results.begin() + std::ptrdiff_t(loop.states);
    const Tensors state = options.between(Tensors(results.begin(), ys));
    std::copy(state.begin(), state.end(), results.begin());
  }
  return recorder->finish(results, where);
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
  auto run_part = [&](const Tensors& xs, const TapePtr& body, const Extent& length) {
    Tensors operands(in.begin(), in.begin() + std::ptrdiff_t(loop.constants));
    operands.insert(operands.end(), state.begin(), state.end());
    operands.insert(operands.end(), xs.begin(), xs.end());
    Tensors results = picks(record(scan_op, operands, loop.attrs(body, length), where));
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
    for (const Tensor& y : run_part(xs, block_body(loop, in, k, options, where), blocks))
      ys_of_blocks.push_back(with_leading(y, {blocked}, 2, where));
  };
  auto run_rest = [&] {
    if (is_zero(rest) && !is_zero(blocks)) return;
    Tensors xs;
    for (auto it = x; it != in.end(); ++it) xs.push_back(steps_of(*it, rest_from, rest, where));
    ys_of_rest = run_part(xs, loop.body, rest);
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

}  // namespace tapeloop
