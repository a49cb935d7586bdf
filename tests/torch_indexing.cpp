// x[…] as PyTorch has it: positions, slices, None, …, integer tensors and masks, in any mixture; and the functions that choose
// and replace elements.
#include <algorithm>
#include <numeric>

#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/scatter.h"
#include "ops/shape.h"
#include "ops/source.h"
#include "torch_table.h"

namespace tapeloop::testing::torch {
namespace {

// An axis of a tensor, and the positions that are read along it.
struct Chosen {
  int axis;
  Tensor positions;
};

// Where a mask holds: one vector of positions for each of its axes.
Tensors places_of(const Tensor& mask) {
  const std::vector<std::int64_t> sizes = values_of(mask.shape());
  const std::vector<double> holds = numbers_read(mask);
  std::vector<std::vector<double>> places(sizes.size());
  for (std::size_t i = 0; i < holds.size(); ++i) {
    if (holds[i] == 0) continue;
    std::size_t rest = i;
    for (std::size_t axis = sizes.size(); axis-- > 0; rest /= std::size_t(sizes[axis]))
      places[axis].push_back(double(rest % std::size_t(sizes[axis])));
  }
  Tensors result;
  for (const auto& p : places) result.push_back(frozen(p, {std::int64_t(p.size())}, Dtype::i32));
  return result;
}

// Elements that tensors choose: their axes go to the front, and back to the first of them when they are neighbours.
struct Choice {
  std::vector<Chosen> chosen;

