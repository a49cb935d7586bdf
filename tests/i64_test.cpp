// 64-bit integers: the same conventions as those of 32 bits, on numbers that only 64 hold; compiled and interpreted alike.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "cases.h"
#include "jit/jit.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/prefix.h"
#include "ops/reduce.h"
#include "ops/scatter.h"
#include "ops/shape.h"
#include "ops/sort.h"
#include "ops/source.h"

using namespace tapeloop;

namespace {

using I = std::int64_t;
__extension__ typedef __int128 Wide;
constexpr I kLeast = INT64_MIN, kMost = INT64_MAX, kBig = (I(1) << 53) + 1;

// Every pair of these meets, in a vector that leaves a rest of any vector's width.
struct Pairs {
  std::vector<I> a, b;
  Pairs() {
    const std::vector<I> numbers{0,          1,         -1,       2,         -2,         7,
                                 -7,         10,        1000003,  -1000003,  kBig,       -kBig,
                                 I(1) << 32, kMost,     kLeast,   kMost - 1, kLeast + 1, -(I(1) << 40),
                                 3,          INT32_MAX, INT32_MIN};
    for (I p : numbers)
      for (I q : numbers) {
        a.push_back(p);
        b.push_back(q);
      }
  }
};

Tensor vec(const std::vector<I>& values) { return Tensor::of(values, {std::int64_t(values.size())}); }
std::vector<I> numbers(const Tensor& t) { return t.materialized().to_vector<I>(); }

// f interpreted and compiled; both give the same bits.
template <class F>
Tensor both(const F& f, const Tensor& a, const Tensor& b) {
  const Tensor plain = f(a, b).materialized();
  const Tensor compiled = jit(f)(a, b).materialized();
  CHECK(same_bits(plain, compiled));
  ++tapeloop::testing::cases;
  return plain;
}

I wrapped(std::uint64_t x) { return I(x); }

// What i32 has: the floor of the quotient, the nearest that there is where there is none; remainders by 0 are 0.
I floor_quotient(I a, I b) {
  if (b == 0) return a == 0 ? 0 : a > 0 ? kMost : kLeast;
  const Wide q = Wide(a) / b, r = Wide(a) % b;
  const Wide floor = r != 0 && (r < 0) != (b < 0) ? q - 1 : q;
  return floor > kMost ? kMost : I(floor);
}
I truncated_rest(I a, I b) { return b == 0 ? 0 : I(Wide(a) % b); }
I floored_rest(I a, I b) {
  if (b == 0) return 0;
  const Wide r = Wide(a) % b;
  return I(r != 0 && (r < 0) != (b < 0) ? r + b : r);
}

}  // namespace

TEST_CASE("i64: arithmetic wraps, and division keeps the conventions of i32") {
  const Pairs pairs;
  const Tensor a = vec(pairs.a), b = vec(pairs.b);
  struct Line {
    const char* name;
    Tensor (*f)(const Tensor&, const Tensor&);
    I (*expected)(I, I);
  };
  using T = const Tensor&;
  const Line lines[] = {
      {"add", [](T x, T y) { return x + y; }, [](I x, I y) { return wrapped(std::uint64_t(x) + std::uint64_t(y)); }},
      {"sub", [](T x, T y) { return x - y; }, [](I x, I y) { return wrapped(std::uint64_t(x) - std::uint64_t(y)); }},
      {"mul", [](T x, T y) { return x * y; }, [](I x, I y) { return wrapped(std::uint64_t(x) * std::uint64_t(y)); }},
      {"neg", [](T x, T) { return -x; }, [](I x, I) { return wrapped(-std::uint64_t(x)); }},
      {"abs", [](T x, T) { return abs(x); }, [](I x, I) { return x < 0 ? wrapped(-std::uint64_t(x)) : x; }},
      {"sign", [](T x, T) { return sign(x); }, [](I x, I) { return I(x > 0) - I(x < 0); }},
      {"maximum", [](T x, T y) { return maximum(x, y); }, [](I x, I y) { return std::max(x, y); }},
      {"minimum", [](T x, T y) { return minimum(x, y); }, [](I x, I y) { return std::min(x, y); }},
      {"clamp", [](T x, T y) { return clamp(x, y, 5); }, [](I x, I y) { return std::min(std::max(x, y), I(5)); }},
      {"relu", [](T x, T) { return relu(x); }, [](I x, I) { return std::max(x, I(0)); }},
      {"floor_divide", [](T x, T y) { return floor_divide(x, y); }, floor_quotient},
      {"fmod", [](T x, T y) { return fmod(x, y); }, truncated_rest},
      {"remainder", [](T x, T y) { return remainder(x, y); }, floored_rest},
      {"where", [](T x, T y) { return where(x < y, x, y); }, [](I x, I y) { return x < y ? x : y; }},
      {"literals", [](T x, T) { return (x + kBig) * 3 - kMost; },
       [](I x, I) { return wrapped((std::uint64_t(x) + std::uint64_t(kBig)) * 3 - std::uint64_t(kMost)); }},
      {"constants", [](T x, T) { return where(x == kMost, kLeast, x); },
       [](I x, I) { return x == kMost ? kLeast : x; }},
  };
  for (const Line& line : lines) {
    INFO(line.name);
    const std::vector<I> got = numbers(both(line.f, a, b));
    for (std::size_t i = 0; i < got.size(); ++i) {
      INFO(pairs.a[i] << " and " << pairs.b[i]);
      CHECK(got[i] == line.expected(pairs.a[i], pairs.b[i]));
    }
  }
}

