#include "jit/serial.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace tapeloop {
namespace {

class Writer {
 public:
  explicit Writer(Symbols& symbols) : symbols_(&symbols) {}
  Writer(Symbols& symbols, bool fixed) : symbols_(&symbols), fixed_(fixed) {}
  std::string bytes;

  void number(std::uint64_t value) {
    char raw[8];
    std::memcpy(raw, &value, 8);
    bytes.append(raw, 8);
  }
  void text(std::string_view value) {
    number(value.size());
    bytes += value;
  }
  void extent(const Extent& extent) {
    if (extent.is_number()) {
      bytes += 'n';
      number(std::uint64_t(extent.value()));
      return;
    }
    const Symbol* symbol = extent.symbol();
    if (symbol->form) {
      bytes += char(*symbol->form);
      this->extent(symbol->a);
      this->extent(symbol->b);
      return;
    }
    auto it =
        std::find_if(symbols_->begin(), symbols_->end(), [&](const Extent& known) { return known.symbol() == symbol; });
    if (it == symbols_->end()) {
      if (fixed_) throw InternalError("a program depends on an extent that its tape does not have");
      it = symbols_->insert(it, extent.resolved());
    }
    bytes += 's';
    number(std::uint64_t(it - symbols_->begin()));
  }
  void shape(const Shape& shape) {
    number(shape.size());
    for (const Extent& e : shape) extent(e);
  }
  void type(const Type& type) {
    bytes += char(type.dtype);
    shape(type.shape);
    number(type.parts ? type.parts->size() : 0);
    if (type.parts)
      for (const Type& part : *type.parts) this->type(part);
  }
  void tensor(const Tensor& tensor) {
    type(tensor.type());
    text({reinterpret_cast<const char*>(tensor.bytes()), std::size_t(bytes_of(tensor.type()))});
  }
  void value(const Attrs::Value& value) {
    bytes += char(value.index());
    if (const auto* integer = std::get_if<std::int64_t>(&value)) number(std::uint64_t(*integer));
    if (const auto* real = std::get_if<double>(&value)) number(std::bit_cast<std::uint64_t>(*real));
    if (const auto* words = std::get_if<std::string>(&value)) text(*words);
    if (const auto* ints = std::get_if<Ints>(&value)) {
      number(ints->size());
      for (std::int64_t i : *ints) number(std::uint64_t(i));
    }
    if (const auto* extents = std::get_if<Shape>(&value)) shape(*extents);
    if (const auto* dtype = std::get_if<Dtype>(&value)) bytes += char(*dtype);
    if (const auto* body = std::get_if<TapePtr>(&value)) tape(**body);
    if (const auto* constant = std::get_if<Tensor>(&value)) tensor(*constant);
  }
  void tape(const Tape& tape) {
    number(tape.size());
    for (const Record& r : tape.records) {
      text(r.op->name);
      bytes += char(r.op->kind);
      number(r.in.size());
      for (Id id : r.in) number(id);
      number(r.attrs.entries().size());
      for (const auto& [name, attr] : r.attrs.entries()) {
        text(name);
        value(attr);
      }
      type(r.type);
      if (r.op->kind == Kind::elementwise) lanes(tape, r);
    }
    for (const auto* ids : {&tape.inputs, &tape.outputs}) {
      number(ids->size());
      for (Id id : *ids) number(id);
    }
  }

 private:
  void lanes(const Tape& tape, const Record& r) {
    std::vector<Type> in;
    for (Id operand : r.in) in.push_back(tape[operand].type);
    const LaneProgram& program = lane_program(*r.op, in, r.attrs);
    number(program.code.size());
    for (const LaneInstr& instruction : program.code) {
      bytes += char(instruction.op);
      bytes += char(instruction.dtype);
      for (std::uint16_t arg : instruction.arg) number(arg);
      number(instruction.bits);
    }
    number(program.result);
  }

  Symbols* symbols_;
  bool fixed_ = false;
};

// Everything that is read is checked: the bytes come from a file.
class Reader {
 public:
  Reader(std::string_view bytes, const Symbols& symbols) : rest_(bytes), symbols_(symbols) {}

