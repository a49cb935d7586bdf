// Compiled lane programs against interpreted ones, bit for bit: each instruction on special values, and random programs.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "ad/denormals.h"
#include "ad/lanes.h"
#include "ad/options.h"
#include "jit/lanes_kernel.h"
#include "tests/cases.h"

namespace tapeloop {
namespace {

constexpr int kCount = 16 * 40 + 7;  // some for the loop of single elements
constexpr std::array kDtypes = {Dtype::f32, Dtype::f64, Dtype::i32, Dtype::u32, Dtype::i64, Dtype::boolean};
constexpr std::array kFloats = {Dtype::f32, Dtype::f64};
constexpr std::array kIntegers = {Dtype::i32, Dtype::u32};

using Random = std::mt19937_64;
using Array = std::vector<std::uint64_t>;  // raw memory, aligned for any dtype

template <class T>
T special(Random& random) {
  using Limits = std::numeric_limits<T>;
  if constexpr (std::is_floating_point_v<T>) {
    const T values[] = {0,
                        T(0.5),
                        1,
                        T(1.5),
                        2,
                        T(2.5),
                        T(0x1p31),
                        T(0x1p32),
                        T(1e9),
                        T(0x1p23) - T(0.5),
                        Limits::min(),
                        Limits::denorm_min(),
                        Limits::min() / 3,
                        Limits::max(),
                        Limits::infinity(),
                        Limits::quiet_NaN(),
                        T(0.1),
                        T(3.75),
                        T(2147483583),
                        T(4294967040)};
    const T value = values[random() % std::size(values)];
    return random() % 2 != 0 ? -value : value;
  } else {
    const T values[] = {0, 1, 2, 31, Limits::max(), Limits::min(), T(Limits::max() / 2 + 1), T(-1), 12345};
    return values[random() % std::size(values)];
  }
}

// A third special values, a third ordinary ones, a third any bits.
template <class T>
T element(Random& random) {
  switch (random() % 3) {
    case 0:
      return special<T>(random);
    case 1:
      return T(std::normal_distribution<double>(0, 5)(random));
    default:
      return std::bit_cast<std::array<T, 8 / sizeof(T)>>(random())[0];
  }
}

template <class T>
Array array_of(Random& random) {
  Array array(kCount);
  for (int i = 0; i < kCount; ++i) {
    T value = T();
    if constexpr (std::is_same_v<T, bool>)
      value = random() % 2 != 0;
    else if constexpr (std::is_same_v<T, std::int32_t>)
      value = std::int32_t(element<std::uint32_t>(random));
    else if constexpr (std::is_same_v<T, std::uint32_t>)
      value = random() % 3 == 0 ? special<std::uint32_t>(random) : std::uint32_t(random());
    else if constexpr (std::is_same_v<T, std::int64_t>)
      value = random() % 3 == 0 ? special<T>(random) : random() % 2 == 0 ? T(random() % 200) - 100 : T(random());
    else
      value = element<T>(random);
    std::memcpy(reinterpret_cast<char*>(array.data()) + std::size_t(i) * sizeof(T), &value, sizeof(T));
  }
  return array;
}

Array array_of(Dtype dtype, Random& random) {
  switch (dtype) {
    case Dtype::f32:
      return array_of<float>(random);
    case Dtype::f64:
      return array_of<double>(random);
    case Dtype::i32:
      return array_of<std::int32_t>(random);
    case Dtype::u32:
      return array_of<std::uint32_t>(random);
    case Dtype::i64:
      return array_of<std::int64_t>(random);
    default:
      return array_of<bool>(random);
  }
}

template <class T>
bool same(const Array& x, const Array& y, int i) {
  const char* const at_x = reinterpret_cast<const char*>(x.data()) + std::size_t(i) * sizeof(T);
  const char* const at_y = reinterpret_cast<const char*>(y.data()) + std::size_t(i) * sizeof(T);
  T a, b;
  std::memcpy(&a, at_x, sizeof(T));
  std::memcpy(&b, at_y, sizeof(T));
  return (std::isnan(a) && std::isnan(b)) || std::memcmp(at_x, at_y, sizeof(T)) == 0;
}

// The first element in which the two differ, or -1. All NaNs are one.
int first_difference(Dtype dtype, const Array& x, const Array& y) {
  for (int i = 0; i < kCount; ++i) {
    bool equal = false;
    if (dtype == Dtype::f32)
      equal = same<float>(x, y, i);
    else if (dtype == Dtype::f64)
      equal = same<double>(x, y, i);
    else
      equal =
          std::memcmp(reinterpret_cast<const char*>(x.data()) + i * size_of(dtype),
                      reinterpret_cast<const char*>(y.data()) + i * size_of(dtype), std::size_t(size_of(dtype))) == 0;
    if (!equal) return i;
  }
  return -1;
}

// Calls `f` for every instruction set of this machine, with denormals flushed and kept.
void on_each_target(const std::function<void(const Target&)>& f) {
  constexpr const char* isas[] = {"sse2", "avx2", "avx512"};
  for (const char* isa : std::span(isas).first(std::size_t(host_target().isa) + 1)) {
    for (const bool denormals : {false, true}) {
      Options mine = options();
      mine.isa = isa;
      mine.denormals = denormals;
      const ScopedOptions scope(mine);
      const FlushDenormals flush(/*keep=*/denormals);
      f(target_for(isa));
    }
  }
}

void compare(const LaneProgram& program, std::span<const Dtype> dtypes, std::span<const int> steps, Random& random) {
  std::vector<Array> arrays;
  for (const Dtype dtype : dtypes) arrays.push_back(array_of(dtype, random));
  std::vector<LaneOperand> operands;
  std::vector<const void*> pointers;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    operands.push_back({arrays[i].data(), steps[i]});
    pointers.push_back(arrays[i].data());
  }
  on_each_target([&](const Target& target) {
    Array expected(kCount, 0);
    run_lanes(program, operands, expected.data(), kCount);
    for (const int width : {16, 1}) {
      Array result(kCount, 0);
      CompiledLanes(program, steps, width, target).run(pointers, result.data(), kCount);
      const int i = first_difference(program.dtype(), expected, result);
      if (i >= 0) {
        std::string values;
        for (std::size_t k = 0; k < arrays.size(); ++k) {
          std::uint64_t bits = 0;
          const int size = size_of(dtypes[k]);
          std::memcpy(&bits, reinterpret_cast<const char*>(arrays[k].data()) + i * steps[k] * size, std::size_t(size));
          values += " " + std::to_string(bits);
        }
        const std::string shown = to_string(program);
        FAIL_CHECK(shown << "isa " << int(target.isa) << " denormals " << options().denormals << " width " << width
                         << " element " << i << " of operands" << values);
      }
      ++testing::cases;
    }
  });
}

// Writes programs down.
class Writer {
 public:
  explicit Writer(Random& random) : random_(random) {}

