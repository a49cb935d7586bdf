// Tensor: a value. It is one of three things, and a function that takes tensors need not know which:
//
//   concrete   a buffer of numbers, row-major, never changed once another tensor can see it
//   recorded   a place on a tape that is being recorded; it has a type but no numbers
//   generated  a recipe without inputs (zeros, arange, …): recorded anew on whatever tape it meets, else computed
//
// Copying a Tensor copies a pointer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ad/error.h"
#include "ad/shape.h"

namespace tapeloop {

struct Op;
class Attrs;
class Recorder;
class Tensor;
using Id = std::uint32_t;
using Tensors = std::vector<Tensor>;

// Memory of a concrete tensor: 64-byte aligned and padded to a multiple of 64 bytes, unless it is a part of another. Freed buffers are kept for the next
// request of the same size, so that a training loop settles into asking the system for nothing.
class Buffer {
 public:
  static std::shared_ptr<Buffer> allocate(std::int64_t bytes);
  // `bytes` of `whole` from `offset` on; it keeps all of it alive.
  static std::shared_ptr<Buffer> part_of(std::shared_ptr<Buffer> whole, std::int64_t offset, std::int64_t bytes);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  std::int64_t bytes() const { return bytes_; }

 private:
  struct Made;
  Buffer(std::byte* data, std::int64_t bytes, std::shared_ptr<Buffer> whole)
      : data_(data), bytes_(bytes), whole_(std::move(whole)) {}
  std::byte* data_;
  std::int64_t bytes_;
  std::shared_ptr<Buffer> whole_;  // that this is a part of
};

class Tensor {
 public:
  Tensor() = default;

  // A concrete tensor over `buffer`, which holds the elements of `type` in row-major order.
  Tensor(Type type, std::shared_ptr<Buffer> buffer);
  // The same for who makes many of one type, whose extents are numbers: allocates nothing once memory has been freed.
  Tensor(std::shared_ptr<const Type> type, std::shared_ptr<Buffer> buffer);

  // A concrete tensor with a copy of `values`. Throws Error when their number is not that of `shape`.
  template <class T>
  static Tensor of(std::span<const T> values, Shape shape, Where where = Where::current());
  template <class T>
  static Tensor of(const std::vector<T>& values, Shape shape, Where where = Where::current()) {
    return of(std::span<const T>(values), std::move(shape), where);
  }

  bool is_empty() const { return !node_; }  // a default-constructed Tensor: no value at all
  bool is_concrete() const;
  bool is_recorded() const;
  bool is_generated() const;
  explicit operator bool() const = delete;  // a comparison yields a tensor: use where(), item<bool>() or is_empty()

  // All of these throw Error when the tensor is empty.
  const Type& type(Where where = Where::current()) const;
  Dtype dtype(Where where = Where::current()) const { return type(where).dtype; }
  const Shape& shape(Where where = Where::current()) const { return type(where).shape; }
  int rank(Where where = Where::current()) const { return type(where).rank(); }
  std::int64_t count(Where where = Where::current()) const { return count_of(shape(where)); }
  // The extent of one axis; a negative axis counts from the back. `int(x.size(0))` gives a number, and makes the program
  // being recorded depend on it.
  Extent size(int axis, Where where = Where::current()) const;

  // The elements of a concrete or generated tensor, row-major, valid while this tensor lives.
  // Throws Error for a recorded tensor (it has no numbers yet) and for another dtype.
  template <class T>
  std::span<const T> data(Where where = Where::current()) const;
  template <class T>
  std::vector<T> to_vector(Where where = Where::current()) const {
    auto d = data<T>(where);
    return std::vector<T>(d.begin(), d.end());
  }
  // The only element, converted to T. Throws Error unless there is exactly one.
  template <class T>
  T item(Where where = Where::current()) const;

  const std::byte* bytes(Where where = Where::current()) const;
  // Whether this is a concrete tensor whose buffer no other tensor can see.
  bool is_sole_owner() const;

  // --- for ad/ and the compiler -------------------------------------------------------------------------------------
  const std::shared_ptr<Recorder>& recorder() const;
  Id id() const;
  const Op& generator() const;
  const Attrs& generator_attrs() const;
  const Tensors& generator_operands() const;
  int generated_depth() const;
  // The same for copies of a tensor, and for nothing else that lives.
  const void* identity() const { return node_.get(); }
  const Tensors& parts() const;                 // of a concrete tuple
  Tensor with_shape(const Shape& shape) const;  // of a concrete tensor: the same buffer, as many elements
  Tensor materialized() const;                  // a generated tensor computed, anything else unchanged

  static Tensor recorded(Type type, std::shared_ptr<Recorder> recorder, Id id);
  static Tensor generated(Type type, const Op& op, Attrs attrs, Tensors operands);
  static Tensor tuple(Tensors parts);

 private:
  struct Node;
  std::shared_ptr<const Node> node_;
};

// Text of the values, for people: "f32[2, 2] [[1, 2], [3, 4]]", shortened in the middle when long.
std::string to_string(const Tensor& tensor);

// The same tensor in which every element is the same bits (all NaNs count as equal).
bool same_bits(const Tensor& a, const Tensor& b);

// An operand of an op: a tensor, or a C++ scalar that takes the dtype and shape of the tensor it meets. Its converting
// constructors note the caller's line, which is how even `a + b` can name it.
struct Operand {
  Tensor tensor;
  double scalar = 0;
  std::int64_t integer = 0;  // the scalar exactly, if it is integral
  bool is_scalar = false;
  bool is_integral = false;
  Where where;

  Operand(const Tensor& t, Where w = Where::current()) : tensor(t), where(w) {}  // NOLINT(google-explicit-constructor)
  template <class T>
    requires std::is_arithmetic_v<T>
  Operand(T value, Where w = Where::current())  // NOLINT(google-explicit-constructor)
      : scalar(double(value)), is_scalar(true), is_integral(!std::is_floating_point_v<T>), where(w) {
    if constexpr (!std::is_floating_point_v<T>) integer = std::int64_t(value);
  }
};

}  // namespace tapeloop
