#include "jit/channels.h"

#include <algorithm>

#include "ad/arithmetic.h"
#include "jit/passes.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

using Place = Channels::Place;

class Finder {
 public:
  Finder(const LoweredLoop& loop, const Plan& body) : loop_(loop), plan_(body), t_(*body.tape), places_(t_.size()) {
    found_.states.resize(loop.states);
    placed_.resize(loop.states);
    elsewhere_.resize(t_.size());
    state_of_.assign(t_.size(), -1);
    for (std::size_t i = 0; i < loop.states; ++i) state_of_[t_.inputs[loop.constants + i]] = int(i);
  }

  std::optional<Channels> find() {
    if (loop_.is_blocked() || loop_.states == 0 || !choose_space()) return {};
    find_constants();
    find_given();
    for (const Channels::Given& y : found_.given)
      if (t_[y.write->value].type.shape == found_.space) reach(y.write->value, own_place(found_.space));
    for (std::size_t i = 0; i < loop_.states; ++i)
      if (t_.output_type(i).shape == found_.space) place_state(i, own_place(found_.space));
    walk();
    // What is smaller than the space stands where the others read it, and is no part of a larger result.
    for (Channels::Given& y : found_.given) {
      const Id value = y.write->value;
      if (t_[value].type.shape == found_.space)
        y.place = own_place(found_.space);
      else if (const auto place = place_of_small(value); place && y.write->target == value)
        reach(value, y.place = *place);
      else
        return {};
    }
    walk();
    for (std::size_t i = 0; i < loop_.states; ++i) {
      if (placed_[i]) continue;
      if (!is_single(t_.output_type(i).shape)) return {};
      place_state(i, Place(t_.output_type(i).shape.size(), -1));
    }
    walk();
    if (fails_ || !has_elements_for_all()) return {};
    return std::move(found_);
  }

 private:
  // What elements share is computed with them, so that of a space without elements there would be nothing of it.
  bool has_elements_for_all() const {
    const auto has = [&](const Shape& shape, const Place& place) {
      for (std::size_t axis = 0; axis < found_.space.size(); ++axis) {
        const Extent& e = found_.space[axis];
        const bool stands = std::find(place.begin(), place.end(), int(axis)) != place.end();
        if (shape != found_.space && !stands && !(e.is_number() && e.value() > 0)) return false;
      }
      return true;
    };
    for (std::size_t i = 0; i < loop_.states; ++i)
      if (!has(t_.output_type(i).shape, found_.states[i])) return false;
    return std::all_of(found_.given.begin(), found_.given.end(),
                       [&](const Channels::Given& y) { return has(t_[y.write->value].type.shape, y.place); });
  }

  struct Visit {
    Id id;
    std::optional<Place> place;  // none: somewhere else, where only what needs no state can be had
  };

  static bool is_single(const Shape& shape) { return std::ranges::all_of(shape, &Extent::is_one); }
  static Place own_place(const Shape& shape) {
    Place place;
    for (std::size_t i = 0; i < shape.size(); ++i) place.push_back(shape[i].is_one() ? -1 : int(i));
    return place;
  }

  // The shape that most others can be stretched to.
  bool choose_space() {
    auto size = [](const Shape& shape) {
      return std::pair(shape.size(),
                       std::count_if(shape.begin(), shape.end(), [](const Extent& e) { return !e.is_one(); }));
    };
    for (std::size_t i = 0; i < t_.outputs.size(); ++i) {
      const Shape& shape = t_[t_.outputs[i]].type.shape;
      if (i >= loop_.states && t_[t_.outputs[i]].op->kind != Kind::elementwise) continue;
      if (size(shape) > size(found_.space)) found_.space = shape;
    }
    return !found_.space.empty();
  }

  void find_constants() {
    found_.constant.assign(t_.size(), false);
    for (std::size_t i = 0; i < loop_.constants; ++i) found_.constant[t_.inputs[i]] = true;
    for (Id id = 0; id < t_.size(); ++id) {
      const Record& r = t_[id];
      if (r.op == &input_op) continue;
      found_.constant[id] =
          std::all_of(r.in.begin(), r.in.end(), [&](Id operand) { return bool(found_.constant[operand]); });
    }
  }

  // What goes from one nest to another stays in registers; so do states.
  void find_given() {
    std::vector<bool> written(t_.outputs.size(), false);
    for (const Nest& nest : plan_.nests)
      for (const Write& write : nest.writes) {
        const int output = write.slot >= 0 ? write.slot : plan_.slot_of[write.target];
        if (output < int(loop_.states)) continue;
        found_.given.push_back({&write, std::size_t(output), {}});
        found_.flat = found_.flat && write.target == write.value;
        written[std::size_t(output)] = true;
      }
    for (std::size_t i = loop_.states; i < written.size(); ++i) fails_ = fails_ || !written[i];
  }