TEST_CASE("i64: comparisons and conversions") {
  const Pairs pairs;
  const Tensor a = vec(pairs.a), b = vec(pairs.b);
  using T = const Tensor&;
  auto compared = [&](auto f, auto expected) {
    const auto got = both(f, a, b).template to_vector<bool>();
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == expected(pairs.a[i], pairs.b[i]));
  };
  compared([](T x, T y) { return x < y; }, [](I x, I y) { return x < y; });
  compared([](T x, T y) { return x <= y; }, [](I x, I y) { return x <= y; });
  compared([](T x, T y) { return x == y; }, [](I x, I y) { return x == y; });
  compared([](T x, T y) { return x != y; }, [](I x, I y) { return x != y; });

  // To others and back: integers keep their low bits, floats the nearest number.
  const auto through = [&](Dtype dtype, auto expected) {
    INFO(name_of(dtype));
    const auto got = numbers(both([dtype](T x, T) { return cast(cast(x, dtype), Dtype::i64); }, a, b));
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == expected(pairs.a[i]));
  };
  through(Dtype::i32, [](I x) { return I(std::int32_t(x)); });
  through(Dtype::u32, [](I x) { return I(std::uint32_t(x)); });
  through(Dtype::f64, [](I x) { return i64_of(double(x)); });
  through(Dtype::f32, [](I x) { return i64_of(double(float(x))); });
  through(Dtype::boolean, [](I x) { return I(x != 0); });

  const Tensor floats = Tensor::of(
      std::vector<double>{0.5, -0.5, 1e18, -1e18, 1e19, -1e19, 0x1p63, -0x1p63, INFINITY, -INFINITY, NAN, 1e300}, {12});
  CHECK(numbers(both([](T x, T) { return cast(x, Dtype::i64); }, floats, floats)) ==
        std::vector<I>{0, 0, 1000000000000000000, -1000000000000000000, kMost, kLeast, kMost, kLeast, kMost, kLeast, 0,
                       kMost});
}

