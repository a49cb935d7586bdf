#include "models/save.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

namespace tapeloop::detail {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian, and so must we be");

using Json = nlohmann::ordered_json;

constexpr std::uint64_t max_header = 100'000'000;  // as in the reference implementation
constexpr std::string_view metadata_key = "__metadata__";

constexpr std::array<std::pair<Dtype, std::string_view>, 6> dtype_names{{{Dtype::f32, "F32"},
                                                                         {Dtype::f64, "F64"},
                                                                         {Dtype::i32, "I32"},
                                                                         {Dtype::u32, "U32"},
                                                                         {Dtype::i64, "I64"},
                                                                         {Dtype::boolean, "BOOL"}}};

std::string_view file_name_of(Dtype dtype) {
  for (const auto& [known, name] : dtype_names)
    if (known == dtype) return name;
  return "?";
}

// A file descriptor that is closed on every way out.
struct File {
  int fd;
  explicit File(int descriptor) : fd(descriptor) {}
  ~File() {
    if (fd >= 0) ::close(fd);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
};

// Where and in which file something went wrong.
struct Context {
  std::string_view op, path;
  const Where& where;

  [[noreturn]] void fail(const std::string& what, std::string_view hint = {}) const {
    throw Error(fmt::format("{}: {}: {}", op, path, what), where, hint);
  }
  [[noreturn]] void fail_errno(std::string_view what) const { fail(fmt::format("{}: {}", what, std::strerror(errno))); }
};

void write_all(int fd, const void* data, std::size_t size, const Context& context) {
  for (auto p = static_cast<const char*>(data); size > 0;) {
    const ssize_t n = ::write(fd, p, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) context.fail_errno("cannot write");
    p += n;
    size -= std::size_t(n);
  }
}

void read_all(int fd, void* data, std::size_t size, const Context& context) {
  for (auto p = static_cast<char*>(data); size > 0;) {
    const ssize_t n = ::read(fd, p, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) context.fail_errno("cannot read");
    if (n == 0) context.fail("the file is truncated");
    p += n;
    size -= std::size_t(n);
  }
}

// The header, in which no key may occur twice (a plain parse would keep the last).
Json parse_header(const std::string& text, const Context& context) {
  std::vector<std::set<std::string>> keys;
  auto check = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) {
      keys.resize(std::max(keys.size(), std::size_t(depth) + 1));
      keys[std::size_t(depth)].clear();
    } else if (event == Json::parse_event_t::key) {
      const auto key = value.get<std::string>();
      if (!keys[std::size_t(depth) - 1].insert(key).second)
        context.fail(fmt::format("the header has \"{}\" twice", key));
    }
    return true;
  };
  try {
    Json header = Json::parse(text, check);
    if (!header.is_object()) context.fail("the header is not a JSON object");
    return header;
  } catch (const Json::exception& error) {
    context.fail(fmt::format("the header is not valid JSON: {}", error.what()));
  }
}

struct Entry {
  Dtype dtype{};
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;
};

