// Files of tensors: what is saved is loaded, and no bad file is.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "cases.h"
#include "models/lstm.h"
#include "models/save.h"

using namespace tapeloop;
namespace fs = std::filesystem;

namespace {

// A folder that is gone at the end.
struct Folder {
  fs::path path;
  Folder() {
    std::string name = (fs::temp_directory_path() / "tapeloop.XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file(const std::string& name) const { return (path / name).string(); }
  std::size_t files() const { return std::size_t(std::distance(fs::directory_iterator(path), {})); }
};

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

std::string with_length(const std::string& header, const std::string& data) {
  std::uint64_t n = header.size();
  std::string bytes(sizeof n, '\0');
  std::memcpy(bytes.data(), &n, sizeof n);
  return bytes + header + data;
}

struct Pair {
  Tensor a, b;
};
const Pair pair{Tensor::of(std::vector<float>{1, 2}, {2}), Tensor::of(std::vector<float>{3}, {1})};
const std::string good_a = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
const std::string good_b = R"("b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]})";

}  // namespace

TEST_CASE("save: every dtype, shape and number comes back as it was, with the metadata") {
  struct All {
    Tensor f, d;
    std::vector<Tensor> integers;
    Tensor flags, nothing, empty;
    Lstm cell;
  };
  const All all{Tensor::of(std::vector<float>{0.1F, -0.0F, INFINITY, NAN}, {2, 2}),
                full({}, 1.0 / 3, Dtype::f64),
                {Tensor::of(std::vector<int>{-1, 7}, {2, 1}), Tensor::of(std::vector<std::uint32_t>{4294967295U}, {1}),
                 Tensor::of(std::vector<std::int64_t>{INT64_MIN, 9007199254740993}, {2})},
                (Tensor::of(std::vector<int>{0, 1, 2}, {3}) != 0),
                Tensor(),
                zeros({0, 3}).materialized(),
                Lstm::init(key(1), 3, 2)};
  const Folder folder;
  const std::string path = folder.file("all.safetensors");
  save(path, all, {{"step", "12"}, {"quote", "\"ü\n"}});
  Metadata metadata;
  const All loaded = load(path, all, &metadata);
  const Tensors before = leaves_of(all), after = leaves_of(loaded);
  REQUIRE(before.size() == after.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    CHECK(same_bits(before[i].materialized(), after[i]));
    ++tapeloop::testing::cases;
  }
  CHECK(loaded.nothing.is_empty());
  CHECK(metadata == Metadata{{"step", "12"}, {"quote", "\"ü\n"}});
  CHECK(folder.files() == 1);
  CHECK(read(path).find("\"cell.w\"") != std::string::npos);
}

TEST_CASE("save: the bytes are those that the format asks for") {
  const Folder folder;
  save(folder.file("x"), pair);
  std::string header = "{" + good_a + "," + good_b + "}";
  header.append((8 - header.size() % 8) % 8, ' ');
  const float numbers[] = {1, 2, 3};
  std::string data(sizeof numbers, '\0');
  std::memcpy(data.data(), numbers, sizeof numbers);
  CHECK(read(folder.file("x")) == with_length(header, data));
}

TEST_CASE("save: a failure leaves the old file and nothing beside it") {
  const Folder folder;
  fs::create_directory(folder.file("taken"));
  CHECK_THROWS_WITH_AS(save(folder.file("taken"), pair), doctest::Contains("taken: cannot rename"), Error);
  CHECK_THROWS_WITH_AS(save(folder.file("no/x"), pair), doctest::Contains("No such file"), Error);
  save(folder.file("x"), pair);
  const std::string before = read(folder.file("x"));
  CHECK_THROWS_AS(save(folder.file("x"), pair, {{"bad", "\xff"}}), Error);
  CHECK(read(folder.file("x")) == before);
  CHECK(folder.files() == 2);
}

