#include "ad/tensor.h"

#include <fmt/format.h>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "ad/attrs.h"
#include "ad/denormals.h"
#include "ad/op.h"
#include "ad/options.h"
#include "ad/recycled.h"
#include "ad/tape.h"

namespace tapeloop {

// --- memory ------------------------------------------------------------------------------------------------------------

namespace {

// Freed buffers by size. What is in use and what is kept are together hardly more than what was in use at once, so that a
// program that works on many different sizes does not hoard, and one that needs much memory in every call asks for it once.
class Pool {
 public:
  static Pool& instance() {
    static Pool& pool = *new Pool;  // never destroyed: tensors with static storage may outlive any other static
    return pool;
  }
  std::byte* take(std::int64_t bytes) {
    std::lock_guard lock(mutex_);
    in_use_ += bytes;
    peak_ = std::max(peak_, in_use_);
    auto it = free_.find(bytes);
    if (it == free_.end() || it->second.empty()) return nullptr;
    std::byte* data = it->second.back();
    it->second.pop_back();
    held_ -= bytes;
    return data;
  }
  // What was asked for could not be had.
  void forget(std::int64_t bytes) {
    std::lock_guard lock(mutex_);
    in_use_ -= bytes;
  }
  bool give(std::byte* data, std::int64_t bytes) {
    std::lock_guard lock(mutex_);
    in_use_ -= bytes;
    if (in_use_ + held_ + bytes > peak_ + kSlack) return false;
    free_[bytes].push_back(data);
    held_ += bytes;
    return true;
  }

