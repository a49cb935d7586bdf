// Programs kept on disk: found again, never trusted when anything about them is wrong.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "ad/grad.h"
#include "jit/cache.h"
#include "jit/jit.h"
#include "jit/serial.h"
#include "models/cell.h"
#include "models/lstm.h"
#include "ops/elementwise.h"
#include "ops/random.h"

using namespace tapeloop;

namespace {

namespace fs = std::filesystem;

// A folder of our own, removed at the end; $XDG_CACHE_HOME for as long.
struct Home {
  fs::path path = fs::temp_directory_path() / ("tapeloop_cache_" + std::to_string(getpid()));
  Home() {
    fs::remove_all(path);
    fs::create_directories(path);
    setenv("XDG_CACHE_HOME", path.c_str(), 1);
  }
  ~Home() {
    unsetenv("XDG_CACHE_HOME");
    fs::remove_all(path);
  }
  fs::path folder() const { return path / "tapeloop"; }
  std::vector<fs::path> files() const {
    std::vector<fs::path> found;
    if (fs::exists(folder()))
      for (const auto& entry : fs::directory_iterator(folder())) found.push_back(entry.path());
    return found;
  }
};

Options caching() {
  Options o = options();
  o.cache = true;
  return o;
}

std::string text_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

Tensor numbers() { return Tensor::of(std::vector<float>{1, 2, 3}, {3}); }

// A program that has not been compiled in this process: how many times LLVM ran for it.
std::int64_t compilations() {
  const auto before = programs_compiled();
  auto f = jit([](const Tensor& x) { return tanh(x) * 2 + x; });
  const Tensor x = numbers(), y = f(x);
  ScopedOptions interpret([] {
    Options o = options();
    o.jit = false;
    return o;
  }());
  CHECK(same_bits(y, f(x)));
  return programs_compiled() - before;
}

}  // namespace

TEST_CASE("a program that was compiled before is loaded") {
  const Home home;
  const ScopedOptions cached(caching());
  CHECK(compilations() == 1);
  CHECK(home.files().size() == 1);
  struct stat s{};
  CHECK(stat(home.folder().c_str(), &s) == 0);
  CHECK((s.st_mode & 0777) == 0700);
  CHECK(compilations() == 0);
  Options off = options();
  off.cache = false;
  const ScopedOptions uncached(off);
  CHECK(compilations() == 1);
}

TEST_CASE("a training step from the disk gives the same bits, and a new length needs no compiler") {
  const Home home;
  const ScopedOptions cached(caching());
  const Lstm cell = Lstm::init(key(1), 5, 24);
  const auto step_of = [] {
    return jit([](const Lstm& c, const Tensor& xs) {
      return value_and_grad<0, 1>([](const Lstm& m, const Tensor& x) {
        return sum(square(unroll(m, m.initial(x.size(1)), x).outputs));
      })(c, xs);
    });
  };
  const auto inputs = [](int t, int b) { return normal(key(3), {t, b, 5}).materialized(); };
  auto first = step_of();
  const auto expected = first(cell, inputs(7, 3)), longer = first(cell, inputs(20, 6));
  const auto before = programs_compiled();
  auto second = step_of();
  const auto begin = std::chrono::steady_clock::now();
  const auto loaded = second(cell, inputs(7, 3));
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  MESSAGE("from the disk: " << ms << " ms");
  const auto again = second(cell, inputs(20, 6));
  CHECK(programs_compiled() == before);
  for (const auto& [a, b] : {std::pair{expected, loaded}, std::pair{longer, again}}) {
    const Tensors x = leaves_of(a), y = leaves_of(b);
    REQUIRE(x.size() == y.size());
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(same_bits(x[i], y[i]));
  }
}

TEST_CASE("the switches and the instruction set are part of what a program is found by") {
  const Home home;
  const ScopedOptions cached(caching());
  CHECK(compilations() == 1);
  for (auto change : {+[](Options& o) { o.denormals = true; }, +[](Options& o) { o.isa = "sse2"; }}) {
    Options o = options();
    change(o);
    const ScopedOptions changed(o);
    CHECK(compilations() == 1);
    CHECK(compilations() == 0);
  }
}

