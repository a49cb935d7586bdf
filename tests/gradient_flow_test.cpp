// What recurrence does to gradients over 200 steps (issue: gradient_flow).
#include <doctest/doctest.h>

#include "examples/gradient_flow.h"
#include "models/optimizer.h"

using namespace tapeloop;

namespace {
const gradient_flow::Setting setting;
}

TEST_CASE("gradient flow: a spectral radius below 1 vanishes and one above 1 explodes, by 10^6 and more") {
  const double vanishing = gradient_flow::kept(gradient_flow::rnn_norms(setting, 0.9));
  const double exploding = gradient_flow::kept(gradient_flow::rnn_norms(setting, 1.2));
  MESSAGE("RNN keeps ", vanishing, " at radius 0.9 and ", exploding, " at 1.2");
  CHECK(vanishing < 1e-6);
  CHECK(vanishing > 0);
  CHECK(exploding > 1e6);
  CHECK(std::isfinite(exploding));
}

TEST_CASE("gradient flow: an LSTM with forget bias 1 keeps clearly more than the vanishing RNN") {
  const double rnn = gradient_flow::kept(gradient_flow::rnn_norms(setting, 0.9));
  const double lstm = gradient_flow::kept(gradient_flow::lstm_norms(setting));
  const double unbiased = gradient_flow::kept(gradient_flow::lstm_norms(setting, 0));
  MESSAGE("LSTM keeps ", lstm, " (", lstm / rnn, " times the RNN's), without forget bias ", unbiased);
  CHECK(lstm > 100 * rnn);
  CHECK(lstm > unbiased);
}

TEST_CASE("gradient flow: the sequence as a whole, and its parts, agree") {
  // The gradient at step t of T steps is that at step t − 100 of the last T − 100, when states and inputs are zero.
  const auto whole = gradient_flow::rnn_norms({.steps = 200}, 1.2),
             half = gradient_flow::rnn_norms({.steps = 100}, 1.2);
  for (std::size_t t = 0; t < half.size(); ++t) CHECK(whole[t + 100] == doctest::Approx(half[t]).epsilon(1e-12));
}

TEST_CASE("gradient flow: clipping bounds the norm, and leaves a small gradient and its direction alone") {
  const Tensor big = Tensor::of(std::vector<double>{3e9, -4e9}, {2}),
               small = Tensor::of(std::vector<double>{0.3, 0.4}, {2});
  CHECK(global_norm(clip_by_global_norm(big, 1.0)).item<double>() <= 1.0 + 1e-12);
  CHECK(clip_by_global_norm(big, 1.0).data<double>()[0] == doctest::Approx(0.6));
  CHECK(same_bits(clip_by_global_norm(small, 1.0), small));
}