Entry parse_entry(const std::string& name, const Json& json, std::uint64_t data_size, const Context& context) {
  auto bad = [&](const std::string& what) { context.fail(fmt::format("tensor \"{}\": {}", name, what)); };
  if (!json.is_object() || json.size() != 3 || !json.contains("dtype") || !json.contains("shape") ||
      !json.contains("data_offsets"))
    bad("its entry must have dtype, shape and data_offsets, and nothing else");
  const Json &dtype = json["dtype"], &shape = json["shape"], &offsets = json["data_offsets"];
  auto are_sizes = [](const Json& list) {
    return list.is_array() &&
           std::all_of(list.begin(), list.end(), [](const Json& n) { return n.is_number_unsigned(); });
  };
  if (!dtype.is_string() || !are_sizes(shape) || !are_sizes(offsets) || offsets.size() != 2)
    bad("dtype must be a string, shape and data_offsets lists of sizes");
  Entry entry;
  const auto wanted = dtype.get<std::string>();
  const auto known =
      std::find_if(dtype_names.begin(), dtype_names.end(), [&](const auto& d) { return d.second == wanted; });
  if (known == dtype_names.end()) bad("unknown dtype " + wanted);
  entry.dtype = known->first;
  auto bytes = std::uint64_t(size_of(entry.dtype));
  constexpr auto limit = std::uint64_t(std::numeric_limits<std::int64_t>::max());
  for (const Json& extent : shape) {
    const auto n = extent.get<std::uint64_t>();
    if (n > limit || (n != 0 && bytes > limit / n)) bad("its shape is too large");
    bytes *= n;
    entry.shape.push_back(std::int64_t(n));
  }
  entry.begin = offsets[0].get<std::uint64_t>();
  entry.end = offsets[1].get<std::uint64_t>();
  if (entry.begin > entry.end || entry.end > data_size)
    bad(fmt::format("its data_offsets [{}, {}] are outside of the {} bytes of data: the file is truncated or damaged",
                    entry.begin, entry.end, data_size));
  if (entry.end - entry.begin != bytes)
    bad(fmt::format("its data_offsets hold {} bytes, its shape needs {}", entry.end - entry.begin, bytes));
  return entry;
}

// Every byte of data belongs to exactly one tensor.
void check_layout(const std::map<std::string, Entry>& entries, std::uint64_t data_size, const Context& context) {
  std::vector<std::pair<const std::string*, const Entry*>> sorted;
  for (const auto& [name, entry] : entries) sorted.emplace_back(&name, &entry);
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return std::pair{a.second->begin, a.second->end} < std::pair{b.second->begin, b.second->end};
  });
  std::uint64_t at = 0;
  for (const auto& [name, entry] : sorted) {
    if (entry->begin < at) context.fail(fmt::format("tensor \"{}\": its data_offsets overlap those of another", *name));
    if (entry->begin > at)
      context.fail(
          fmt::format("tensor \"{}\": the {} bytes before its data belong to no tensor", *name, entry->begin - at));
    at = entry->end;
  }
  if (at != data_size) context.fail(fmt::format("{} bytes after the last tensor", data_size - at));
}

}  // namespace

void save_leaves(const std::string& path, const std::vector<std::string>& names, const Tensors& leaves,
                 const Metadata& metadata, const Where& where) {
  const Context context{"save", path, where};
  Json header = Json::object();
  if (!metadata.empty()) header[std::string(metadata_key)] = metadata;
  std::uint64_t offset = 0;
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    if (leaves[i].is_recorded()) context.fail(fmt::format("tensor \"{}\" is recorded, it has no numbers", names[i]));
    if (names[i] == metadata_key || header.contains(names[i]))
      context.fail(fmt::format("two tensors are named \"{}\"", names[i]));
    const std::uint64_t size = std::uint64_t(leaves[i].count()) * std::uint64_t(size_of(leaves[i].dtype()));
    header[names[i]] = {{"dtype", file_name_of(leaves[i].dtype())},
                        {"shape", values_of(leaves[i].shape())},
                        {"data_offsets", {offset, offset + size}}};
    offset += size;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception& error) {
    context.fail(fmt::format("a name or the metadata is not UTF-8: {}", error.what()));
  }
  text.append((8 - text.size() % 8) % 8, ' ');  // the data begins aligned
  if (text.size() > max_header) context.fail("the header would be larger than 100 MB");

  std::string temporary = path + ".XXXXXX";
  File file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (file.fd < 0) context.fail_errno("cannot create a file beside it");
  try {
    const std::uint64_t length = text.size();
    write_all(file.fd, &length, sizeof length, context);
    write_all(file.fd, text.data(), text.size(), context);
    for (const Tensor& leaf : leaves) {
      const Tensor values = leaf.materialized();
      write_all(file.fd, values.bytes(where), std::size_t(bytes_of(values.type())), context);
    }
    // mkostemp makes the file private; one that replaces another keeps its mode.
    struct stat old{};
    const mode_t mode = ::stat(path.c_str(), &old) == 0 ? old.st_mode & 07777 : 0644;
    if (::fchmod(file.fd, mode) != 0 || ::fsync(file.fd) != 0) context.fail_errno("cannot flush");
    if (::rename(temporary.c_str(), path.c_str()) != 0) context.fail_errno("cannot rename the new file");
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const File directory(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.fd >= 0) ::fsync(directory.fd);  // some file systems cannot: the file is whole either way
}

