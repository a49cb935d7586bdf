// Lane programs as a whole: arrays of every length, literals, what is refused; and the mode that they run in.
#include <doctest/doctest.h>
#include <xmmintrin.h>

#include <cfenv>
#include <cstdint>
#include <numeric>
#include <vector>

#include "ad/denormals.h"
#include "ad/error.h"
#include "ad/lanes.h"
#include "tests/lane_cases.h"

namespace tapeloop::testing::lane_cases {
namespace {

std::vector<float> run(const LaneProgram& program, const std::vector<float>& x, std::int64_t count) {
  std::vector<float> out(std::size_t(count) + 1, -7);
  const LaneOperand operand{x.data(), 1};
  run_lanes(program, {&operand, 1}, out.data(), count);
  CHECK(out.back() == -7);  // nothing is written past the end
  out.pop_back();
  return out;
}

TEST_CASE("lanes: programs of every length of array") {
  // x² + x³ + … + x⁹, written so that many values live at once and one is read twice by an instruction.
  LaneProgram program;
  const Lane x = input(program, Dtype::f32);
  std::vector<Lane> powers = {x * x};
  for (int i = 0; i < 7; ++i) powers.push_back(powers.back() * x);
  Lane sum = powers.back();
  for (std::size_t i = powers.size() - 1; i-- > 0;) sum = sum + powers[i];
  program.result = sum.id();
  (void)(sum * sum);  // written after the result, and so not run

  std::vector<float> values(1000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = float(i) * 0.001f - 0.4f;
  for (std::int64_t count : {0, 1, 2, 15, 16, 17, 255, 256, 257, 511, 512, 513, 1000}) {
    const std::vector<float> out = run(program, values, count);
    bool right = true;
    for (std::int64_t i = 0; i < count; ++i) {
      const float v = values[std::size_t(i)];
      std::vector<float> p = {v * v};
      for (int k = 0; k < 7; ++k) p.push_back(p.back() * v);
      float expected = p.back();
      for (std::size_t k = p.size() - 1; k-- > 0;) expected = expected + p[k];
      right = right && same(out[std::size_t(i)], expected);
    }
    CHECK(right);
  }
}

TEST_CASE("lanes: results that are no computation") {
  std::vector<float> values(300);
  std::iota(values.begin(), values.end(), 1.0f);

  LaneProgram copy;
  copy.result = input(copy, Dtype::f32).id();
  CHECK(run(copy, values, 300) == values);

  LaneProgram constant;
  constant.result = input(constant, Dtype::f32).like(2.5).id();
  CHECK(run(constant, values, 300) == std::vector<float>(300, 2.5f));

  LaneProgram folded;  // a constant expression of literals
  const Lane two = input(folded, Dtype::f32).like(2);
  folded.result = lane::select(two < two.like(3), two * two.like(3), two).id();
  CHECK(run(folded, values, 300) == std::vector<float>(300, 6.0f));
}

TEST_CASE("lanes: the result may replace an operand") {
  LaneProgram program;
  const Lane x = input(program, Dtype::f32);
  const Lane y = input(program, Dtype::f32);
  program.result = (x * y - x / y).id();
  std::vector<float> a(700), b(700);
  for (std::size_t i = 0; i < a.size(); ++i) {
    a[i] = float(i) + 0.25f;
    b[i] = 3 - float(i % 13) * 0.3f;
  }
  const LaneOperand operands[] = {{a.data(), 1}, {b.data(), 1}};
  std::vector<float> expected(a.size());
  run_lanes(program, operands, expected.data(), 700);
  run_lanes(program, operands, a.data(), 700);
  CHECK(a == expected);
}

TEST_CASE("lanes: literals") {
  LaneProgram program;
  const Lane f = input(program, Dtype::f32);
  CHECK(program.code[f.like(0.1).id()].bits == bits(0.1f));
  CHECK(f.like(0.0).id() != f.like(-0.0).id());
  CHECK(f.like(1).id() == f.like(1).id());
  CHECK(program.code[f.literal(Dtype::u32, -1).id()].bits == 0xffffffffu);
  CHECK(program.code[f.literal(Dtype::u32, 0xfffffffe).id()].bits == 0xfffffffeu);
  CHECK(program.code[f.literal(Dtype::i32, -2).id()].bits == 0xfffffffeu);
  CHECK(program.code[f.literal(Dtype::i64, -2).id()].bits == 0xfffffffffffffffeu);
  CHECK(program.code[f.literal(Dtype::i64, 0x1p63).id()].bits == 0x7fffffffffffffffu);
  CHECK(program.code[f.literal(Dtype::boolean, 3).id()].bits == 1);
}

TEST_CASE("lanes: what makes no sense is refused") {
  LaneProgram program;
  const Lane f = input(program, Dtype::f32);
  const Lane d = input(program, Dtype::f64);
  const Lane i = input(program, Dtype::i32);
  CHECK_THROWS_AS(f + d, InternalError);
  CHECK_THROWS_AS(lane::fma(f, f, d), InternalError);
  CHECK_THROWS_AS(lane::select(f, f, f), InternalError);
  CHECK_THROWS_AS(lane::select(f < f, f, d), InternalError);

  program.result = lane::sqrt(i).id();
  const float zero = 0;
  float out = 0;
  const LaneOperand operands[] = {{&zero, 1}, {&zero, 1}, {&zero, 1}};
  CHECK_THROWS_AS(run_lanes(program, operands, &out, 1), InternalError);
}

TEST_CASE("denormals: the mode is put back, and nothing else is touched") {
  const unsigned before = _mm_getcsr();
  std::fesetround(FE_UPWARD);
  const unsigned upward = _mm_getcsr();
  {
    const FlushDenormals flush;
    CHECK((_mm_getcsr() & 0x8040) == 0x8040);
    CHECK((_mm_getcsr() | 0x8040) == (upward | 0x8040));
    {
      const FlushDenormals keep(true);
      CHECK((_mm_getcsr() & 0x8040) == 0);
    }
    CHECK((_mm_getcsr() & 0x8040) == 0x8040);
  }
  CHECK(_mm_getcsr() == upward);
  std::fesetround(FE_TONEAREST);
  CHECK(_mm_getcsr() == before);
}

}  // namespace
}  // namespace tapeloop::testing::lane_cases