  void place_state(std::size_t i, const Place& place) {
    if (placed_[i]) {
      fails_ = fails_ || found_.states[i] != place;
      return;
    }
    placed_[i] = true;
    found_.states[i] = place;
    reach(t_.outputs[i], place);
  }

  std::optional<Place> place_of_small(Id id) const {
    if (is_single(t_[id].type.shape)) return Place(t_[id].type.shape.size(), -1);
    if (places_[id].size() != 1) return {};
    return places_[id][0];
  }

  void reach(Id id, const std::optional<Place>& place) {
    if (!place && elsewhere_[id]) return;
    if (place && std::find(places_[id].begin(), places_[id].end(), *place) != places_[id].end()) return;
    if (place)
      places_[id].push_back(*place);
    else
      elsewhere_[id] = true;
    work_.push_back({id, place});
  }

  void walk() {
    while (!work_.empty() && !fails_) {
      const Visit v = work_.back();
      work_.pop_back();
      visit(v.id, v.place);
    }
  }

  void visit(Id id, const std::optional<Place>& place) {
    const Record& r = t_[id];
    if (state_of_[id] >= 0) {
      if (!place) fails_ = true;
      if (place) place_state(std::size_t(state_of_[id]), *place);
      return;
    }
    if (plan_.stored[id] && plan_.nest_of[id] < 0) {
      // Given to the loop, or a part of that.
      if (state_of_[plan_.alias_of[id].owner] >= 0) fails_ = true;
      if (!place || (!is_single(r.type.shape) && r.type.shape != found_.space) || id != plan_.alias_of[id].owner)
        found_.flat = false;
      return;
    }
    if (r.op->kind == Kind::elementwise) {
      ++found_.size;
      for (Id operand : r.in) reach(operand, place);
      return;
    }
    if (r.op == &full_op || r.op == &extent_op) return;
    if (r.op->kind == Kind::source) {
      found_.flat = false;
      return;
    }
    if (r.op == &pick_op && t_[r.in[0]].op == &split_op) {
      found_.flat = false;
      return reach(t_[r.in[0]].in[0], {});
    }
    if (r.op == &slice_op || r.op == &flip_op || r.op == &pad_op) {
      found_.flat = false;
      return reach(r.in[0], {});
    }
    if (r.op != &broadcast_op && r.op != &transpose_op && r.op != &reshape_op) {
      fails_ = true;
      return;
    }
    const Shape& shape = t_[r.in[0]].type.shape;
    const bool single = r.op == &broadcast_op && is_single(shape);
    if (!single && r.op != &reshape_op) found_.flat = false;
    const auto inner = through(r, shape, place ? *place : Place(r.type.shape.size(), -1));
    if (!inner) {
      fails_ = true;
      return;
    }
    if (place || single)
      reach(r.in[0], inner);
    else
      reach(r.in[0], {});
  }

  // The place of a view's operand when the view stands at `place`; none when that is not a matter of axes.
  static std::optional<Place> through(const Record& r, const Shape& shape, const Place& place) {
    Place inner;
    if (r.op == &transpose_op) {
      const Ints& order = r.attrs.get<Ints>("order");
      inner.resize(order.size());
      for (std::size_t i = 0; i < order.size(); ++i) inner[std::size_t(order[i])] = place[i];
      return inner;
    }
    if (r.op == &broadcast_op) {
      const Ints& axes = r.attrs.get<Ints>("axes");
      for (std::size_t i = 0; i < axes.size(); ++i)
        inner.push_back(shape[i].is_one() ? -1 : place[std::size_t(axes[i])]);
      return inner;
    }
    // Axes of extent 1 come and go; the others keep their order.
    std::size_t next = 0;
    auto skip = [&] {
      while (next < place.size() && r.type.shape[next].is_one()) ++next;
    };
    for (const Extent& e : shape) {
      skip();
      if (!e.is_one() && (next == place.size() || r.type.shape[next] != e)) return {};
      inner.push_back(e.is_one() ? -1 : place[next++]);
    }
    skip();
    if (next < place.size()) return {};
    return inner;
  }

  const LoweredLoop& loop_;
  const Plan& plan_;
  const Tape& t_;
  Channels found_;
  std::vector<bool> placed_, elsewhere_;
  std::vector<int> state_of_;
  std::vector<std::vector<Place>> places_;  // at which a record is needed
  std::vector<Visit> work_;
  bool fails_ = false;
};

}  // namespace

std::optional<Channels> find_channels(const LoweredLoop& loop, const Plan& body) {
  if (!runs(Pass::states_in_registers)) return {};
  return Finder(loop, body).find();
}

}  // namespace tapeloop
