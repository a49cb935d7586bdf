// PyTorch's rarer views and joins, in ops of ours. Those that PyTorch makes views can be written through.
#include <algorithm>
#include <numeric>

#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/rearrange.h"
#include "ops/shape.h"
#include "ops/source.h"
#include "torch_table.h"

namespace tapeloop::testing::torch {
namespace {

int from_front(int axis, int rank) { return axis < 0 ? axis + rank : axis; }

// The tensors of a list, or all arguments.
Tensors all_tensors(const Args& a) {
  if (!a.positional.empty() && a.positional[0].as<List>()) return a.tensors(0, "tensors");
  if (a.named.contains("tensors")) return a.tensors(99, "tensors");
  Tensors all;
  for (std::size_t i = 0; i < a.positional.size(); ++i) all.push_back(a.tensor(i, "tensor"));
  return all;
}
Tensor at_least(const Tensor& x, int rank) {
  if (x.rank() >= rank) return x;
  return x.rank() == 0 ? reshape(x, Shape(std::size_t(rank), Extent(1))) : reshape(x, {1, x.size(0)});
}

void axes(Table& t) {
  t["movedim"] = t["moveaxis"] = [](const Args& a) {
    const int rank = a.tensor(0, "input").rank();
    auto list = [&](std::size_t i, const std::string& name) {
      std::vector<int> dims;
      const Value* v = a.find(i, name);
      if (v->as<List>())
        for (const Value& d : *v->as<List>()->items) dims.push_back(from_front(int(as_number(d)), rank));
      else
        dims.push_back(from_front(int(as_number(*v)), rank));
      return dims;
    };
    const std::vector<int> from = list(1, "source"), to = list(2, "destination");
    std::vector<int> order(std::size_t(rank), -1), rest;
    for (std::size_t i = 0; i < from.size(); ++i) order[std::size_t(to[i])] = from[i];
    for (int d = 0; d < rank; ++d)
      if (std::find(from.begin(), from.end(), d) == from.end()) rest.push_back(d);
    std::size_t next = 0;
    for (int& d : order)
      if (d < 0) d = rest[next++];
    return transposed(a.positional.at(0), order);
  };
  t["view_as"] =
      t["reshape_as"] = [](const Args& a) { return reshaped(a.positional.at(0), a.tensor(1, "other").shape()); };
  t["expand_as"] = [](const Args& a) {
    return tensor_value(broadcast_to(a.tensor(0, "input"), a.tensor(1, "other").shape()));
  };
  t["unflatten"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const int axis = from_front(int(a.number(1, "dim")), x.rank());
    Shape shape(x.shape().begin(), x.shape().begin() + axis);
    std::int64_t rest = x.size(axis).value(), open = -1;
    for (std::int64_t n : a.integers(2, "sizes")) {
      if (n < 0) open = std::int64_t(shape.size());
      if (n > 0) rest /= n;
      shape.push_back(n);
    }
    if (open >= 0) shape[std::size_t(open)] = rest;
    shape.insert(shape.end(), x.shape().begin() + axis + 1, x.shape().end());
    return reshaped(a.positional.at(0), shape);
  };
  t["atleast_1d"] = [](const Args& a) { return tensor_value(at_least(a.tensor(0, "input"), 1)); };
  t["atleast_2d"] = [](const Args& a) { return tensor_value(at_least(a.tensor(0, "input"), 2)); };
  t["as_strided"] = [](const Args& a) {
    const Tensor x = reshape(a.tensor(0, "input"), {-1});
    const auto sizes = a.integers(1, "size");
    std::vector<std::int64_t> strides;
    for (const Value& v : *a.find(2, "stride")->as<List>()->items) strides.push_back(std::int64_t(as_number(v)));
    std::vector<double> places{a.number(3, "storage_offset", 0)};
    for (std::size_t d = 0; d < sizes.size(); ++d) {
      std::vector<double> next;
      for (double p : places)
        for (std::int64_t i = 0; i < sizes[d]; ++i) next.push_back(p + double(i * strides[d]));
      places = next;
    }
    return tensor_value(gather(x, frozen(places, Shape(sizes.begin(), sizes.end()), Dtype::i32)));
  };
}

void joins(Table& t) {
  auto joined = [](int axis, int rank) {
    return [=](const Args& a) {
      Tensors all;
      for (const Tensor& x : all_tensors(a)) all.push_back(at_least(x, rank));
      return tensor_value(concat(all, axis));
    };
  };
  t["hstack"] = [](const Args& a) {
    Tensors all;
    for (const Tensor& x : all_tensors(a)) all.push_back(at_least(x, 1));
    return tensor_value(concat(all, all.at(0).rank() == 1 ? 0 : 1));
  };
  t["vstack"] = t["row_stack"] = joined(0, 2);
  t["column_stack"] = [](const Args& a) {
    Tensors all;
    for (const Tensor& x : all_tensors(a)) all.push_back(x.rank() < 2 ? reshape(x, {-1, 1}) : x);
    return tensor_value(concat(all, 1));
  };
  t["dstack"] = [](const Args& a) {
    Tensors all;
    for (const Tensor& x : all_tensors(a)) all.push_back(x.rank() < 3 ? expand_dims(at_least(x, 2), 2) : x);
    return tensor_value(concat(all, 2));
  };
  t["block_diag"] = [](const Args& a) {
    const Tensors all = all_tensors(a);
    std::int64_t width = 0, before = 0;
    for (const Tensor& x : all) width += at_least(x, 2).size(1).value();
    Tensors rows;
    for (const Tensor& each : all) {
      const Tensor x = at_least(each, 2);
      rows.push_back(pad(x, 1, before, width - before - x.size(1).value()));
      before += x.size(1).value();
    }
    return tensor_value(concat(rows, 0));
  };
  t["meshgrid"] = [](const Args& a) {
    const Tensors all = all_tensors(a);
    if (all.size() != 2) throw NoSuchOp("meshgrid of other than two");
    const bool xy = a.text(99, "indexing", "ij") == "xy";
    const std::int64_t n = all[0].size(0).value(), m = all[1].size(0).value();
    const Shape shape = xy ? Shape{m, n} : Shape{n, m};
    return list_value({tensor_value(broadcast_to(xy ? all[0] : expand_dims(all[0], 1), shape)),
                       tensor_value(broadcast_to(xy ? expand_dims(all[1], 1) : all[1], shape))});
  };
  for (const auto& [name, axis] : {std::pair{"vsplit", 0.0}, {"hsplit", 1.0}})
    t[name] = [axis](const Args& a) {
      const double dim = as_tensor(a.positional.at(0)).rank() == 1 ? 0 : axis;
      return function_named("tensor_split")(
          {"tensor_split", {a.positional[0], a.positional.at(1), {Number{dim, true}}}, {}});
    };
  t["tensor_split"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const int axis = from_front(int(a.number(2, "dim", 0)), x.rank());
    const std::int64_t n = x.size(axis).value();
    std::vector<std::int64_t> ends;
    if (a.positional.at(1).as<List>()) {
      for (std::int64_t e : a.integers(1, "indices")) ends.push_back(e);
    } else {
      const auto parts = std::int64_t(a.number(1, "sections"));
      for (std::int64_t i = 0, end = 0; i + 1 < parts; ++i) ends.push_back(end += n / parts + (i < n % parts ? 1 : 0));
    }
    ends.push_back(n);
    Values parts;
    std::int64_t start = 0;
    for (std::int64_t end : ends) {
      parts.push_back(sliced(a.positional[0], axis, start, end, 1));
      start = end;
    }
    return list_value(parts);
  };
}

// One axis continued beyond its ends.
Tensor continued(const Tensor& x, int axis, std::int64_t before, std::int64_t after, const std::string& mode) {
  const std::int64_t n = x.size(axis).value();
  std::vector<double> places;
  for (std::int64_t i = -before; i < n + after; ++i) {
    std::int64_t p = i;
    if (mode == "replicate") p = std::clamp<std::int64_t>(i, 0, n - 1);
    if (mode == "circular") p = (i % n + n) % n;
    if (mode == "reflect") p = i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
    places.push_back(double(p));
  }
  return gather(x, frozen(places, {std::int64_t(places.size())}, Dtype::i32), axis);
}

void repetitions(Table& t) {
  t["pad"] = [](const Args& a) {
    Tensor x = a.tensor(0, "input");
    std::vector<std::int64_t> widths;
    for (const Value& v : *a.find(1, "pad")->as<List>()->items) widths.push_back(std::int64_t(as_number(v)));
    const std::string mode = a.text(2, "mode", "constant");
    for (std::size_t i = 0; i + 1 < widths.size(); i += 2) {
      const int axis = x.rank() - 1 - int(i / 2);
      if (mode != "constant") {
        x = continued(x, axis, widths[i], widths[i + 1], mode);
        continue;
      }
      // A negative width cuts off.
      x = slice(x, axis, std::max<std::int64_t>(0, -widths[i]),
                x.size(axis).value() - std::max<std::int64_t>(0, -widths[i + 1]));
      x = pad(x, axis, std::max<std::int64_t>(0, widths[i]), std::max<std::int64_t>(0, widths[i + 1]),
              a.number(3, "value", 0));
    }
    return tensor_value(x);
  };
  t["tile"] = t["repeat"] = [](const Args& a) {
    const auto given = a.integers(1, a.function == "tile" ? "dims" : "repeats");
    std::vector<int> times(given.begin(), given.end());
    while (int(times.size()) < a.tensor(0, "input").rank()) times.insert(times.begin(), 1);
    return tensor_value(tile(a.tensor(0, "input"), times));
  };
  t["repeat_interleave"] = [](const Args& a) {
    const Tensor given = a.tensor(0, "input");
    const Value* dim = a.find(2, "dim");
    const Tensor x = dim ? given : reshape(given, {-1});
    const int axis = dim ? int(as_number(*dim)) : 0;
    const Value& repeats = *a.find(1, "repeats");
    if (!repeats.is_tensor()) return tensor_value(repeat(x, int(as_number(repeats)), axis));
    std::vector<double> places;
    const std::vector<double> times = numbers_read(as_tensor(repeats));
    for (std::size_t i = 0; i < times.size(); ++i) places.insert(places.end(), std::size_t(times[i]), double(i));
    return tensor_value(gather(x, frozen(places, {std::int64_t(places.size())}, Dtype::i32), axis));
  };
  t["roll"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    auto list = [&](std::size_t i, const std::string& name) {
      std::vector<int> numbers;
      const Value* v = a.find(i, name);
      if (v && v->as<List>())
        for (const Value& n : *v->as<List>()->items) numbers.push_back(int(as_number(n)));
      else if (v)
        numbers.push_back(int(as_number(*v)));
      return numbers;
    };
    const std::vector<int> shifts = list(1, "shifts"), dims = list(2, "dims");
    if (dims.empty()) return tensor_value(reshape(roll(reshape(x, {-1}), shifts.at(0), 0), x.shape()));
    Tensor y = x;
    for (std::size_t i = 0; i < dims.size(); ++i) y = roll(y, shifts.at(i), dims[i]);
    return tensor_value(y);
  };
  t["fliplr"] = [](const Args& a) { return tensor_value(flip(a.tensor(0, "input"), 1)); };
  t["flipud"] = [](const Args& a) { return tensor_value(flip(a.tensor(0, "input"), 0)); };
  t["rot90"] = [](const Args& a) {
    Tensor x = a.tensor(0, "input");
    for (int i = 0; i < (int(a.number(1, "k", 1)) % 4 + 4) % 4; ++i) x = flip(transpose(x), 0);
    return tensor_value(x);
  };
}

}  // namespace

void add_view_functions(Table& t) {
  axes(t);
  joins(t);
  repetitions(t);
}

}  // namespace tapeloop::testing::torch