  char byte() { return take(1)[0]; }
  std::uint64_t number() {
    std::uint64_t value = 0;
    std::memcpy(&value, take(8).data(), 8);
    return value;
  }
  // How many things follow, of at least one byte each.
  std::size_t count() {
    const std::uint64_t n = number();
    if (n > rest_.size()) fail();
    return std::size_t(n);
  }
  // A number below `limit`.
  std::size_t index(std::size_t limit) {
    const std::uint64_t n = number();
    if (n >= limit) fail();
    return std::size_t(n);
  }
  Extent extent(int depth = 0) {
    const char form = byte();
    if (form == 'n') return Extent(std::int64_t(number()));
    if (form == 's') return symbols_[index(symbols_.size())];
    if (depth > 64) fail();
    const Extent a = extent(depth + 1), b = extent(depth + 1);
    switch (Extent::Form(form)) {
      case Extent::Form::add:
        return a + b;
      case Extent::Form::sub:
        return a - b;
      case Extent::Form::mul:
        return a * b;
      case Extent::Form::div:
      case Extent::Form::mod:
        if (b.value() == 0) fail();
        return Extent::Form(form) == Extent::Form::div ? a / b : a % b;
      case Extent::Form::min:
        return min(a, b);
      case Extent::Form::max:
        return max(a, b);
    }
    fail();
  }
  Type type() {
    Type type;
    type.dtype = Dtype(byte());
    if (type.dtype > Dtype::boolean) fail();
    for (std::size_t n = count(); n-- > 0;) type.shape.push_back(extent());
    if (number() != 0) fail();  // nothing that has a place in memory is a tuple
    return type;
  }
  Tensor tensor() {
    const Type type = this->type();
    const std::string_view bytes = take(count());
    if (bytes_of(type) != std::int64_t(bytes.size())) fail();
    auto buffer = Buffer::allocate(std::int64_t(bytes.size()));
    std::memcpy(buffer->data(), bytes.data(), bytes.size());
    return Tensor(type, std::move(buffer));
  }
  bool at_end() const { return rest_.empty(); }
  [[noreturn]] static void fail() { throw std::runtime_error("malformed"); }

 private:
  std::string_view take(std::size_t n) {
    if (n > rest_.size()) fail();
    const std::string_view taken = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return taken;
  }
  std::string_view rest_;
  const Symbols& symbols_;
};

}  // namespace

std::string serialized(const Tape& tape, Symbols& symbols) {
  Writer w(symbols);
  w.tape(tape);
  return std::move(w.bytes);
}

std::string serialized(const Recipe& recipe, const Symbols& symbols) {
  Symbols known = symbols;
  Writer w(known, /*fixed=*/true);
  w.number(recipe.layout.memory.size());
  for (const MemoryEntry& entry : recipe.layout.memory) {
    w.bytes += char(entry.kind);
    w.number(entry.index);
    if (entry.kind == MemoryEntry::Kind::arena) w.type(entry.type);
    if (entry.kind == MemoryEntry::Kind::constant) w.tensor(entry.value);
    w.number(std::uint64_t(entry.first));
    w.number(std::uint64_t(entry.last));
  }
  w.shape(recipe.layout.extents);
  w.number(recipe.layout.blocks.size());
  for (const auto& [block, most] : recipe.layout.blocks) {
    w.extent(block);
    w.extent(most);
  }
  for (const auto* list : {&recipe.work, &recipe.meetings}) {
    w.number(list->size());
    for (const Recipe::Work& work : *list) {
      w.shape(work.factors);
      w.number(std::bit_cast<std::uint64_t>(work.weight));
    }
  }
  w.number(recipe.donors.size());
  for (int donor : recipe.donors) w.number(std::uint64_t(donor + 1));
  for (const Margin& margin : recipe.margins) {
    w.extent(margin.before);
    w.extent(margin.whole);
  }
  return std::move(w.bytes);
}

Recipe recipe_from(std::string_view bytes, const Symbols& symbols, const Tape& tape) {
  Reader r(bytes, symbols);
  Recipe recipe;
  for (std::size_t n = r.count(); n-- > 0;) {
    MemoryEntry entry{};
    entry.kind = MemoryEntry::Kind(r.byte());
    switch (entry.kind) {
      case MemoryEntry::Kind::input:
        entry.index = r.index(tape.inputs.size());
        break;
      case MemoryEntry::Kind::output:
        entry.index = r.index(tape.outputs.size());
        break;
      case MemoryEntry::Kind::constant:
      case MemoryEntry::Kind::arena:
        entry.index = r.index(1);
        break;
      default:
        Reader::fail();
    }
    if (entry.kind == MemoryEntry::Kind::arena) entry.type = r.type();
    if (entry.kind == MemoryEntry::Kind::constant) entry.value = r.tensor();
    entry.first = int(r.number());
    entry.last = int(r.number());
    recipe.layout.memory.push_back(std::move(entry));
  }
  for (std::size_t n = r.count(); n-- > 0;) recipe.layout.extents.push_back(r.extent());
  for (std::size_t n = r.count(); n-- > 0;) {
    const Extent block = r.extent();
    recipe.layout.blocks.emplace_back(block, r.extent());
  }
  for (auto* list : {&recipe.work, &recipe.meetings})
    for (std::size_t n = r.count(); n-- > 0;) {
      Recipe::Work work{};
      for (std::size_t k = r.count(); k-- > 0;) work.factors.push_back(r.extent());
      work.weight = std::bit_cast<double>(r.number());
      list->push_back(std::move(work));
    }
  if (r.count() != tape.outputs.size()) Reader::fail();
  for (std::size_t n = tape.outputs.size(); n-- > 0;) recipe.donors.push_back(int(r.index(tape.inputs.size() + 1)) - 1);
  for (std::size_t n = tape.outputs.size(); n-- > 0;) {
    const Extent before = r.extent();
    recipe.margins.push_back({before, r.extent()});
  }
  if (!r.at_end()) Reader::fail();
  return recipe;
}

}  // namespace tapeloop