Tensors load_leaves(const std::string& path, const std::vector<std::string>& names, const std::vector<Type>& types,
                    Metadata* metadata, const Where& where) {
  const Context context{"load", path, where};
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd < 0) context.fail_errno("cannot open");
  struct stat status{};
  if (::fstat(file.fd, &status) != 0) context.fail_errno("cannot read");
  if (!S_ISREG(status.st_mode)) context.fail("is not a regular file");
  const auto size = std::uint64_t(status.st_size);
  if (size < 8) context.fail(fmt::format("{} bytes are too few for a safetensors file", size));
  std::uint64_t length = 0;
  read_all(file.fd, &length, sizeof length, context);
  if (length > max_header)
    context.fail(fmt::format("the header claims {} bytes, more than 100 MB", length), "is this a safetensors file?");
  if (length > size - 8)
    context.fail(
        fmt::format("the header claims {} bytes, the file has {}: it is truncated or damaged", length, size - 8));
  std::string text(length, '\0');
  read_all(file.fd, text.data(), text.size(), context);
  const Json header = parse_header(text, context);
  const std::uint64_t data_size = size - 8 - length;

  Metadata found;
  std::map<std::string, Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name != metadata_key) {
      entries[name] = parse_entry(name, value, data_size, context);
      continue;
    }
    if (!value.is_object()) context.fail("__metadata__ is not an object");
    for (const auto& [key, word] : value.items()) {
      if (!word.is_string()) context.fail(fmt::format("__metadata__ \"{}\" is not a string", key));
      found[key] = word.get<std::string>();
    }
  }
  check_layout(entries, data_size, context);

  const std::set<std::string> expected(names.begin(), names.end());
  for (const auto& [name, entry] : entries)
    if (!expected.contains(name))
      context.fail(fmt::format("unknown tensor \"{}\"", name), "the file was saved from another model");
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto entry = entries.find(names[i]);
    if (entry == entries.end())
      context.fail(fmt::format("tensor \"{}\" is missing", names[i]), "the file was saved from another model");
    Type type;
    type.dtype = entry->second.dtype;
    type.shape = Shape(entry->second.shape.begin(), entry->second.shape.end());
    if (type.dtype != types[i].dtype || entry->second.shape != values_of(types[i].shape))
      context.fail(fmt::format("tensor \"{}\" is {} in the file, {} in the model", names[i], to_string(type),
                               to_string(types[i])));
  }
  Tensors loaded;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Entry& entry = entries.at(names[i]);
    auto buffer = Buffer::allocate(std::int64_t(entry.end - entry.begin));
    if (::lseek(file.fd, off_t(8 + length + entry.begin), SEEK_SET) < 0) context.fail_errno("cannot read");
    read_all(file.fd, buffer->data(), entry.end - entry.begin, context);
    Type type;
    type.dtype = entry.dtype;
    type.shape = Shape(entry.shape.begin(), entry.shape.end());
    if (type.dtype == Dtype::boolean && std::any_of(buffer->data(), buffer->data() + (entry.end - entry.begin),
                                                    [](std::byte b) { return b > std::byte{1}; }))
      context.fail(fmt::format("tensor \"{}\": a boolean is neither 0 nor 1", names[i]));
    loaded.emplace_back(std::move(type), std::move(buffer));
  }
  if (metadata) *metadata = std::move(found);
  return loaded;
}

}  // namespace tapeloop::detail
