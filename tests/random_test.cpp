// Random numbers: they are the published cipher, and they are independent wherever a user takes them to be.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <set>
#include <vector>

#include "cases.h"
#include "ops/elementwise.h"
#include "ops/random.h"

using namespace tapeloop;
using namespace tapeloop::testing;

namespace {

using Words = std::array<std::uint32_t, 2>;

// Threefry-2x32-20, written down again from the paper (section 4.2 and table 2): a round, twenty times; the key schedule is
// injected before the first round and after every fourth.
Words reference(Words key, Words counter) {
  const int rotations[8] = {13, 15, 26, 6, 17, 29, 16, 24};
  const std::uint32_t schedule[3] = {key[0], key[1], 0x1BD11BDAu ^ key[0] ^ key[1]};
  std::uint32_t x = counter[0] + schedule[0], y = counter[1] + schedule[1];
  for (unsigned round = 0; round < 20; ++round) {
    x += y;
    const int by = rotations[round % 8];
    y = ((y << by) | (y >> (32 - by))) ^ x;
    if (round % 4 == 3) {
      const unsigned injection = round / 4 + 1;
      x += schedule[injection % 3];
      y += schedule[(injection + 1) % 3] + injection;
    }
  }
  return {x, y};
}

// What the second word of the counter says a number is for (ops/random.cpp); to change them changes every user's numbers.
constexpr std::uint32_t kDraw = 0, kSplit = 1, kFold = 2, kSecondDraw = 3;

Words words_of(const Tensor& k) {
  const auto values = k.to_vector<std::uint32_t>();
  REQUIRE(values.size() == 2);
  return {values[0], values[1]};
}

double unit53(Words w) { return (double(w[0] >> 5) * 0x1p26 + double(w[1] >> 6)) * 0x1p-53; }

const std::uint64_t kSeeds[] = {0, 1, 42, 0x13198a2e03707344, ~std::uint64_t(0)};

}  // namespace

TEST_CASE("random: the reference is the published cipher") {
  // The known answers of Random123 for threefry2x32, 20 rounds.
  CHECK(reference({0, 0}, {0, 0}) == Words{0x6b200159, 0x99ba4efe});
  CHECK(reference({0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) == Words{0x1cb996fc, 0xbb002be7});
  CHECK(reference({0x13198a2e, 0x03707344}, {0x243f6a88, 0x85a308d3}) == Words{0xc4923a9c, 0x483df7a0});
}

TEST_CASE("random: keys and numbers are the cipher of their positions") {
  for (const std::uint64_t seed : kSeeds) {
    const Tensor k = key(seed);
    const Words w = words_of(k);
    CHECK(w == Words{std::uint32_t(seed >> 32), std::uint32_t(seed)});
    const int n = 37;
    const auto split = split_key(k, n).to_vector<std::uint32_t>();
    const auto uniform32 = uniform(k, {n}).to_vector<float>();
    const auto uniform64 = uniform(k, {n}, 0, 1, Dtype::f64).to_vector<double>();
    const auto normal64 = normal(k, {n}, Dtype::f64).to_vector<double>();
    const auto normal32 = normal(k, {n}).to_vector<float>();
    for (std::uint32_t i = 0; i < n; ++i) {
      const Words draw = reference(w, {i, kDraw}), second = reference(w, {i, kSecondDraw});
      CHECK(Words{split[2 * i], split[2 * i + 1]} == reference(w, {i, kSplit}));
      CHECK(words_of(fold_in(k, int(i))) == reference(w, {i, kFold}));
      CHECK(uniform32[i] == float(draw[0] >> 8) * 0x1p-24f);
      CHECK(uniform64[i] == unit53(draw));
      auto box_muller = [](double u, double v) {
        return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
      };
      CHECK(normal64[i] == doctest::Approx(box_muller(1 - unit53(draw), unit53(second))).epsilon(1e-14));
      const double u = draw[0] * 0x1p-32 + 0x1p-33, v = (draw[1] >> 8) * 0x1p-24;
      CHECK(std::abs(normal32[i] - box_muller(u, v)) <= 1e-5);
      ++cases;
    }
    CHECK(words_of(fold_in(k, std::int64_t(0xffffffff))) == reference(w, {0xffffffff, kFold}));
  }
}

TEST_CASE("random: no two of the keys that are made of one are the same") {
  std::set<Words> seen{words_of(key(7))};
  const int n = 1000;
  const auto split = split_key(key(7), n).to_vector<std::uint32_t>();
  for (int i = 0; i < n; ++i) {
    seen.insert({split[2 * i], split[2 * i + 1]});
    seen.insert(words_of(fold_in(key(7), i)));
  }
  CHECK(seen.size() == 2 * n + 1);
  ++cases;
}

TEST_CASE("random: moments, range and independence of many numbers") {
  // Bounds are five standard deviations of the estimate.
  const int n = 200'000;
  const double root = std::sqrt(double(n));
  for (const Dtype dtype : {Dtype::f32, Dtype::f64}) {
    auto numbers = [](const Tensor& t) { return cast(t, Dtype::f64).to_vector<double>(); };
    const auto u = numbers(uniform(key(3), {n}, 0, 1, dtype)), z = numbers(normal(key(3), {n}, dtype));
    double mean = 0, square = 0, next = 0, z1 = 0, z2 = 0, z4 = 0;
    for (int i = 0; i < n; ++i) {
      mean += u[i] / n;
      square += u[i] * u[i] / n;
      next += (u[i] - 0.5) * (u[(i + 1) % n] - 0.5) / n;
      z1 += z[i] / n;
      z2 += z[i] * z[i] / n;
      z4 += std::pow(z[i], 4) / n;
    }
    CHECK(std::abs(mean - 0.5) <= 5 * std::sqrt(1. / 12) / root);
    CHECK(std::abs(square - 1. / 3) <= 5 * std::sqrt(4. / 45) / root);
    CHECK(std::abs(next) <= 5 * (1. / 12) / root);
    CHECK(std::abs(z1) <= 5 / root);
    CHECK(std::abs(z2 - 1) <= 5 * std::sqrt(2.) / root);
    CHECK(std::abs(z4 - 3) <= 5 * std::sqrt(96.) / root);
    CHECK(*std::min_element(u.begin(), u.end()) >= 0);
    CHECK(*std::max_element(u.begin(), u.end()) < 1);
    ++cases;
  }
  const auto hits = cast(bernoulli(key(5), 0.3, {n}), Dtype::f64).to_vector<double>();
  double rate = 0;
  for (const double hit : hits) rate += hit / n;
  CHECK(std::abs(rate - 0.3) <= 5 * std::sqrt(0.21) / root);
  const auto scaled = uniform(key(5), {1000}, -2, 3).to_vector<float>();
  CHECK(*std::min_element(scaled.begin(), scaled.end()) < -1.9F);
  CHECK(*std::max_element(scaled.begin(), scaled.end()) > 2.9F);
}
