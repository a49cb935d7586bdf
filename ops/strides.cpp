#include "ops/strides.h"

namespace tapeloop {
namespace {

template <class T>
void copy_strided_as(const std::byte* from, const Strides& from_strides, std::byte* to, const Strides& to_strides,
                     const std::vector<std::int64_t>& sizes) {
  const T* source = reinterpret_cast<const T*>(from);
  T* target = reinterpret_cast<T*>(to);
  const std::size_t rank = sizes.size();
  if (rank == 0) {
    *target = *source;
    return;
  }
  for (std::int64_t size : sizes)
    if (size == 0) return;
  std::vector<std::int64_t> index(rank, 0);
  const std::int64_t inner = sizes[rank - 1], s = from_strides[rank - 1], t = to_strides[rank - 1];
  for (;;) {
    for (std::int64_t i = 0; i < inner; ++i) target[i * t] = source[i * s];
    std::size_t axis = rank - 1;
    while (axis-- > 0) {
      source += from_strides[axis];
      target += to_strides[axis];
      if (++index[axis] < sizes[axis]) break;
      source -= from_strides[axis] * sizes[axis];
      target -= to_strides[axis] * sizes[axis];
      index[axis] = 0;
    }
    if (axis == std::size_t(-1)) return;
  }
}

}  // namespace

Strides row_major(const Shape& shape) {
  Strides strides(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i].value();
  return strides;
}

void copy_strided(Dtype dtype, const std::byte* from, std::int64_t from_offset, const Strides& from_strides,
                  std::byte* to, std::int64_t to_offset, const Strides& to_strides,
                  const std::vector<std::int64_t>& sizes) {
  const int size = size_of(dtype);
  from += from_offset * size;
  to += to_offset * size;
  if (size == 8)
    copy_strided_as<std::uint64_t>(from, from_strides, to, to_strides, sizes);
  else if (size == 4)
    copy_strided_as<std::uint32_t>(from, from_strides, to, to_strides, sizes);
  else
    copy_strided_as<std::uint8_t>(from, from_strides, to, to_strides, sizes);
}

}  // namespace tapeloop
