#include "jit/program.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "ad/denormals.h"
#include "jit/arena.h"
#include "jit/cores.h"
#include "jit/team.h"
#include "jit/timeline.h"

namespace tapeloop {
namespace {

// Equal but for the names of symbols.
bool same_structure(const Tape& a, const Tape& b) {
  if (a.size() != b.size() || a.inputs != b.inputs || a.outputs != b.outputs) return false;
  for (Id id = 0; id < a.size(); ++id) {
    const Record &x = a[id], &y = b[id];
    if (x.op != y.op || x.in != y.in || x.attrs.entries().size() != y.attrs.entries().size()) return false;
    for (std::size_t i = 0; i < x.attrs.entries().size(); ++i) {
      const auto& [name, value] = x.attrs.entries()[i];
      const auto& other = y.attrs.entries()[i].second;
      if (const auto* body = std::get_if<TapePtr>(&value)) {
        if (!same_structure(**body, *std::get<TapePtr>(other))) return false;
      } else if (!std::holds_alternative<Shape>(value) && !(Attrs{{name, value}} == Attrs{{name, other}})) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace

namespace detail {

std::vector<Type> symbolic_types(std::span<const Argument> arguments) {
  std::vector<Type> types;
  for (const Argument& argument : arguments) {
    types.push_back(argument.tensor->type());
    for (Extent& extent : types.back().shape) extent = Extent::symbol(extent.value());
  }
  return types;
}

Tensors materialized(std::span<const Argument> arguments) {
  Tensors tensors;
  for (const Argument& argument : arguments) tensors.push_back(argument.tensor->materialized());
  return tensors;
}

void Call::begin(const void* signature) {
  scratch_.key.assign(reinterpret_cast<const char*>(&signature), sizeof signature);
  scratch_.arguments.clear();
}

void Call::end() {
  for (const Argument& argument : scratch_.arguments) {
    const Tensor& tensor = *argument.tensor;
    recorded_ = recorded_ || tensor.is_recorded();
    scratch_.key += char('0' + int(tensor.dtype()));
    scratch_.key += char('0' + tensor.rank());
  }
}

const CompiledCall* CompiledCalls::find(const Call& call) const {
  const std::lock_guard lock(mutex_);
  for (const CompiledCall& compiled : calls_)
    if (compiled.key == call.key() && compiled.program->accepts(call.arguments())) return &compiled;
  return nullptr;
}

const CompiledCall* CompiledCalls::add(CompiledCall compiled) {
  const std::lock_guard lock(mutex_);
  return &calls_.emplace_back(std::move(compiled));
}

void check_unchanged(const CompiledCall& compiled, const TapePtr& tape, const Where& where) {
  if (!compiled.program->is_of(tape))
    throw Error("jit: the function records something else than when it was compiled", where,
                "a captured variable has changed; pass what varies as an argument");
}

CallScratch& idle_scratch() {
  thread_local CallScratch scratch;
  return scratch;
}

}  // namespace detail

bool Program::is_of(const TapePtr& other) const { return same_structure(*other, *tape()); }

Tensors Program::operator()(const Tensors& arguments) const {
  std::vector<Argument> borrowed;
  bool recorded = false;
  for (const Tensor& argument : arguments) {
    borrowed.push_back({&argument, nullptr});
    recorded = recorded || argument.is_recorded();
  }
  if (recorded) return inline_tape(*tape(), arguments);
  if (!accepts(borrowed)) throw InternalError("a program was called with arguments it does not accept");
  Tensors results;
  run(borrowed, results);
  return results;
}

CompiledProgram::CompiledProgram(TapePtr tape, Recipe recipe, std::shared_ptr<const CompiledModule> code,
                                 double seconds)
    : tape_(std::move(tape)),
      recipe_(std::move(recipe)),
      code_(std::move(code)),
      function_(code_->function<Function>("program")),
      seconds_(seconds) {
  for (std::size_t i = 0; i < tape_->inputs.size(); ++i) {
    std::vector<Axis> axes;
    for (const Extent& extent : tape_->input_type(i).shape) {
      const tapeloop::Symbol* symbol = extent.symbol();
      auto it = std::find(symbols_.begin(), symbols_.end(), symbol);
      if (symbol && it == symbols_.end()) it = symbols_.insert(it, symbol);
      axes.push_back({symbol ? int(it - symbols_.begin()) : -1, extent.value()});
    }
    axes_.push_back(std::move(axes));
  }
}

// False when the arguments do not fit the tape's.
bool CompiledProgram::bind(std::span<const Argument> arguments, std::vector<std::int64_t>& values) const {
  constexpr std::int64_t unknown = -1;
  values.assign(symbols_.size(), unknown);
  if (arguments.size() != axes_.size()) return false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const Type& have = arguments[i].tensor->type();
    if (have.dtype != tape_->input_type(i).dtype || have.shape.size() != axes_[i].size()) return false;
    for (std::size_t k = 0; k < axes_[i].size(); ++k) {
      const Axis& axis = axes_[i][k];
      const std::int64_t extent = have.shape[k].value();
      if (axis.symbol < 0) {
        if (axis.number != extent) return false;
        continue;
      }
      std::int64_t& value = values[std::size_t(axis.symbol)];
      // An axis of one element broadcasts: another program.
      if (extent == 1 || (value != unknown && value != extent)) return false;
      value = extent;
    }
  }
  return true;
}

namespace {

// Written by every call on this thread; kept for its memory.
std::vector<std::int64_t>& symbol_values() {
  thread_local std::vector<std::int64_t> values;
  return values;
}

}  // namespace

bool CompiledProgram::accepts(std::span<const Argument> arguments) const { return bind(arguments, symbol_values()); }

std::shared_ptr<const CompiledProgram::Layout> CompiledProgram::layout_for(std::span<const Argument> arguments) const {
  std::vector<std::int64_t>& values = symbol_values();
  if (!bind(arguments, values)) throw InternalError("a program was called with arguments it does not accept");
  std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < layouts_.size(); ++i)
    if (layouts_[i]->symbols == values) {
      std::rotate(layouts_.begin(), layouts_.begin() + std::ptrdiff_t(i), layouts_.begin() + std::ptrdiff_t(i) + 1);
      return layouts_.front();
    }
  if (layouts_.size() >= 64) layouts_.pop_back();
  layouts_.insert(layouts_.begin(), make_layout(values));
  return layouts_.front();
}

std::shared_ptr<CompiledProgram::Layout> CompiledProgram::make_layout(const std::vector<std::int64_t>& values) const {
  auto layout = std::make_shared<Layout>();
  layout->symbols = values;
  std::vector<std::pair<const tapeloop::Symbol*, std::int64_t>> known;
  for (std::size_t i = 0; i < symbols_.size(); ++i) known.emplace_back(symbols_[i], values[i]);
  const auto value_of = [&](const Extent& extent) {
    return evaluate(extent, [&](const tapeloop::Symbol* symbol) {
      auto it = std::find_if(known.begin(), known.end(), [&](const auto& pair) { return pair.first == symbol; });
      if (it == known.end()) throw InternalError("a program depends on an extent that no argument has");
      return it->second;
    });
  };
  // Memory for what a block holds is planned for the largest one.
  for (const auto& [block, most] : recipe_.layout.blocks) known.emplace_back(block.symbol(), value_of(most));
  for (const Extent& extent : recipe_.layout.extents) layout->extents.push_back(value_of(extent));
  for (Id id : tape_->outputs) {
    Type type = (*tape_)[id].type;
    for (Extent& extent : type.shape) extent = Extent(value_of(extent));
    layout->results.push_back(std::make_shared<const Type>(std::move(type)));
  }
  for (const Margin& margin : recipe_.margins)
    layout->margins.emplace_back(value_of(margin.before), value_of(margin.whole));
  std::vector<Lifetime> buffers;
  for (const MemoryEntry& entry : recipe_.layout.memory) {
    if (entry.kind != MemoryEntry::Kind::arena) continue;
    std::int64_t bytes = size_of(entry.type.dtype);
    for (const Extent& extent : entry.type.shape) bytes *= value_of(extent);
    buffers.push_back({entry.first, entry.last, bytes});
  }
  Arena arena = arrange(buffers);
  layout->offsets = std::move(arena.offsets);
  layout->arena_bytes = arena.bytes;
  auto total = [&](const std::vector<Recipe::Work>& list) {
    double sum = 0;
    for (const Recipe::Work& work : list) {
      double product = work.weight;
      for (const Extent& factor : work.factors) product *= double(value_of(factor));
      sum += product;
    }
    return sum;
  };
  // A meeting of two threads costs about as much as 50,000 to 100,000 operations, by how fast a core is; below the least of
  // these a second thread does not pay, and where it may, Pace finds out.
  const double work = total(recipe_.work), meetings = total(recipe_.meetings);
  layout->worth_threads = work > 1e6 && work > 50e3 * meetings;
  return layout;
}

Tensor CompiledProgram::Layout::new_result(std::size_t i) const {
  const auto [before, whole] = margins[i];
  const std::int64_t bytes = bytes_of(*results[i]);
  if (whole == 0) return Tensor(results[i], Buffer::allocate(bytes));
  return Tensor(results[i], Buffer::part_of(Buffer::allocate(whole), before, bytes));
}

std::int64_t CompiledProgram::workspace_bytes(std::span<const Argument> arguments) const {
  return layout_for(arguments)->arena_bytes;
}

int CompiledProgram::threads_for(const Layout& layout) const {
  const int most = threads_available();
  if (options().all_threads) return most;
  if (!layout.worth_threads || most <= 1) return 1;
  return layout.pace->together() ? most : 1;
}

void CompiledProgram::run(std::span<const Argument> arguments, Tensors& results) const {
  const Span span("call", "program");
  const auto layout = layout_for(arguments);
  const int wanted = threads_for(*layout), threads = wanted > 1 && !hire(wanted) ? 1 : wanted;
  Workspace space;
  {
    std::lock_guard lock(mutex_);
    std::swap(space, idle_);
  }
  if (!space.arena || space.arena->bytes() < layout->arena_bytes) space.arena = Buffer::allocate(layout->arena_bytes);

  using Place = MemoryEntry::Kind;
  const auto& entries = recipe_.layout.memory;
  space.memory.resize(entries.size());
  std::size_t next = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].kind == Place::input)
      space.memory[i] = const_cast<std::byte*>(arguments[entries[i].index].tensor->bytes());
    if (entries[i].kind == Place::constant) space.memory[i] = const_cast<std::byte*>(entries[i].value.bytes());
    if (entries[i].kind == Place::arena) space.memory[i] = space.arena->data() + layout->offsets[next++];
  }
  const auto may_donate = [&](int input) {
    if (input < 0) return false;
    const Argument& given = arguments[std::size_t(input)];
    return given.moved && given.tensor->is_sole_owner() &&
           std::count_if(arguments.begin(), arguments.end(),
                         [&](const Argument& other) { return other.tensor == given.tensor; }) == 1;
  };
  results.assign(layout->results.size(), Tensor());
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (may_donate(recipe_.donors[i])) continue;
    results[i] = layout->new_result(i);
  }
  // From here on nothing fails. Arguments that were given away change hands.
  for (std::size_t i = 0; i < results.size(); ++i)
    if (results[i].is_empty()) results[i] = std::move(*arguments[std::size_t(recipe_.donors[i])].moved);
  for (std::size_t i = 0; i < entries.size(); ++i)
    if (entries[i].kind == Place::output) space.memory[i] = const_cast<std::byte*>(results[entries[i].index].bytes());

  const auto begin = std::chrono::steady_clock::now();
  {
    FlushDenormals flush(options().denormals);
    void** memory = space.memory.data();
    const std::int64_t* extents = layout->extents.data();
    if (threads <= 1)
      function_(memory, extents, nullptr, 0, 1);
    else
      run_together(threads, [&](void* team, std::int64_t thread) {
        const Span share("thread", "share of a program");
        function_(memory, extents, team, thread, threads);
      });
  }
  if (layout->worth_threads)
    layout->pace->learn(threads > 1, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());

  empty_moved(arguments);
  std::lock_guard lock(mutex_);
  if (!idle_.arena || idle_.arena->bytes() < space.arena->bytes()) std::swap(space, idle_);
}

}  // namespace tapeloop