  LaneProgram program;
  std::vector<Dtype> dtypes;
  std::vector<Lane> values;

  Lane input(Dtype dtype) {
    program.code.push_back({LaneOp::input, dtype, {std::uint16_t(dtypes.size()), 0, 0}});
    dtypes.push_back(dtype);
    return keep(Lane(program, std::uint16_t(program.code.size() - 1)));
  }
  Lane keep(Lane lane) {
    values.push_back(lane);
    return lane;
  }
  template <std::size_t n>
  Dtype one_of(const std::array<Dtype, n>& choice) {
    return choice[random_() % n];
  }

  // Some value of this dtype that is there already, or a literal; of the dtype of an input there always is one.
  Lane any(Dtype dtype) {
    if (random_() % 6 == 0) return literal(dtype);
    for (int tries = 0; tries < 40; ++tries) {
      const Lane lane = values[random_() % values.size()];
      if (lane.dtype() == dtype) return lane;
    }
    return literal(dtype);
  }

  Lane literal(Dtype dtype) {
    const Lane any_lane(program, 0);
    constexpr double few[] = {0, 1, -1, 2, -0.5};
    if (is_float(dtype) && random_() % 2 == 0) return any_lane.literal(dtype, few[random_() % std::size(few)]);
    switch (dtype) {
      case Dtype::f32:
        return any_lane.literal_bits(dtype, std::bit_cast<std::uint32_t>(element<float>(random_)));
      case Dtype::f64:
        return any_lane.literal_bits(dtype, std::bit_cast<std::uint64_t>(element<double>(random_)));
      case Dtype::boolean:
        return any_lane.literal_bits(dtype, random_() % 2);
      default:
        return any_lane.literal_bits(dtype, std::uint32_t(random_()));
    }
  }

  // Which NaN an operation makes is not part of its meaning, so nobody may look at the bits of one.
  static Lane no_nan(Lane x) { return is_float(x.dtype()) ? lane::select(lane::is_nan(x), x.like(3), x) : x; }

  // scale_by_power within its domain.
  static Lane scaled(Lane a, Lane exponent) {
    const Lane magnitude = lane::abs(a);
    const double limit = a.dtype() == Dtype::f32 ? 252 : 2044;
    const Lane fits = lane::select(magnitude >= 0.5, magnitude, magnitude.like(1)) <= 4.0;
    const Lane mantissa = lane::select(magnitude >= 0.5, lane::select(fits, a, a.like(1.5)), a.like(-0.75));
    const Lane bounded = lane::max(lane::min(lane::round(exponent), exponent.like(limit)), exponent.like(-limit));
    return lane::scale_by_power(mantissa, lane::select(lane::is_nan(exponent), exponent.like(0), bounded));
  }