 private:
  static constexpr std::int64_t kSlack = std::int64_t(256) << 20;
  std::mutex mutex_;
  std::unordered_map<std::int64_t, std::vector<std::byte*>> free_;
  std::int64_t in_use_ = 0, peak_ = 0, held_ = 0;
};

// Memory for a buffer, or null. A large one asks for large pages: mapping 150 MB in pages of 4 kB costs 0.1 s, and walking
// over them misses the translation cache.
std::byte* new_memory(std::int64_t bytes) {
  constexpr std::int64_t kLargePage = std::int64_t(2) << 20;
  const bool large = bytes >= 2 * kLargePage;
  void* data = nullptr;
  if (posix_memalign(&data, std::size_t(large ? kLargePage : 64), std::size_t(bytes)) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
  if (large) madvise(data, std::size_t(bytes / kLargePage * kLargePage), MADV_HUGEPAGE);  // a wish: it may fail
#endif
  return static_cast<std::byte*>(data);
}

}  // namespace

// Lets the allocator below reach the constructor.
struct Buffer::Made final : Buffer {
  Made(std::byte* data, std::int64_t bytes, std::shared_ptr<Buffer> whole) : Buffer(data, bytes, std::move(whole)) {}
};

std::shared_ptr<Buffer> Buffer::allocate(std::int64_t bytes) {
  const std::int64_t padded = (std::max<std::int64_t>(bytes, 1) + 63) / 64 * 64;
  std::byte* data = Pool::instance().take(padded);
  if (!data) data = new_memory(padded);
  if (!data) {
    Pool::instance().forget(padded);
    throw Error(fmt::format("out of memory: a tensor of {} bytes", bytes));
  }
  return std::allocate_shared<Made>(Recycled<Made>(), data, padded, nullptr);
}

std::shared_ptr<Buffer> Buffer::part_of(std::shared_ptr<Buffer> whole, std::int64_t offset, std::int64_t bytes) {
  if (offset < 0 || bytes < 0 || offset + bytes > whole->bytes())
    throw InternalError(
        fmt::format("bytes {} to {} are no part of a buffer of {}", offset, offset + bytes, whole->bytes()));
  return std::allocate_shared<Made>(Recycled<Made>(), whole->data() + offset, bytes, std::move(whole));
}

Buffer::~Buffer() {
  if (!whole_ && !Pool::instance().give(data_, bytes_)) std::free(data_);
}

// --- the three kinds of tensor -------------------------------------------------------------------------------------------

struct Tensor::Node {
  std::shared_ptr<const Type> type;
  std::shared_ptr<Buffer> buffer;      // concrete
  std::shared_ptr<Recorder> recorder;  // recorded
  Id id = 0;
  const Op* generator = nullptr;  // generated
  Attrs attrs;
  int depth = 0;
  Tensors operands;  // of a generated tensor, or the parts of a concrete tuple
  Tensors computed;  // the parts of a generated tuple, once they are known
};

Tensor::Tensor(Type type, std::shared_ptr<Buffer> buffer) {
  for (Extent& extent : type.shape) extent = Extent(extent.value());
  if (bytes_of(type) > buffer->bytes()) throw InternalError("a tensor's buffer is too small for " + to_string(type));
  auto node = std::allocate_shared<Node>(Recycled<Node>());
  node->type = std::make_shared<const Type>(std::move(type));
  node->buffer = std::move(buffer);
  node_ = std::move(node);
}

Tensor::Tensor(std::shared_ptr<const Type> type, std::shared_ptr<Buffer> buffer) {
  auto node = std::allocate_shared<Node>(Recycled<Node>());
  node->type = std::move(type);
  node->buffer = std::move(buffer);
  node_ = std::move(node);
}

template <class T>
Tensor Tensor::of(std::span<const T> values, Shape shape, Where where) {
  check_size("Tensor::of", {dtype_of<T>(), shape, nullptr}, where);
  if (count_of(shape) != std::int64_t(values.size()))
    throw Error(fmt::format("Tensor::of: {} values for shape {}, which holds {}", values.size(), to_string(shape),
                            count_of(shape)),
                where, "the product of the extents must be the number of values; {} is a scalar");
  auto buffer = Buffer::allocate(std::int64_t(values.size_bytes()));
  if (!values.empty()) std::memcpy(buffer->data(), values.data(), values.size_bytes());
  return Tensor(Type{dtype_of<T>(), std::move(shape), nullptr}, std::move(buffer));
}
template Tensor Tensor::of(std::span<const float>, Shape, Where);
template Tensor Tensor::of(std::span<const double>, Shape, Where);
template Tensor Tensor::of(std::span<const std::int32_t>, Shape, Where);
template Tensor Tensor::of(std::span<const std::uint32_t>, Shape, Where);
template Tensor Tensor::of(std::span<const std::int64_t>, Shape, Where);
template Tensor Tensor::of(std::span<const bool>, Shape, Where);

Tensor Tensor::recorded(Type type, std::shared_ptr<Recorder> recorder, Id id) {
  auto node = std::make_shared<Node>();
  node->type = std::make_shared<const Type>(std::move(type));
  node->recorder = std::move(recorder);
  node->id = id;
  Tensor tensor;
  tensor.node_ = std::move(node);
  return tensor;
}

Tensor Tensor::generated(Type type, const Op& op, Attrs attrs, Tensors operands) {
  auto node = std::make_shared<Node>();
  node->type = std::make_shared<const Type>(std::move(type));
  node->generator = &op;
  node->attrs = std::move(attrs);
  for (const Tensor& operand : operands) node->depth = std::max(node->depth, operand.node_->depth + 1);
  node->operands = std::move(operands);
  Tensor tensor;
  tensor.node_ = std::move(node);
  return tensor;
}

Tensor Tensor::tuple(Tensors parts) {
  auto node = std::make_shared<Node>();
  std::vector<Type> types;
  for (const Tensor& part : parts) types.push_back(part.type());
  node->type = std::make_shared<const Type>(tuple_type(std::move(types)));
  node->operands = std::move(parts);
  Tensor tensor;
  tensor.node_ = std::move(node);
  return tensor;
}

namespace {
std::recursive_mutex& generated_mutex() {
  static std::recursive_mutex& mutex = *new std::recursive_mutex;
  return mutex;
}
}  // namespace

bool Tensor::is_concrete() const { return node_ && !node_->recorder && !node_->generator; }
bool Tensor::is_recorded() const { return node_ && node_->recorder; }
bool Tensor::is_generated() const { return node_ && node_->generator; }

const Type& Tensor::type(Where where) const {
  if (!node_) throw Error("type: the tensor is empty", where, "give it a value first; is_empty() tells");
  return *node_->type;
}

Extent Tensor::size(int axis, Where where) const {
  return shape(where)[std::size_t(normal_axis("size", axis, rank(), where))];
}

const std::shared_ptr<Recorder>& Tensor::recorder() const { return node_->recorder; }
Id Tensor::id() const { return node_->id; }
const Op& Tensor::generator() const { return *node_->generator; }
const Attrs& Tensor::generator_attrs() const { return node_->attrs; }
const Tensors& Tensor::generator_operands() const { return node_->operands; }
int Tensor::generated_depth() const { return node_->depth; }
const Tensors& Tensor::parts() const { return node_->operands; }

Tensor Tensor::with_shape(const Shape& shape) const { return Tensor(Type{dtype(), shape, nullptr}, node_->buffer); }

Tensor Tensor::materialized() const {
  if (!is_generated()) return *this;
  // Computed once and kept: the node is the same value either way.
  std::lock_guard lock(generated_mutex());
  if (node_->buffer) return Tensor(Type(*node_->type), node_->buffer);
  if (!node_->computed.empty()) return tuple(node_->computed);
  Tensors operands;
  for (const Tensor& operand : node_->operands) operands.push_back(operand.materialized());
  // The numbers are needed now, so a program being recorded from here on depends on them.
  for (const Extent& extent : node_->type->shape) (void)extent.pin();
  for (const auto& [name, value] : node_->attrs.entries())
    if (const auto* shape = std::get_if<Shape>(&value))
      for (const Extent& extent : *shape) (void)extent.pin();
  FlushDenormals flush(options().denormals);
  Tensor value = node_->generator->run(*node_->generator, operands, node_->attrs, *node_->type);
  auto* node = const_cast<Node*>(node_.get());
  node->buffer = value.node_->buffer;
  if (value.dtype() == Dtype::tuple) node->computed = value.node_->operands;
  return value;
}

// --- reading values ------------------------------------------------------------------------------------------------------

const std::byte* Tensor::bytes(Where where) const {
  if (is_empty()) throw Error("data: the tensor is empty", where, "give it a value first; is_empty() tells");
  if (is_recorded())
    throw Error(
        fmt::format("data: a recorded tensor {} has no numbers yet", to_string(type())), where,
        "inside jit, grad or scan use where(), maximum() … instead of reading values; return it to read it outside");
  if (is_generated()) (void)materialized();
  return node_->buffer->data();
}

template <class T>
std::span<const T> Tensor::data(Where where) const {
  const std::byte* data = bytes(where);
  if (dtype() != dtype_of<T>())
    throw Error(fmt::format("data: the tensor is {}, asked for {}", to_string(type()), name_of(dtype_of<T>())), where,
                "cast(x, dtype) converts");
  return {reinterpret_cast<const T*>(data), std::size_t(count())};
}
template std::span<const float> Tensor::data(Where) const;
template std::span<const double> Tensor::data(Where) const;
template std::span<const std::int32_t> Tensor::data(Where) const;
template std::span<const std::uint32_t> Tensor::data(Where) const;
template std::span<const std::int64_t> Tensor::data(Where) const;
template std::span<const bool> Tensor::data(Where) const;

template <class T>
T Tensor::item(Where where) const {
  const std::byte* data = bytes(where);
  if (count() != 1)
    throw Error(fmt::format("item: the tensor {} has {} elements, not one", to_string(type()), count()), where,
                "to_vector<T>() gives all of them");
  switch (dtype()) {
    case Dtype::f32:
      return T(*reinterpret_cast<const float*>(data));
    case Dtype::f64:
      return T(*reinterpret_cast<const double*>(data));
    case Dtype::i32:
      return T(*reinterpret_cast<const std::int32_t*>(data));
    case Dtype::u32:
      return T(*reinterpret_cast<const std::uint32_t*>(data));
    case Dtype::i64:
      return T(*reinterpret_cast<const std::int64_t*>(data));
    default:
      return T(*reinterpret_cast<const bool*>(data));
  }
}
template float Tensor::item(Where) const;
template double Tensor::item(Where) const;
template std::int32_t Tensor::item(Where) const;
template std::uint32_t Tensor::item(Where) const;
template std::int64_t Tensor::item(Where) const;
template bool Tensor::item(Where) const;

bool Tensor::is_sole_owner() const { return is_concrete() && node_.use_count() == 1 && node_->buffer.use_count() == 1; }

// --- text and comparison ---------------------------------------------------------------------------------------------------

namespace {

std::string element(const Tensor& t, std::int64_t i) {
  const std::byte* data = t.bytes();
  switch (t.dtype()) {
    case Dtype::f32:
      return fmt::format("{:.6g}", reinterpret_cast<const float*>(data)[i]);
    case Dtype::f64:
      return fmt::format("{:.10g}", reinterpret_cast<const double*>(data)[i]);
    case Dtype::i32:
      return fmt::format("{}", reinterpret_cast<const std::int32_t*>(data)[i]);
    case Dtype::u32:
      return fmt::format("{}", reinterpret_cast<const std::uint32_t*>(data)[i]);
    case Dtype::i64:
      return fmt::format("{}", reinterpret_cast<const std::int64_t*>(data)[i]);
    default:
      return reinterpret_cast<const bool*>(data)[i] ? "true" : "false";
  }
}

// Prints axis `axis` of the block that starts at element `first`; at most six entries of an axis are shown.
void print_axis(const Tensor& t, const std::vector<std::int64_t>& shape, std::size_t axis, std::int64_t first,
                std::string& text) {
  if (axis == shape.size()) {
    text += element(t, first);
    return;
  }
  std::int64_t step = 1;
  for (std::size_t i = axis + 1; i < shape.size(); ++i) step *= shape[i];
  text += '[';
  for (std::int64_t i = 0; i < shape[axis]; ++i) {
    if (i) text += ", ";
    if (shape[axis] > 6 && i == 3) {
      text += "…, ";
      i = shape[axis] - 3;
    }
    print_axis(t, shape, axis + 1, first + i * step, text);
  }
  text += ']';
}

template <class T>
bool same_elements(const Tensor& a, const Tensor& b) {
  auto x = a.data<T>(), y = b.data<T>();
  for (std::size_t i = 0; i < x.size(); ++i) {
    if constexpr (std::is_floating_point_v<T>)
      if (std::isnan(x[i]) && std::isnan(y[i])) continue;
    // Bits, since 0 and −0 differ.  NOLINTNEXTLINE(bugprone-suspicious-memory-comparison)
    if (std::memcmp(&x[i], &y[i], sizeof(T)) != 0) return false;
  }
  return true;
}

}  // namespace

std::string to_string(const Tensor& t) {
  if (t.is_empty()) return "empty";
  if (t.is_recorded()) return to_string(t.type()) + " (recorded)";
  std::string text = to_string(t.type()) + " ";
  print_axis(t, values_of(t.shape()), 0, 0, text);
  return text;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || values_of(a.shape()) != values_of(b.shape())) return false;
  switch (a.dtype()) {
    case Dtype::f32:
      return same_elements<float>(a, b);
    case Dtype::f64:
      return same_elements<double>(a, b);
    case Dtype::i32:
      return same_elements<std::int32_t>(a, b);
    case Dtype::u32:
      return same_elements<std::uint32_t>(a, b);
    case Dtype::i64:
      return same_elements<std::int64_t>(a, b);
    default:
      return same_elements<bool>(a, b);
  }
}

}  // namespace tapeloop