TEST_CASE("i64: reductions, prefixes and sorting") {
  const std::vector<I> list{5, kBig, -kBig, kMost, kLeast, 0, -1, kMost, 3, I(1) << 40, kLeast, 17, 2};
  const Tensor x = vec(list), m = reshape(vec({1, kMost, -3, kLeast, 5, kBig}), {2, 3}).materialized();
  using T = const Tensor&;
  std::uint64_t total = 0, product = 1;
  for (I i : list) total += std::uint64_t(i), product *= std::uint64_t(2 * i + 1);
  CHECK(numbers(both([](T a, T) { return sum(a); }, x, x)) == std::vector<I>{I(total)});
  CHECK(numbers(both([](T a, T) { return prod(2 * a + 1); }, x, x)) == std::vector<I>{I(product)});
  CHECK(numbers(both([](T a, T) { return max(a); }, x, x)) == std::vector<I>{kMost});
  CHECK(numbers(both([](T a, T) { return min(a); }, x, x)) == std::vector<I>{kLeast});
  CHECK(numbers(both([](T a, T) { return sum(a, 0); }, m, m)) ==
        std::vector<I>{1 + kLeast, wrapped(std::uint64_t(kMost) + 5), kBig - 3});
  CHECK(numbers(both([](T a, T) { return max(a, 1); }, m, m)) == std::vector<I>{kMost, kBig});
  CHECK(numbers(both([](T a, T) { return min(a, 0); }, m, m)) == std::vector<I>{kLeast, 5, -3});
  CHECK(both([](T a, T) { return argmax(a); }, x, x).to_vector<std::int32_t>() == std::vector<std::int32_t>{3});
  CHECK(both([](T a, T) { return argmin(a); }, x, x).to_vector<std::int32_t>() == std::vector<std::int32_t>{4});
  const Tensor none = Tensor::of(std::vector<I>{}, {0});
  CHECK(numbers(both([](T a, T) { return max(a); }, none, none)) == std::vector<I>{kLeast});
  CHECK(numbers(both([](T a, T) { return min(a); }, none, none)) == std::vector<I>{kMost});

  std::vector<I> sums, products;
  std::uint64_t s = 0, p = 1;
  for (I i : list) {
    sums.push_back(I(s += std::uint64_t(i)));
    products.push_back(I(p *= std::uint64_t(i | 1)));
  }
  CHECK(numbers(both([](T a, T) { return cumsum(a); }, x, x)) == sums);
  CHECK(numbers(both([](T a, T b) { return cumprod(a + b); }, x, vec([&] {
                       std::vector<I> odd;
                       for (I i : list) odd.push_back((i | 1) - i);
                       return odd;
                     }()))) == products);
  std::vector<I> ascending = list, descending = list;
  std::sort(ascending.begin(), ascending.end());
  std::sort(descending.rbegin(), descending.rend());
  CHECK(numbers(both([](T a, T) { return sort(a); }, x, x)) == ascending);
  CHECK(numbers(both([](T a, T) { return sort(a, 0, true); }, x, x)) == descending);
  CHECK(numbers(both([](T a, T) { return topk(a, 3).values; }, x, x)) ==
        std::vector<I>(descending.begin(), descending.begin() + 3));
  CHECK(numbers(both([](T a, T) { return iota({4}, 0, Dtype::i64) + slice(a, 0, 0, 4); }, x, x)) ==
        std::vector<I>{5, kBig + 1, 2 - kBig, wrapped(std::uint64_t(kMost) + 3)});
  CHECK(numbers(both([](T a, T) { return pad(slice(a, 0, 0, 2), 0, 1, 1, -4); }, x, x)) ==
        std::vector<I>{-4, 5, kBig, -4});
}

TEST_CASE("i64: indices, of which those beyond i32 are outside like all others") {
  const Tensor wide = vec({2, -1, 0, I(1) << 32, -(I(1) << 32), kMost, kLeast, 1});
  const Tensor narrow = Tensor::of(std::vector<std::int32_t>{2, -1, 0, 99, -99, 99, -99, 1}, {8});
  const Tensor table = Tensor::of(std::vector<double>{10, 20, 30, 40, 50, 60}, {3, 2});
  using T = const Tensor&;
  auto same = [&](auto f) {
    CHECK(same_bits(both([&](T t, T i) { return f(t, i); }, table, wide), f(table, narrow).materialized()));
  };
  same([](T t, T i) { return gather(t, i); });
  same([](T t, T i) { return gather(cast(t, Dtype::i64), i); });
  same([](T t, T i) { return scatter_add(i, broadcast_to(t, {8, 3, 2}), Shape{5, 3, 2}); });
  same([](T t, T i) { return scatter(t, i, broadcast_to(slice(t, 0, 0, 1), {8, 2})); });
  same([](T t, T i) { return scatter_add(i, cast(broadcast_to(slice(t, 0, 0, 1), {8, 2}), Dtype::i64), Shape{3, 2}); });
  same([](T t, T i) { return pick_along(broadcast_to(slice(t, 1, 0, 1), {3, 8}), i, 0); });
  same([](T t, T i) { return one_hot(i, 3, Dtype::f64) * sum(t); });
  same([](T t, T i) { return take_along(transpose(t), broadcast_to(i, {2, 8}), 1); });
  same([](T t, T i) { return gather_nd(t, reshape(i, {8, 1})); });
  same([](T t, T i) { return dynamic_slice(t, {at(i, 0, 5), at(i, 0, 6)}, {2, 1}); });
}

TEST_CASE("i64: literals are exact, and errors name what does not fit") {
  const Tensor x = vec({1, 2});
  CHECK(numbers(x + 9007199254740993) == std::vector<I>{9007199254740994, 9007199254740995});
  CHECK(to_string(x * kMost) == "i64[2] [9223372036854775807, -2]");
  CHECK((x == x).to_vector<bool>() == std::vector<bool>{true, true});
  CHECK(at(x, 0, 1).materialized().item<I>() == 2);
  CHECK_THROWS_WITH_AS((void)(x + 0.5), doctest::Contains("meets an integer tensor of i64"), Error);
  CHECK_THROWS_WITH_AS((void)(x + Tensor::of(std::vector<int>{1, 2}, {2})), doctest::Contains("i64"), Error);
  CHECK_THROWS_WITH_AS((void)exp(x), doctest::Contains("i64"), Error);
}