TEST_CASE("an entry that is damaged, cut short or of another user is not used") {
  const Home home;
  const ScopedOptions cached(caching());
  REQUIRE(compilations() == 1);
  REQUIRE(home.files().size() == 1);
  const fs::path file = home.files()[0];
  const std::string whole = text_of(file);
  SUBCASE("one bit anywhere") {
    for (std::size_t at : {std::size_t(0), std::size_t(20), std::size_t(60), whole.size() / 2, whole.size() - 1}) {
      CAPTURE(at);
      std::string damaged = whole;
      damaged[at] = char(damaged[at] ^ 4);
      write(file, damaged);
      CHECK(compilations() == 1);
      CHECK(compilations() == 0);
    }
  }
  SUBCASE("cut short") {
    for (std::size_t size : {std::size_t(0), std::size_t(10), std::size_t(50), whole.size() / 2, whole.size() - 1}) {
      CAPTURE(size);
      write(file, whole.substr(0, size));
      CHECK(compilations() == 1);
    }
  }
  SUBCASE("writable by others") {
    fs::permissions(file, fs::perms::others_write, fs::perm_options::add);
    CHECK(compilations() == 1);
  }
  SUBCASE("in a folder that others may read or write") {
    fs::permissions(home.folder(), fs::perms::group_all, fs::perm_options::add);
    CHECK(compilations() == 1);
    CHECK(compilations() == 1);
  }
  SUBCASE("a link to somewhere else") {
    fs::rename(file, home.path / "elsewhere");
    fs::create_symlink(home.path / "elsewhere", file);
    CHECK(compilations() == 1);
  }
  SUBCASE("of another user") {
    if (geteuid() != 0) return;  // only root can give a file away
    REQUIRE(chown(file.c_str(), 12345, 12345) == 0);
    CHECK(compilations() == 1);
    REQUIRE(chown(home.folder().c_str(), 12345, 12345) == 0);
    CHECK(compilations() == 1);
    CHECK(compilations() == 1);
  }
}

TEST_CASE("a value is found by its whole key") {
  const Home home;
  const DiskCache cache = DiskCache::of_user();
  CHECK(!cache.load("a"));
  cache.store("a", "1");
  cache.store("b", std::string("2\0z", 3));
  CHECK(cache.load("a") == "1");
  CHECK(cache.load("b") == std::string("2\0z", 3));
  // Another key at its place: what a collision of hashes would be.
  fs::copy_file(cache.file_of("a"), cache.file_of("c"));
  CHECK(!cache.load("c"));
}

TEST_CASE("many writers and readers at once see whole values or none") {
  const Home home;
  const DiskCache cache = DiskCache::of_user();
  const std::string a(100'000, 'a'), b(150'000, 'b');
  std::atomic<int> wrong{0}, found{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 40; ++i) {
        cache.store("key", t % 2 ? a : b);
        if (const auto value = cache.load("key")) {
          ++found;
          if (*value != a && *value != b) ++wrong;
        }
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(found > 0);
  CHECK(home.files().size() == 1);  // nothing is left of the writers' own files
}

TEST_CASE("the files together stay below the limit, and those used last are kept") {
  const Home home;
  const DiskCache cache(home.folder(), 100'000);
  const std::string value(9'000, 'x');
  for (int i = 0; i < 30; ++i) {
    cache.store(std::to_string(i), value);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // file times have to differ
    CHECK(cache.load("0").has_value());
  }
  std::uintmax_t total = 0;
  for (const fs::path& file : home.files()) total += fs::file_size(file);
  CHECK(total <= 100'000);
  CHECK(!cache.load("1"));
  CHECK(cache.load("29"));
}

TEST_CASE("a tape's bytes do not depend on where it lies, or what its symbols are worth today") {
  const auto bytes = [](int n, double factor) {
    const auto traced =
        trace_typed([&](const Tensor& x, const Tensor& y) { return sum(x * factor) + y; }, Recorder::Captures::recorded,
                    std::vector<Type>{{Dtype::f32, {Extent::symbol(n), 4}, nullptr}, {Dtype::f32, {}, nullptr}},
                    numbers(), numbers());
    Symbols symbols;
    return serialized(*traced.tape, symbols);
  };
  CHECK(bytes(5, 2) == bytes(5, 2));
  CHECK(bytes(5, 2) == bytes(9, 2));
  CHECK(bytes(5, 2) != bytes(5, 3));
}

TEST_CASE("a recipe that does not fit its tape is refused") {
  const auto traced = trace([](const Tensor& x) { return x + 1; }, Recorder::Captures::recorded, numbers());
  Symbols symbols;
  (void)serialized(*traced.tape, symbols);
  Recipe recipe;
  recipe.layout.memory.push_back({MemoryEntry::Kind::input, 0, {}, {}, 0, 0});
  recipe.donors = {0};
  recipe.margins = {{64, 4096}};
  const std::string bytes = serialized(recipe, symbols);
  CHECK(recipe_from(bytes, symbols, *traced.tape).donors == std::vector<int>{0});
  CHECK(recipe_from(bytes, symbols, *traced.tape).margins[0].whole == Extent(4096));
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK_THROWS(recipe_from(bytes.substr(0, size), symbols, *traced.tape));
  recipe.donors = {3};
  CHECK_THROWS(recipe_from(serialized(recipe, symbols), symbols, *traced.tape));
  recipe.donors = {0};
  recipe.layout.memory[0].index = 7;
  CHECK_THROWS(recipe_from(serialized(recipe, symbols), symbols, *traced.tape));
}
