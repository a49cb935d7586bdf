#include "jit/recipe.h"

#include "jit/channels.h"
#include "jit/pack.h"
#include "ops/matmul.h"

namespace tapeloop {
namespace {

// `meets`: the threads meet after every nest, not only when the loop that it is in has ended.
void collect_work(const Plan& plan, const std::vector<Extent>& outer, bool meets, Recipe& recipe) {
  for (const Nest& nest : plan.nests) {
    std::vector<Extent> factors = outer;
    const Record& r = (*plan.tape)[nest.root];
    if (nest.kind == NestKind::loop || nest.kind == NestKind::branch) {
      // How often a while loop turns is not known: once, as far as threads are concerned.
      if (r.attrs.has("length")) factors.push_back(r.attrs.extent("length"));
      const bool apart = is_loop(r) && find_channels(LoweredLoop(r.attrs), *plan.bodies[nest.root][0]);
      if (apart) recipe.meetings.push_back({outer, 1});
      for (const PlanPtr& body : plan.bodies[nest.root]) collect_work(*body, factors, meets && !apart, recipe);
      continue;
    }
    const RowGroup* group = plan.group_of(int(&nest - plan.nests.data()));
    if (meets && (!group || &nest == &plan.nests[std::size_t(group->last)])) recipe.meetings.push_back({outer, 1});
    for (const Extent& extent : nest.space) factors.push_back(extent);
    double weight = 4;
    if (nest.kind == NestKind::matmul) {
      const Type& a = (*plan.tape)[r.in[0]].type;
      factors.push_back(a.shape[a.shape.size() - (r.attrs.flag("transpose_a") ? 2 : 1)]);
      weight = 2.0 * double(nest.terms.size());
      if (r.op == &packed_matmul_op) {
        weight *= double(Panels(r.attrs).streams);
        if (r.attrs.flag("steps")) factors.push_back(a.shape[0]);
      }
    }
    recipe.work.push_back({std::move(factors), weight});
  }
}

// Which nests read which inputs, and how.
class Readers {
 public:
  explicit Readers(const Plan& plan) : plan_(plan), input_of_(plan.tape->size(), -1) {
    const Tape& tape = *plan.tape;
    for (std::size_t i = 0; i < tape.inputs.size(); ++i) input_of_[tape.inputs[i]] = int(i);
    last_elsewhere.assign(tape.inputs.size(), -1);
    last_in_place.assign(tape.inputs.size(), -1);
    for (Id id = 0; id < tape.size(); ++id)
      if (plan.nest_of[id] >= 0) visit_operands(id, plan.nest_of[id], is_elementwise_in(id, plan.nest_of[id]));
    for (std::size_t n = 0; n < plan.nests.size(); ++n) {
      const Nest& nest = plan.nests[n];
      for (const Write& w : nest.writes)
        visit(w.value, int(n),
              nest.kind == NestKind::map && w.target == w.value && tape[w.value].type.shape == nest.space);
      for (Id term : nest.terms) visit_operands(term, int(n), false);
      for (Id sum : nest.sums) visit_operands(sum, int(n), false);
      visit_operands(nest.root, int(n), is_elementwise_in(nest.root, int(n)));
    }
  }

  // For each input, the last nest that reads it at the place that it computes, and at any other place; -1 for none.
  std::vector<int> last_in_place, last_elsewhere;

 private:
  bool is_elementwise_in(Id id, int n) const {
    const Nest& nest = plan_.nests[std::size_t(n)];
    const Record& r = (*plan_.tape)[id];
    return nest.kind == NestKind::map && r.op->kind == Kind::elementwise && r.type.shape == nest.space;
  }
  void visit_operands(Id id, int nest, bool in_place) {
    for (Id operand : (*plan_.tape)[id].in) visit(operand, nest, in_place);
  }
  // `nest` computes with `id`: what is not in memory it computes itself.
  void visit(Id id, int nest, bool in_place) {
    std::vector<std::pair<Id, bool>> pending{{id, in_place}};
    while (!pending.empty()) {
      const auto [x, here] = pending.back();
      pending.pop_back();
      const Id owner = plan_.alias_of[x].owner;
      if (const int input = input_of_[owner]; input >= 0) {
        const bool own_place = here && owner == x;
        auto& last = own_place ? last_in_place : last_elsewhere;
        // Other rows of a group are written before this nest comes to its own.
        const RowGroup* group = own_place ? nullptr : plan_.group_of(nest);
        last[std::size_t(input)] = std::max(last[std::size_t(input)], group ? group->last : nest);
        continue;
      }
      const Kind kind = (*plan_.tape)[x].op->kind;
      const bool elementwise = kind == Kind::elementwise;
      // Only these are ever computed by another nest than their own, whose reads are looked at by themselves.
      const bool again = elementwise || kind == Kind::view || kind == Kind::pick;
      if (plan_.stored[owner] || !again || (here && plan_.nest_of[x] == nest && x != id)) continue;
      for (Id operand : (*plan_.tape)[x].in) pending.push_back({operand, here && elementwise});
    }
  }

  const Plan& plan_;
  std::vector<int> input_of_;
};

// The map nest that alone writes an output, at the place of its own elements; -1 when there is no such nest.
int only_writer(const Plan& plan, std::size_t output) {
  int writer = -1;
  for (std::size_t n = 0; n < plan.nests.size(); ++n)
    for (const Write& w : plan.nests[n].writes) {
      const bool here = w.slot == int(output) || (w.slot < 0 && plan.slot_of[w.target] == int(output));
      if (!here) continue;
      const bool whole = plan.nests[n].kind == NestKind::map && w.value == plan.tape->outputs[output] &&
                         (w.slot >= 0 || w.target == w.value) &&
                         (*plan.tape)[w.value].type.shape == plan.nests[n].space;
      if (!whole || (writer >= 0 && writer != int(n))) return -1;
      writer = int(n);
    }
  return writer;
}

}  // namespace

std::vector<int> find_donors(const Plan& plan) {
  const Tape& tape = *plan.tape;
  const Readers readers(plan);
  std::vector<int> donors(tape.outputs.size(), -1);
  std::vector<bool> given(tape.inputs.size(), false);
  for (std::size_t output = 0; output < tape.outputs.size(); ++output) {
    const int writer = only_writer(plan, output);
    if (writer < 0) continue;
    int best = -1;
    for (std::size_t i = 0; i < tape.inputs.size(); ++i) {
      if (given[i] || !(tape.input_type(i) == tape.output_type(output))) continue;
      if (readers.last_elsewhere[i] >= writer || readers.last_in_place[i] > writer) continue;
      // Best is what the output is computed from, such as a parameter from its value before.
      if (best < 0 || (readers.last_in_place[i] == writer && readers.last_in_place[std::size_t(best)] != writer))
        best = int(i);
    }
    if (best < 0) continue;
    donors[output] = best;
    given[std::size_t(best)] = true;
  }
  return donors;
}

Recipe make_recipe(const Plan& plan, ProgramLayout layout) {
  Recipe recipe;
  recipe.layout = std::move(layout);
  collect_work(plan, {}, true, recipe);
  recipe.donors = find_donors(plan);
  recipe.margins = plan.margins;
  return recipe;
}

}  // namespace tapeloop