  // One instruction of kind `op`, on operands of any dtypes that it allows.
  Lane write(LaneOp op) {
    const Dtype number = one_of(std::array{Dtype::f32, Dtype::f64, Dtype::i32, Dtype::u32, Dtype::i64});
    const Dtype real = one_of(kFloats);
    switch (op) {
      case LaneOp::add:
        return any(number) + any(number);
      case LaneOp::sub:
        return any(number) - any(number);
      case LaneOp::mul:
        return any(number) * any(number);
      case LaneOp::div: {
        const Dtype divided = one_of(std::array{Dtype::f32, Dtype::f64, Dtype::i64});
        return any(divided) / any(divided);
      }
      case LaneOp::fma:
        return lane::fma(any(real), any(real), any(real));
      case LaneOp::neg:
        return -any(number);
      case LaneOp::abs:
        return lane::abs(any(number));
      case LaneOp::min:
        return lane::min(any(number), any(number));
      case LaneOp::max:
        return lane::max(any(number), any(number));
      case LaneOp::sqrt:
        return lane::sqrt(any(real));
      case LaneOp::floor:
        return lane::floor(any(real));
      case LaneOp::round:
        return lane::round(any(real));
      case LaneOp::scale_by_power:
        return scaled(any(real), any(real));
      case LaneOp::eq: {
        const Dtype dtype = one_of(kDtypes);
        return any(dtype) == any(dtype);
      }
      case LaneOp::lt:
        return any(number) < any(number);
      case LaneOp::le:
        return any(number) <= any(number);
      case LaneOp::select: {
        const Dtype dtype = one_of(kDtypes);
        return lane::select(any(Dtype::boolean), any(dtype), any(dtype));
      }
      case LaneOp::and_:
      case LaneOp::or_:
      case LaneOp::xor_: {
        const Dtype dtype = one_of(std::array{Dtype::i32, Dtype::u32, Dtype::i64, Dtype::boolean});
        const Lane a = any(dtype), b = any(dtype);
        return op == LaneOp::and_ ? a & b : op == LaneOp::or_ ? a | b : a ^ b;
      }
      case LaneOp::shl:
        return any(one_of(kIntegers)) << int(random_() % 32);
      case LaneOp::shr:
        return any(one_of(kIntegers)) >> int(random_() % 32);
      case LaneOp::mulhi:
        return lane::mulhi(any(Dtype::u32), any(Dtype::u32));
      case LaneOp::bitcast: {
        const auto words = std::array{Dtype::f32, Dtype::i32, Dtype::u32};
        return lane::bitcast(no_nan(any(one_of(words))), one_of(words));
      }
      case LaneOp::bits_of_exponent:
        return lane::bits_of_exponent(no_nan(any(Dtype::f64)));
      case LaneOp::with_exponent:
        return lane::with_exponent(no_nan(any(Dtype::f64)), any(Dtype::u32));
      default:
        return lane::convert(any(one_of(kDtypes)), one_of(kDtypes));
    }
  }

  LaneProgram result(Lane lane) const {
    LaneProgram finished = program;
    finished.result = lane.id();
    return finished;
  }

 private:
  Random& random_;
};

constexpr int kFirst = int(LaneOp::add);
constexpr int kLast = int(LaneOp::convert);

// A few operands of each dtype, most of them arrays.
std::vector<int> some_inputs(Writer& writer, Random& random) {
  std::vector<int> steps;
  for (const Dtype dtype : kDtypes)
    for (int i = 0; i < 3; ++i) {
      writer.input(dtype);
      steps.push_back(random() % 5 != 0);
    }
  return steps;
}

TEST_CASE("compiled lanes: each instruction gives the interpreter's bits" * doctest::test_suite("long")) {
  Random random(1);
  for (int op = kFirst; op <= kLast; ++op)
    for (int round = 0; round < (tapeloop::testing::kInstrumented ? 1 : 6); ++round) {
      Writer writer(random);
      const std::vector<int> steps = some_inputs(writer, random);
      const Lane lane = writer.write(LaneOp(op));
      compare(writer.result(lane), writer.dtypes, steps, random);
    }
}

TEST_CASE("compiled lanes: random programs give the interpreter's bits") {
  Random random(2);
  for (int round = 0; round < (tapeloop::testing::kInstrumented ? 5 : 40); ++round) {
    Writer writer(random);
    const std::vector<int> steps = some_inputs(writer, random);
    for (int i = 0; i < 30; ++i) writer.keep(writer.write(LaneOp(kFirst + int(random() % (kLast - kFirst + 1)))));
    compare(writer.result(writer.values.back()), writer.dtypes, steps, random);
  }
}

TEST_CASE("compiled lanes: an unknown instruction set is named") {
  CHECK_THROWS_WITH(target_for("neon"), doctest::Contains("neon"));
}

}  // namespace
}  // namespace tapeloop
