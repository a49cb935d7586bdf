#include "jit/program.h"

#include <algorithm>
#include <chrono>

#include "ad/denormals.h"
#include "jit/pack.h"
#include "jit/team.h"
#include "ops/matmul.h"
#include "ops/scan.h"

namespace tapeloop {
namespace {

// Equal but for the names of symbols.
bool same_structure(const Tape& a, const Tape& b) {
  if (a.size() != b.size() || a.inputs != b.inputs || a.outputs != b.outputs) return false;
  for (Id id = 0; id < a.size(); ++id) {
    const Record &x = a[id], &y = b[id];
    if (x.op != y.op || x.in != y.in || x.attrs.entries().size() != y.attrs.entries().size()) return false;
    for (std::size_t i = 0; i < x.attrs.entries().size(); ++i) {
      const auto &[name, value] = x.attrs.entries()[i];
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

// The values of the leaf symbols under given argument types.
class Binding {
 public:
  // False when the types do not fit the tape's.
  bool bind(const Tape& tape, const std::vector<Type>& types) {
    for (std::size_t i = 0; i < types.size(); ++i) {
      const Type& want = tape.input_type(i);
      if (want.dtype != types[i].dtype || want.rank() != types[i].rank()) return false;
      for (std::size_t axis = 0; axis < want.shape.size(); ++axis) {
        const std::int64_t have = types[i].shape[axis].value();
        const tapeloop::Symbol* symbol = want.shape[axis].symbol();
        if (!symbol) {
          if (want.shape[axis].value() != have) return false;
          continue;
        }
        auto it = std::find(symbols.begin(), symbols.end(), symbol);
        if (it == symbols.end()) {
          if (have == 1) return false;  // an axis of one element broadcasts: another program
          symbols.push_back(symbol);
          values.push_back(have);
        } else if (values[std::size_t(it - symbols.begin())] != have) {
          return false;
        }
      }
    }
    return true;
  }
  std::int64_t operator()(const Extent& extent) const {
    return evaluate(extent, [&](const tapeloop::Symbol* symbol) {
      auto it = std::find(symbols.begin(), symbols.end(), symbol);
      if (it == symbols.end()) throw InternalError("a program depends on an extent that no argument has");
      return values[std::size_t(it - symbols.begin())];
    });
  }
  std::vector<const tapeloop::Symbol*> symbols;
  std::vector<std::int64_t> values;
};

std::int64_t bytes_of(const Type& type, const Binding& binding) {
  std::int64_t count = 1;
  for (const Extent& extent : type.shape) count *= binding(extent);
  return count * size_of(type.dtype);
}

}  // namespace

namespace detail {

std::vector<Type> symbolic_types(const Tensors& leaves) {
  std::vector<Type> types = types_of(leaves);
  for (Type& type : types)
    for (Extent& extent : type.shape) extent = Extent::symbol(extent.value());
  return types;
}

std::string describe_types(const Tensors& leaves) {
  std::string text;
  for (const Tensor& leaf : leaves) {
    text += char('0' + int(leaf.dtype()));
    text += char('0' + leaf.rank());
  }
  return text;
}

}  // namespace detail

CompiledProgram::CompiledProgram(TapePtr tape, const Plan& plan, ProgramLayout layout, std::shared_ptr<const CompiledModule> code,
                                 double seconds)
    : tape_(std::move(tape)), memory_(std::move(layout)), code_(std::move(code)), function_(code_->function<Function>("program")), seconds_(seconds) {
  collect_work(plan, {});
}

void CompiledProgram::collect_work(const Plan& plan, const std::vector<Extent>& outer) {
  for (const Nest& nest : plan.nests) {
    std::vector<Extent> factors = outer;
    const Record& r = (*plan.tape)[nest.root];
    if (nest.kind == NestKind::loop || nest.kind == NestKind::branch) {
      // How often a while loop turns is not known: once, as far as threads are concerned.
      if (r.attrs.has("length")) factors.push_back(r.attrs.extent("length"));
      for (const PlanPtr& body : plan.bodies[nest.root]) collect_work(*body, factors);
      continue;
    }
    meetings_.push_back({outer, 1});
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
    work_.push_back({std::move(factors), weight});
  }
}

bool CompiledProgram::is_of(const TapePtr& tape) const { return same_structure(*tape, *tape_); }

bool CompiledProgram::accepts(const std::vector<Type>& types) const { return Binding().bind(*tape_, types); }

std::shared_ptr<const CompiledProgram::Layout> CompiledProgram::layout_for(const Tensors& arguments) const {
  Binding binding;
  if (!binding.bind(*tape_, types_of(arguments))) throw InternalError("a program was called with arguments it does not accept");
  std::lock_guard lock(mutex_);
  for (const auto& known : layouts_)
    if (known->leaves == binding.values) return known;

  auto layout = std::make_shared<Layout>();
  layout->leaves = binding.values;
  // Memory for what a block holds is planned for the largest one.
  for (const auto& [block, most] : memory_.blocks) {
    const std::int64_t steps = binding(most);
    binding.symbols.push_back(block.symbol());
    binding.values.push_back(steps);
  }
  for (const Extent& extent : memory_.extents) layout->extents.push_back(binding(extent));
  for (Id id : tape_->outputs) {
    Type type = (*tape_)[id].type;
    for (Extent& extent : type.shape) extent = Extent(binding(extent));
    layout->results.push_back(std::move(type));
  }
  // First fit: a buffer goes to the lowest place where nothing lives that lives with it.
  struct Placed {
    int first, last;
    std::int64_t begin, end;
  };
  std::vector<Placed> placed;
  for (const MemoryEntry& entry : memory_.memory) {
    if (entry.kind != MemoryEntry::Kind::arena) continue;
    const std::int64_t size = (bytes_of(entry.type, binding) + 127) / 64 * 64;
    std::vector<Placed> rivals;
    for (const Placed& p : placed)
      if (p.first <= entry.last && entry.first <= p.last) rivals.push_back(p);
    std::sort(rivals.begin(), rivals.end(), [](const Placed& a, const Placed& b) { return a.begin < b.begin; });
    std::int64_t at = 0;
    for (const Placed& p : rivals) {
      if (at + size <= p.begin) break;
      at = std::max(at, p.end);
    }
    placed.push_back({entry.first, entry.last, at, at + size});
    layout->offsets.push_back(at);
    layout->arena_bytes = std::max(layout->arena_bytes, at + size);
  }
  auto total = [&](const std::vector<Work>& list) {
    double sum = 0;
    for (const Work& work : list) {
      double product = work.weight;
      for (const Extent& factor : work.factors) product *= double(binding(factor));
      sum += product;
    }
    return sum;
  };
  // A meeting of two threads costs about as much as this many operations; below it a second thread does not pay.
  const double work = total(work_), meetings = total(meetings_);
  layout->worth_threads = work > 1e6 && work > 100e3 * meetings;
  if (layouts_.size() >= 64) layouts_.erase(layouts_.begin());
  layouts_.push_back(layout);
  return layout;
}

int CompiledProgram::threads_for(const Layout& layout) const {
  const int most = threads_available();
  if (!layout.worth_threads || most <= 1) return 1;
  if (options().threads > 0) return most;  // as asked
  Layout::Pace& pace = *layout.pace;
  std::lock_guard lock(pace.mutex);
  const int call = pace.calls++;
  if (pace.together == 0) return most;
  if (pace.alone == 0) return 1;
  const bool alone = pace.alone < pace.together, explore = call % 24 == 0;
  return alone != explore ? 1 : most;
}

Tensors CompiledProgram::operator()(const Tensors& arguments) const {
  const auto layout = layout_for(arguments);
  auto arena = Buffer::allocate(layout->arena_bytes);
  std::vector<std::shared_ptr<Buffer>> results;
  for (const Type& type : layout->results) results.push_back(Buffer::allocate(count_of(type.shape) * size_of(type.dtype)));

  std::vector<void*> memory;
  std::size_t next = 0;
  for (const MemoryEntry& entry : memory_.memory) {
    switch (entry.kind) {
      case MemoryEntry::Kind::input: memory.push_back(const_cast<std::byte*>(arguments[entry.index].bytes())); break;
      case MemoryEntry::Kind::output: memory.push_back(results[entry.index]->data()); break;
      case MemoryEntry::Kind::constant: memory.push_back(const_cast<std::byte*>(entry.value.bytes())); break;
      case MemoryEntry::Kind::arena: memory.push_back(arena->data() + layout->offsets[next++]); break;
    }
  }
  FlushDenormals flush(options().denormals);
  const int threads = threads_for(*layout);
  const auto begin = std::chrono::steady_clock::now();
  if (threads <= 1)
    function_(memory.data(), layout->extents.data(), nullptr, 0, 1);
  else
    run_together(threads, [&](void* team, std::int64_t thread) { function_(memory.data(), layout->extents.data(), team, thread, threads); });
  if (layout->worth_threads) {
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    Layout::Pace& pace = *layout->pace;
    std::lock_guard lock(pace.mutex);
    double& usual = threads > 1 ? pace.together : pace.alone;
    usual = usual == 0 ? seconds : 0.5 * (usual + seconds);
  }

  Tensors tensors;
  for (std::size_t i = 0; i < results.size(); ++i) tensors.push_back(Tensor(layout->results[i], std::move(results[i])));
  return tensors;
}

}  // namespace tapeloop