TEST_CASE("save: no bad file is loaded, and the error names the file and the tensor") {
  const std::string data(12, '\0');
  const auto json = [&](const std::string& header) { return with_length(header, data); };
  const auto b = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "{" + good_a + R"(,"b":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  const std::string good = "{" + good_a + "," + good_b + "}";
  std::string huge = json(good), longer = json(good);
  huge.replace(0, 8, std::string(8, '\xff'));
  longer[0] = char(longer[0] + 100);
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"", "0 bytes are too few"},
      {"1234567", "7 bytes are too few"},
      {huge, "more than 100 MB"},
      {longer, "truncated"},
      {with_length(good, data.substr(1)), "tensor \"b\": its data_offsets [8, 12] are outside of the 11 bytes"},
      {with_length(good, data + "x"), "1 bytes after the last tensor"},
      {json("{" + good_a + "," + good_b), "not valid JSON"},
      {json("[1]"), "not a JSON object"},
      {json("{\"\xff\":1}"), "not valid JSON"},
      {json(std::string(1000, '[')), "not valid JSON"},
      {json("{" + good_a + "," + good_a + "," + good_b + "}"), "the header has \"a\" twice"},
      {json("{" + good_a + R"(,"b":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[8,12]}})"),
       "\"dtype\" twice"},
      {with_length("{" + good_a + "}", data.substr(4)), "tensor \"b\" is missing"},
      {json("{" + good_a + R"(,"z":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})"), "unknown tensor \"z\""},
      {json(b("\"I32\"", "[1]", "[8,12]")), "tensor \"b\" is i32[1] in the file, f32[1] in the model"},
      {json(b("\"F32\"", "[1,1]", "[8,12]")), "tensor \"b\" is f32[1, 1] in the file"},
      {json(b("\"F31\"", "[1]", "[8,12]")), "tensor \"b\": unknown dtype F31"},
      {json(b("1", "[1]", "[8,12]")), "tensor \"b\": dtype must be a string"},
      {json(b("\"F32\"", "[-1]", "[8,12]")), "tensor \"b\": dtype must be"},
      {json(b("\"F32\"", "[1.5]", "[8,12]")), "tensor \"b\": dtype must be"},
      {json(b("\"F32\"", "[1]", "[8]")), "tensor \"b\": dtype must be"},
      {json(b("\"F32\"", "[2]", "[8,12]")), "tensor \"b\": its data_offsets hold 4 bytes, its shape needs 8"},
      {json(b("\"F32\"", "[4294967296,4294967296]", "[8,12]")), "tensor \"b\": its shape is too large"},
      {json(b("\"F32\"", "[9223372036854775808]", "[8,12]")), "tensor \"b\": its shape is too large"},
      {json(b("\"F32\"", "[1]", "[12,8]")), "tensor \"b\": its data_offsets [12, 8]"},
      {json(b("\"F32\"", "[1]", "[8,99]")), "tensor \"b\": its data_offsets [8, 99]"},
      {json(b("\"F32\"", "[1]", "[18446744073709551612,0]")), "tensor \"b\": its data_offsets"},
      {json(b("\"F32\"", "[1]", "[4,8]")), "tensor \"b\": its data_offsets overlap"},
      {with_length(b("\"F32\"", "[1]", "[12,16]"), data + "1234"), "tensor \"b\": the 4 bytes before"},
      {json("{" + good_a + R"(,"b":7})"), "tensor \"b\": its entry must have"},
      {json("{" + good_a + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12],"more":1}})"), "and nothing else"},
      {json(R"({"__metadata__":{"k":1},)" + good.substr(1)), "__metadata__ \"k\" is not a string"},
      {json(R"({"__metadata__":1,)" + good.substr(1)), "__metadata__ is not an object"},
  };
  const Folder folder;
  const std::string path = folder.file("bad.safetensors");
  write(path, json(good));
  CHECK_NOTHROW(load(path, pair));
  Metadata metadata{{"untouched", "yes"}};
  for (const auto& [bytes, message] : bad) {
    write(path, bytes);
    CAPTURE(message);
    CHECK_THROWS_WITH_AS(load(path, pair, &metadata), doctest::Contains(message.c_str()), Error);
    CHECK_THROWS_WITH_AS(load(path, pair), doctest::Contains(("load: " + path).c_str()), Error);
    ++tapeloop::testing::cases;
  }
  CHECK(metadata == Metadata{{"untouched", "yes"}});
  CHECK_THROWS_WITH_AS(load(folder.file("none"), pair), doctest::Contains("No such file"), Error);
  CHECK_THROWS_WITH_AS(load(folder.path.string(), pair), doctest::Contains("not a regular file"), Error);
}

TEST_CASE("save: a file that is cut anywhere, or has one byte changed in its header, never crashes") {
  const Folder folder;
  const std::string path = folder.file("x");
  save(path, pair);
  const std::string whole = read(path);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    write(path, whole.substr(0, n));
    CHECK_THROWS_AS(load(path, pair), Error);
  }
  const std::size_t header = whole.size() - 12;
  std::size_t refused = 0;
  for (std::size_t i = 0; i < header; ++i)
    for (char c : {'\0', '9', '"', '{', '\xff'}) {
      std::string changed = whole;
      changed[i] = c;
      write(path, changed);
      try {
        (void)load(path, pair);  // a space may become another digit of nothing
      } catch (const Error&) {
        ++refused;
      }
    }
  CHECK(refused > 4 * header);
  ++tapeloop::testing::cases;
}

TEST_CASE("save: a boolean is 0 or 1") {
  const Folder folder;
  const std::vector<Tensor> flag{Tensor::of(std::vector<int>{1}, {1}) != 0};
  save(folder.file("x"), flag);
  std::string bytes = read(folder.file("x"));
  bytes.back() = 2;
  write(folder.file("x"), bytes);
  CHECK_THROWS_WITH_AS(load(folder.file("x"), flag), doctest::Contains("neither 0 nor 1"), Error);
}