  std::vector<int> front(int rank) const {
    std::vector<int> order;
    for (const Chosen& c : chosen) order.push_back(c.axis);
    for (int axis = 0; axis < rank; ++axis)
      if (std::find(order.begin(), order.end(), axis) == order.end()) order.push_back(axis);
    return order;
  }
  static std::vector<int> inverse(const std::vector<int>& order) {
    std::vector<int> result(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) result[std::size_t(order[i])] = int(i);
    return result;
  }
  // The order that brings [axes of the positions, other axes] to where PyTorch has them.
  std::vector<int> placed(int rank) const {
    const int taken = joint().rank() - 1, others = rank - int(chosen.size());
    bool neighbours = true;
    for (std::size_t i = 1; i < chosen.size(); ++i)
      neighbours = neighbours && chosen[i].axis == chosen[0].axis + int(i);
    const int before = neighbours ? chosen[0].axis : 0;
    std::vector<int> order;
    for (int i = 0; i < before; ++i) order.push_back(taken + i);
    for (int i = 0; i < taken; ++i) order.push_back(i);
    for (int i = before; i < others; ++i) order.push_back(taken + i);
    return order;
  }
  Tensor joint() const {
    Shape shape;
    for (const Chosen& c : chosen) {
      const Shape& s = c.positions.shape();
      Shape wider(std::max(shape.size(), s.size()), Extent(1));
      for (std::size_t i = 0; i < wider.size(); ++i) {
        auto from = [&](const Shape& of) {
          const std::size_t missing = wider.size() - of.size();
          return i < missing ? std::int64_t(1) : of[i - missing].value();
        };
        wider[i] = from(shape) == 1 ? from(s) : from(shape);
      }
      shape = wider;
    }
    Tensors each;
    for (const Chosen& c : chosen) each.push_back(broadcast_to(c.positions, shape));
    return stack(each, -1);
  }
  Tensor get(const Tensor& t) const {
    if (chosen.size() == 1) return gather(t, chosen[0].positions, chosen[0].axis);
    return transpose(gather_nd(transpose(t, front(t.rank())), joint()), placed(t.rank()));
  }
  Tensor put(const Tensor& t, const Tensor& part, Scatter mode) const {
    const std::vector<int> order = front(t.rank());
    const Tensor rows = transpose(part, inverse(placed(t.rank())));
    return transpose(scatter_nd(transpose(t, order), joint(), rows, mode), inverse(order));
  }
};

Value element_of_list(const List& list, const Value& index) {
  const auto n = std::int64_t(list.items->size());
  if (const Slice* s = index.as<Slice>()) {
    const std::int64_t step = s->step.value_or(1);
    auto bound = [&](std::optional<std::int64_t> at, std::int64_t missing) {
      if (!at) return missing;
      return std::clamp<std::int64_t>(*at < 0 ? *at + n : *at, step > 0 ? 0 : -1, step > 0 ? n : n - 1);
    };
    const std::int64_t stop = bound(s->stop, step > 0 ? n : -1);
    Values part;
    for (std::int64_t i = bound(s->start, step > 0 ? 0 : n - 1); step > 0 ? i < stop : i > stop; i += step)
      part.push_back((*list.items)[std::size_t(i)]);
    return list_value(part);
  }
  const auto i = std::int64_t(as_number(index));
  return list.items->at(std::size_t(i < 0 ? i + n : i));
}

int rank_taken(const Value& index) {
  if (index.is_none() || index.as<Ellipsis>() || index.as<bool>()) return 0;
  if (!index.is_tensor() && !index.as<List>()) return 1;
  const Tensor t = as_tensor(index);
  return t.dtype() == Dtype::boolean ? t.rank() : 1;
}

}  // namespace

Value subscript(const Value& of, const Values& indices, bool writes) {
  if (const List* list = of.as<List>()) return element_of_list(*list, indices.at(0));
  Value result = of;
  Choice choice;
  int axis = 0;
  for (std::size_t k = 0; k < indices.size(); ++k) {
    const Value& index = indices[k];
    if (const Slice* s = index.as<Slice>()) {
      result = sliced(result, axis++, s->start.value_or(0), s->stop.value_or(SliceTo::end), s->step.value_or(1));
    } else if (index.as<Ellipsis>()) {
      int rest = 0;
      for (std::size_t j = k + 1; j < indices.size(); ++j) rest += rank_taken(indices[j]);
      axis = as_tensor(result).rank() - rest;
    } else if (index.is_none()) {
      const int place = axis++;
      result = view(
          result, [=](const Tensor& t) { return expand_dims(t, place); },
          [=](const Tensor&, const Tensor& t) { return squeeze(t, place); });
    } else if (index.as<Number>()) {
      result = picked(result, axis, std::int64_t(as_number(index)));
    } else {
      const Tensor by = as_tensor(index);
      if (by.dtype() == Dtype::boolean) {
        for (const Tensor& positions : places_of(by)) choice.chosen.push_back({axis++, positions});
      } else if (is_integer(by.dtype())) {
        choice.chosen.push_back({axis++, by});
      } else {
        throw BadCase("an index of fractions");
      }
    }
  }
  if (choice.chosen.empty()) return result;
  if (!writes) return tensor_value(choice.get(as_tensor(result)));
  return view(
      result, [=](const Tensor& t) { return choice.get(t); },
      [=](const Tensor& parent, const Tensor& part) { return choice.put(parent, part, Scatter::set); });
}

namespace {

// f on rows along `axis`.
template <class F>
Tensor along(const Tensor& x, int axis, const F& f) {
  const int rank = x.rank(), from = axis < 0 ? axis + rank : axis;
  std::vector<int> order(std::size_t(rank), 0);
  std::iota(order.begin(), order.end(), 0);
  std::rotate(order.begin(), order.begin() + from, order.begin() + from + 1);
  return transpose(f(transpose(x, order), order), Choice::inverse(order));
}

Value replaced_rows(const Args& a, Scatter mode) {
  const Tensor index = reshape(a.tensor(2, "index"), {-1});
  return tensor_value(
      along(a.tensor(0, "input"), int(a.number(1, "dim")), [&](const Tensor& rows, const std::vector<int>& order) {
        Tensor source = a.tensor(3, a.function == "index_copy" ? "tensor" : "source");
        if (source.rank() == 0) source = reshape(source, {1});
        if (const Value* alpha = a.find(4, "alpha")) source = source * as_number(*alpha);
        return scatter(rows, index, transpose(source, order), mode);
      }));
}

// x and its index agree but along one axis: the rest of x is not touched. The part that takes part.
Value part_under(const Value& x, const Tensor& index, int axis) {
  Value part = x;
  const int rank = index.rank(), along = axis < 0 ? axis + rank : axis;
  for (int d = 0; d < rank; ++d)
    if (d != along && as_tensor(part).size(d).value() != index.size(d).value())
      part = sliced(part, d, 0, index.size(d).value(), 1);
  return part;
}

Value scattered(const Args& a, Scatter mode) {
  const Value copy = tensor_value(a.tensor(0, "input"));
  const Tensor index = a.tensor(2, "index");
  const int axis = int(a.number(1, "dim"));
  const Value* from = a.find(3, a.find(3, "src") ? "src" : "value");
  if (!from) throw BadCase(a.function + ": no src");
  const std::string reduce = a.text(4, "reduce", "");
  if (reduce == "add" || reduce == "sum") mode = Scatter::add;
  if (reduce != "" && mode != Scatter::add) throw NoSuchOp(a.function + " with reduce=" + reduce);
  if (reduce == "sum" && !a.flag(5, "include_self", true)) throw NoSuchOp("scatter_reduce without itself");
  Tensor src = from->is_tensor() ? as_tensor(*from) : full(index.shape(), as_number(*from), as_tensor(copy).dtype());
  if (src.rank() == 0) src = broadcast_to(src, index.shape());
  for (int d = 0; d < index.rank(); ++d) src = slice(src, d, 0, index.size(d).value());
  const Value part = part_under(copy, index, axis);
  std::get<BoxPtr>(part.v)->write(
      scatter_along(as_tensor(part), index, cast(src, as_tensor(copy).dtype()), axis, mode));
  return copy;
}

// The mask of a tensor's shape, and values one for each place where it holds, in order.
Value masked_scatter(const Args& a) {
  const Tensor x = a.tensor(0, "input"), mask = broadcast_to(a.tensor(1, "mask"), x.shape());
  Choice choice;
  int axis = 0;
  for (const Tensor& positions : places_of(mask)) choice.chosen.push_back({axis++, positions});
  const std::int64_t n = choice.chosen.at(0).positions.size(0).value();
  return tensor_value(choice.put(x, slice(reshape(a.tensor(2, "source"), {-1}), 0, 0, n), Scatter::set));
}

}  // namespace

void add_index_functions(Table& t) {
  t["index_select"] = [](const Args& a) {
    return tensor_value(gather(a.tensor(0, "input"), reshape(a.tensor(2, "index"), {-1}), int(a.number(1, "dim"))));
  };
  t["index_add"] = [](const Args& a) { return replaced_rows(a, Scatter::add); };
  t["index_copy"] = [](const Args& a) { return replaced_rows(a, Scatter::set); };
  t["index_fill"] = [](const Args& a) {
    const Tensor index = reshape(a.tensor(2, "index"), {-1});
    const Tensor value = as_tensor(*a.find(3, "value"), a.tensor(0, "input").dtype());
    return tensor_value(
        along(a.tensor(0, "input"), int(a.number(1, "dim")), [&](const Tensor& rows, const std::vector<int>&) {
          Shape shape = rows.shape();
          shape[0] = index.size(0);
          return scatter(rows, index, broadcast_to(value, shape));
        }));
  };
  t["index_put"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const bool adds = a.flag(3, "accumulate");
    const Value* indices = a.find(1, "indices");
    if (!indices || !indices->as<List>()) throw BadCase("index_put: indices are a tuple");
    const Value copy = tensor_value(x), part = subscript(copy, *indices->as<List>()->items, true);
    const Tensor old = as_tensor(part), values = cast(a.tensor(2, "values"), x.dtype());
    if (!adds) {
      std::get<BoxPtr>(part.v)->write(broadcast_to(values, old.shape()));
      return copy;
    }
    Choice choice;
    int axis = 0;
    for (const Value& index : *indices->as<List>()->items) {
      const Tensor by = as_tensor(index);
      if (by.dtype() == Dtype::boolean)
        for (const Tensor& positions : places_of(by)) choice.chosen.push_back({axis++, positions});
      else
        choice.chosen.push_back({axis++, by});
    }
    return tensor_value(choice.put(x, broadcast_to(values, old.shape()), Scatter::add));
  };
  t["gather"] = [](const Args& a) {
    const Tensor index = a.tensor(2, "index");
    const int axis = int(a.number(1, "dim"));
    return tensor_value(take_along(as_tensor(part_under(a.positional.at(0), index, axis)), index, axis));
  };
  t["take_along_dim"] = [](const Args& a) {
    const Value* dim = a.find(2, "dim");
    if (!dim) return tensor_value(gather(reshape(a.tensor(0, "input"), {-1}), reshape(a.tensor(1, "indices"), {-1})));
    const Tensor x = a.tensor(0, "input"), index = a.tensor(1, "indices");
    const int axis = int(as_number(*dim)) < 0 ? int(as_number(*dim)) + x.rank() : int(as_number(*dim));
    Shape of_x = x.shape(), of_index = index.shape();
    for (int d = 0; d < x.rank(); ++d)
      if (d != axis) {
        const std::int64_t n = std::max(x.size(d).value(), index.size(d).value());
        of_x[std::size_t(d)] = of_index[std::size_t(d)] = n;
      }
    return tensor_value(take_along(broadcast_to(x, of_x), broadcast_to(index, of_index), axis));
  };
  t["take"] = [](const Args& a) {
    return tensor_value(gather(reshape(a.tensor(0, "input"), {-1}), a.tensor(1, "index")));
  };
  t["scatter"] = [](const Args& a) { return scattered(a, Scatter::set); };
  t["scatter_add"] = [](const Args& a) { return scattered(a, Scatter::add); };
  t["scatter_reduce"] = [](const Args& a) { return scattered(a, Scatter::set); };
  t["masked_select"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input"), mask = a.tensor(1, "mask");
    // Both are broadcast.
    const Tensor wide = where(mask, x, x), all = broadcast_to(mask, wide.shape());
    return subscript(tensor_value(wide), {tensor_value(all)});
  };
  t["masked_fill"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    return tensor_value(where(a.tensor(1, "mask"), as_tensor(*a.find(2, "value"), x.dtype()), x));
  };
  t["masked_scatter"] = masked_scatter;
  t["embedding"] = [](const Args& a) {
    const Tensor rows = a.tensor(1, "weight");
    const Value* padding = a.find(2, "padding_idx");
    if (!padding) return tensor_value(gather(rows, a.tensor(0, "input")));
    // The row of the padding gets no gradient.
    const double n = as_number(*padding) < 0 ? as_number(*padding) + double(rows.size(0).value()) : as_number(*padding);
    const Tensor is_padding = expand_dims(a.tensor(0, "input") == int(n), -1);
    const Tensor found = gather(rows, a.tensor(0, "input"));
    return tensor_value(where(is_padding, stop_gradient(found), found));
  };
  t["one_hot"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    double n = a.number(1, "num_classes", -1);
    if (n < 0)
      for (double i : numbers_read(x)) n = std::max(n, i + 1);
    return tensor_value(one_hot(x, std::int64_t(n), Dtype::i32));
  };
  t["nonzero"] = [](const Args& a) {
    const Tensors places = places_of(cast(a.tensor(0, "input"), Dtype::boolean));
    if (!a.flag(1, "as_tuple")) return tensor_value(stack(places, 1));
    Values each;
    for (const Tensor& p : places) each.push_back(tensor_value(p));
    return list_value(each);
  };
}

}  // namespace tapeloop::testing::torch
