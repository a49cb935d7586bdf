#include "torch_language.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ad/grad.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "torch_layers.h"
#include "torch_syntax.h"

namespace tapeloop::testing::torch {
namespace {
thread_local Reads* reads_now = nullptr;  // of the innermost run
}

std::vector<double> Reads::of(const Tensor& t) {
  const auto n = std::size_t(t.count());
  if (replay) {
    if (next + n > values.size()) throw BadCase("more numbers are read than in the first run");
    next += n;
    return {values.begin() + std::ptrdiff_t(next - n), values.begin() + std::ptrdiff_t(next)};
  }
  const auto numbers = cast(t, Dtype::f64).materialized().to_vector<double>();
  values.insert(values.end(), numbers.begin(), numbers.end());
  return numbers;
}

std::vector<double> numbers_read(const Tensor& t) { return reads_now->of(t); }

// One run of a program: its names and what they hold.
class Run {
 public:
  Run(const Program& program, const std::map<std::string, Tensor>& inputs, Reads& reads)
      : program_(program), inputs_(inputs), reads_(reads), outer_(std::exchange(reads_now, &reads)) {
    for (const auto& [name, t] : inputs) names_[name] = tensor_value(t);
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
  ~Run() { reads_now = outer_; }

  Tensor result() {
    Value last{None{}};
    for (const NodePtr& statement : program_.statements_) last = execute(*statement);
    const auto y = names_.find("y");
    if (y != names_.end() && !inputs_.contains("y")) return as_tensor(y->second);
    return as_tensor(last);
  }

 private:
  Value execute(const Node& s) {
    if (s.kind == "do") return evaluate(*s.kids[0]);
    if (s.kind == "set") {
      Value value = evaluate(*s.kids.back());
      if (no_grad_) value = without_gradient(value);
      for (std::size_t i = 0; i + 1 < s.kids.size(); ++i) assign(*s.kids[i], value);
      return value;
    }
    if (s.kind == "change") {
      // On a tensor in place, as in Python.
      const Value before = place(*s.kids[0]), after = binary(s.text, before, evaluate(*s.kids[1]));
      if (before.is_tensor())
        write(std::get<BoxPtr>(before.v), as_tensor(after));
      else
        assign(*s.kids[0], after);
      return after;
    }
    if (s.kind == "def") {
      names_[s.text] = closure(s);
      return {};
    }
    if (s.kind == "return") throw Returned{s.kids.empty() ? Value{None{}} : evaluate(*s.kids[0])};
    if (s.kind == "break") throw Break{};
    if (s.kind == "continue") throw Continue{};
    if (s.kind == "with") {
      // torch.no_grad(), torch.enable_grad(), torch.set_grad_enabled(…)
      const Node& how = *s.kids[0]->kids.at(0);
      const bool before =
          std::exchange(no_grad_, how.text == "no_grad" || how.text == "inference_mode" ||
                                      (how.text == "set_grad_enabled" && !truth(evaluate(*s.kids[0]->kids.at(1)))));
      (void)execute(*s.kids[1]);
      no_grad_ = before;
      return {};
    }
    if (s.kind == "for") {
      for (const Value& item : items_of(evaluate(*s.kids[1]))) {
        assign(*s.kids[0], item);
        if (!goes_on(*s.kids[2])) break;
      }
    } else if (s.kind == "while") {
      while (truth(evaluate(*s.kids[0])) && goes_on(*s.kids[1])) {
      }
    } else if (s.kind == "ifs") {
      if (truth(evaluate(*s.kids[0])))
        (void)execute(*s.kids[1]);
      else if (s.kids.size() > 2)
        (void)execute(*s.kids[2]);
    } else if (s.kind == "suite") {
      for (const NodePtr& statement : s.kids) (void)execute(*statement);
    } else {
      throw BadCase("statement " + s.kind);
    }
    return {};
  }

  // Runs the body of a loop once; false after `break`.
  bool goes_on(const Node& body) {
    try {
      (void)execute(body);
    } catch (const Continue&) {
    } catch (const Break&) {
      return false;
    }
    return true;
  }

  // A function of the program: parameters, then its body. It sees the names around it, and its own are forgotten.
  Value closure(const Node& s) {
    return {Closure{[this, &s](const Values& given) -> Value {
      const std::map<std::string, Value> around = names_;
      const std::size_t n = s.kids.size() - 1;
      if (given.size() > n) throw BadCase(s.text + ": too many arguments");
      for (std::size_t i = 0; i < n; ++i) {
        const Node& parameter = *s.kids[i];
        if (i >= given.size() && parameter.kids.empty()) throw BadCase(s.text + ": too few arguments");
        const auto r = replaced_.find(parameter.text);
        names_[parameter.text] = r != replaced_.end() ? tensor_value(r->second)
                                 : i < given.size()   ? given[i]
                                                      : evaluate(*parameter.kids[0]);
      }
      Value result{None{}};
      try {
        const Node& body = *s.kids.back();
        if (s.kind == "lambda")
          result = evaluate(body);
        else
          (void)execute(body);
      } catch (const Returned& returned) {
        result = returned.value;
      }
      names_ = around;
      return result;
    }}};
  }

  static Value without_gradient(const Value& value) {
    if (value.is_tensor() && is_float(as_tensor(value).dtype())) return tensor_value(stop_gradient(as_tensor(value)));
    if (const List* list = value.as<List>()) {
      Values items;
      for (const Value& item : *list->items) items.push_back(without_gradient(item));
      return list_value(items);
    }
    return value;
  }

  // A change in place. Where no gradient is recorded, the derivative is that of what stood there before.
  void write(const BoxPtr& box, const Tensor& t) const {
    const Tensor old = box->read();
    const Tensor now = broadcast_to(cast(t, old.dtype()), old.shape());
    box->write(no_grad_ && is_float(old.dtype()) ? old + stop_gradient(now - old) : now);
  }

  void assign(const Node& target, const Value& value) {
    if (target.kind == "name") {
      names_[target.text] = value;
      // The name with respect to which a derivative is taken.
      if (const auto r = replaced_.find(target.text); r != replaced_.end())
        names_[target.text] = tensor_value(r->second);
    } else if (target.kind == "tuple" || target.kind == "list") {
      const Values parts = items_of(value);
      if (parts.size() != target.kids.size()) throw BadCase("as many names as values are needed");
      for (std::size_t i = 0; i < parts.size(); ++i) assign(*target.kids[i], parts[i]);
    } else if (target.kind == "index") {
      if (const List* list = evaluate(*target.kids[0]).as<List>()) {
        const auto i = std::int64_t(as_number(evaluate(*target.kids.at(1))));
        list->items->at(std::size_t(i < 0 ? i + std::int64_t(list->items->size()) : i)) = value;
        return;
      }
      const Value part = place(target);
      if (!part.is_tensor()) throw BadCase("assignment to an element of what is no tensor");
      write(std::get<BoxPtr>(part.v), as_tensor(value));
    } else if (target.kind == "attr" && target.text == "data") {
      const Value whole = evaluate(*target.kids[0]);
      const bool before = std::exchange(no_grad_, true);
      write(std::get<BoxPtr>(whole.v), as_tensor(value));
      no_grad_ = before;
    } else {
      throw BadCase("assignment to " + target.kind);
    }
  }

  Value evaluate(const Node& e) {
    if (e.kind == "number") return {Number{e.number, e.text == "int"}};
    if (e.kind == "string") return {e.text};
    if (e.kind == "none") return {None{}};
    if (e.kind == "ellipsis") return {Ellipsis{}};
    if (e.kind == "name") return named(e.text);
    if (e.kind == "tuple" || e.kind == "list") {
      Values items;
      for (const NodePtr& kid : e.kids) items.push_back(evaluate(*kid));
      return list_value(std::move(items));
    }
    if (e.kind == "comprehension") {
      Values items;
      for (const Value& item : items_of(evaluate(*e.kids[2]))) {
        assign(*e.kids[1], item);
        if (e.kids.size() > 3 && !truth(evaluate(*e.kids[3]))) continue;
        items.push_back(evaluate(*e.kids[0]));
      }
      return list_value(std::move(items));
    }
    if (e.kind == "if") return evaluate(truth(evaluate(*e.kids[0])) ? *e.kids[1] : *e.kids[2]);
    if (e.kind == "or" || e.kind == "and") {
      const Value left = evaluate(*e.kids[0]);
      return truth(left) == (e.kind == "or") ? left : evaluate(*e.kids[1]);
    }
    if (e.kind == "not") return {!truth(evaluate(*e.kids[0]))};
    if (e.kind == "lambda") return closure(e);
    if (e.kind == "is" || e.kind == "is not") {
      const bool none = evaluate(*e.kids[0]).is_none() && evaluate(*e.kids[1]).is_none();
      return {none == (e.kind == "is")};
    }
    if (e.kind == "binary") {
      const Value left = evaluate(*e.kids[0]);
      return binary(e.text, left, evaluate(*e.kids[1]));
    }
    if (e.kind == "unary") {
      const Value value = evaluate(*e.kids[0]);
      if (const Number* n = value.as<Number>()) return {Number{e.text == "-" ? -n->value : n->value, n->integral}};
      if (e.text == "+") return value;
      if (const bool* b = value.as<bool>()) return {Number{e.text == "-" ? -double(*b) : ~int(*b) * 1.0, true}};
      const Tensor t = as_tensor(value);
      return tensor_value(e.text == "-" ? -t : logical_not(t));
    }
    if (e.kind == "slice") {
      auto part = [&](std::size_t i) -> std::optional<std::int64_t> {
        const Value value = evaluate(*e.kids[i]);
        return value.is_none() ? std::nullopt : std::optional(std::int64_t(as_number(value)));
      };
      return {Slice{part(0), part(1), part(2)}};
    }
    if (e.kind == "index") return element(e, false);
    if (e.kind == "attr") return attribute(e);
    if (e.kind == "call") return call(e);
    throw BadCase("expression " + e.kind);
  }

  Value element(const Node& e, bool writes) {
    Values indices;
    for (std::size_t i = 1; i < e.kids.size(); ++i) {
      const Value index = evaluate(*e.kids[i]);
      const List* list = index.as<List>();
      const bool of_tensors = list && std::any_of(list->items->begin(), list->items->end(),
                                                  [](const Value& item) { return item.is_tensor(); });
      if (e.kids[i]->kind == "tuple" || of_tensors)
        for (const Value& part : items_of(index)) indices.push_back(part);
      else
        indices.push_back(index);
    }
    return subscript(evaluate(*e.kids[0]), indices, writes);
  }
  // What stands on the left of an assignment.
  Value place(const Node& e) { return e.kind == "index" ? element(e, true) : evaluate(e); }

  Value named(const std::string& name) {
    const auto known = names_.find(name);
    if (known != names_.end()) return known->second;
    if (name == "True" || name == "False") return {name == "True"};
    if (name == "None") return {None{}};
    if (name == "inf") return {Number{INFINITY, false}};
    if (name == "nan") return {Number{NAN, false}};
    if (name == "torch" || name == "F" || name == "math" || name == "np" || name == "nn") return {Module{name}};
    // A function as a value, as in map(torch.sin, …).
    if (is_function(name)) return function_value(name);
    throw BadCase("unknown name " + name);
  }

  static Value function_value(const std::string& name) {
    return {Closure{[name](const Values& given) { return function_named(name)({name, given, {}}); }}};
  }

  Value attribute(const Node& e) {
    const Value of = evaluate(*e.kids[0]);
    if (const Module* module = of.as<Module>()) {
      if (e.text == "float64" || e.text == "double") return {Dtype::f64};
      if (e.text == "float32" || e.text == "float") return {Dtype::f32};
      if (e.text == "int32" || e.text == "int64" || e.text == "long" || e.text == "int" || e.text == "int16" ||
          e.text == "int8" || e.text == "uint8")
        return {Dtype::i32};
      if (e.text == "bool") return {Dtype::boolean};
      if (e.text == "pi") return {Number{M_PI, false}};
      if (e.text == "e") return {Number{M_E, false}};
      if (e.text == "inf") return {Number{INFINITY, false}};
      if (e.text == "nan") return {Number{NAN, false}};
      const bool is_module = e.text == "linalg" || e.text == "special" || e.text == "nn" || e.text == "functional" ||
                             e.text == "autograd" || e.text == "func" || e.text == "fft" || e.text == "utils" ||
                             e.text == "checkpoint";
      if (!is_module && is_function(e.text)) return function_value(e.text);
      return {Module{module->path + "." + e.text}};
    }
    if (e.text == "dtype") return {as_tensor(of).dtype()};
    if (e.text == "T" || e.text == "mT" || e.text == "shape" || e.text == "ndim" || e.text == "H" || e.text == "mH")
      return function_named(e.text)({e.text, {of}, {}});
    if (e.text == "data") return function_named("detach")({"detach", {of}, {}});
    if (e.text == "values" && of.as<List>()) return (*of.as<List>()->items)[0];
    if (e.text == "indices" && of.as<List>()) return (*of.as<List>()->items)[1];
    if (e.text == "min" && of.as<List>()) return (*of.as<List>()->items)[0];
    if (e.text == "max" && of.as<List>()) return (*of.as<List>()->items)[1];
    if (e.text == "requires_grad") return {is_float(as_tensor(of).dtype())};
    if (e.text == "device") return {std::string("cpu")};
    if (e.text == "real") return of;
    throw NoSuchOp("." + e.text);
  }

  Value call(const Node& e) {
    const Node& callee = *e.kids[0];
    Args args;
    bool is_method = false;
    Value self;
    std::optional<Closure> own;
    if (callee.kind == "attr") {
      self = evaluate(*callee.kids[0]);
      is_method = !self.as<Module>();
      if (!is_method) args.module = self.as<Module>()->path;
      args.function = callee.text;
      if (const Module* module = self.as<Module>(); module && module->path == "torch.autograd" && callee.text == "grad")
        return gradient(e);
    } else if (callee.kind == "name" && !names_.contains(callee.text)) {
      args.function = callee.text;
    } else {
      const Value function = evaluate(callee);
      if (!function.as<Closure>()) throw BadCase("a call of what is no function");
      own = *function.as<Closure>();
    }
    if (is_method) args.positional.push_back(self);
    for (std::size_t i = 1; i < e.kids.size(); ++i) {
      const Node& kid = *e.kids[i];
      if (kid.kind == "named") {
        args.named[kid.text] = evaluate(*kid.kids[0]);
      } else if (kid.kind == "star") {
        for (const Value& item : items_of(evaluate(*kid.kids[0]))) args.positional.push_back(item);
      } else {
        args.positional.push_back(evaluate(kid));
      }
    }
    if (own) {
      if (!args.named.empty()) throw BadCase("named arguments of the program's own functions");
      return own->call(args.positional);
    }
    if (is_method && self.as<List>() && args.function == "append") {
      self.as<List>()->items->push_back(args.positional.at(1));
      return {};
    }
    if (is_method && args.function == "item")
      return {Number{numbers_read(as_tensor(self)).at(0), is_integer(as_tensor(self).dtype())}};
    // What has no counterpart where nothing is recorded on the side.
    if (is_method && (args.function == "retain_grad" || args.function == "requires_grad_")) return self;
    if (is_method && args.function == "backward") return {};
    const bool bare = callee.kind == "name";
    if (bare && (args.function == "float" || args.function == "int") && args.positional.size() == 1) {
      const auto* text = args.positional[0].as<std::string>();
      const double n = text ? std::stod(*text) : as_number(args.positional[0]);
      return {Number{args.function == "int" ? std::trunc(n) : n, args.function == "int"}};
    }
    if (bare && args.function == "bool") return {truth(args.positional.at(0))};
    if (!is_method && (args.function == "checkpoint" || args.function == "map")) {
      const Closure* f = args.positional.at(0).as<Closure>();
      if (!f) throw BadCase(args.function + ": no function");
      if (args.function == "checkpoint") return f->call({args.positional.begin() + 1, args.positional.end()});
      Values items;
      for (const Value& item : items_of(args.positional.at(1))) items.push_back(f->call({item}));
      return list_value(items);
    }
    if (args.named.contains("out")) throw NoSuchOp("out=");
    if (!is_method && args.module.ends_with("nn") && is_layer(args.function)) return layer(args);
    spell_alike(args);
    // F.relu_(x) is x.relu_().
    if (!is_method && args.function.ends_with('_') && !args.positional.empty() && args.positional[0].is_tensor()) {
      is_method = true;
      self = args.positional[0];
    }
    // A method whose name ends in _ writes its result into the tensor.
    if (is_method && args.function.size() > 1 && args.function.back() == '_' && self.is_tensor()) {
      args.function.pop_back();
      if (args.function == "detach") {
        const BoxPtr box = std::get<BoxPtr>(self.v);
        box->write(stop_gradient(box->read()));
        return self;
      }
      const Value result = function_named(args.function)(args);
      // Views change the shape of what the name holds; everything else its contents.
      static const std::vector<std::string> shapes{"t", "transpose", "squeeze", "unsqueeze", "swapaxes", "swapdims"};
      if (std::find(shapes.begin(), shapes.end(), args.function) != shapes.end()) {
        *std::get<BoxPtr>(self.v) = Box{as_tensor(result), nullptr, {}, {}};
        return self;
      }
      write(std::get<BoxPtr>(self.v), as_tensor(result));
      return self;
    }
    return function_named(args.function)(args);
  }

  // torch.autograd.grad(of, names, grad_outputs)[…]: the derivatives of what the program up to here makes of the names.
  Value gradient(const Node& e) {
    std::vector<std::string> wanted;
    const Node *weights = nullptr, *keeps_graph = nullptr;
    std::vector<const Node*> positional;
    for (std::size_t i = 1; i < e.kids.size(); ++i) {
      const Node& kid = *e.kids[i];
      if (kid.kind != "named")
        positional.push_back(&kid);
      else if (kid.text == "outputs" || kid.text == "inputs")
        positional.push_back(kid.kids[0].get());
      else if (kid.text == "grad_outputs")
        weights = kid.kids[0].get();
      else if (kid.text == "create_graph")
        keeps_graph = kid.kids[0].get();
    }
    if (positional.size() < 2) throw NoSuchOp("autograd.grad without outputs and inputs");
    if (positional.size() > 2) weights = positional[2];
    const Node& names = *positional[1];
    if (names.kind == "name")
      wanted.push_back(names.text);
    else if (names.kind == "list" || names.kind == "tuple")
      for (const NodePtr& name : names.kids) wanted.push_back(name->kind == "name" ? name->text : "");
    for (const std::string& name : wanted)
      if (name.empty()) wanted.clear();
    if (wanted.empty()) throw NoSuchOp("autograd.grad with respect to an expression");

    // In a loop the derivative is that of this turn of it; one inside another's operand is reached through that operand.
    const int turn = ++turns_[&e];
    if (until_ == &e && until_turn_ == turn) throw Reached{tensors_of(evaluate(*positional[0]))};
    if (until_ && until_ != &e && holds(e, until_)) return evaluate(*positional[0]);
    const Tensors weight = weights ? tensors_of(evaluate(*weights)) : Tensors();
    // What is a number already may be captured as it is.
    auto captured = [](const Tensor& t) { return t.is_concrete() ? constant(t) : t; };
    std::map<std::string, Tensor> inputs;
    for (const auto& [name, t] : inputs_) inputs[name] = captured(t);
    Values results;
    for (const std::string& name : wanted) {
      const Value inner = tensor_value(grad([&](const Tensor& t) {
        Reads reads{reads_.values, 0, true};
        Run again(program_, inputs, reads);
        again.replaced_ = replaced_;
        again.replaced_[name] = t;
        for (const auto& [each, value] : again.replaced_)
          if (inputs.contains(each)) again.names_[each] = tensor_value(value);
        again.until_ = &e;
        again.until_turn_ = turn;
        try {
          (void)again.result();
        } catch (const Reached& reached) {
          Tensor total;
          for (std::size_t i = 0; i < reached.values.size(); ++i) {
            const Tensor& y = reached.values[i];
            const Tensor share = sum(weight.empty() ? y : y * captured(weight.at(i)));
            total = total.is_empty() ? share : total + share;
          }
          return total;
        }
        throw BadCase("autograd.grad inside a condition");
      })(as_tensor(named(name))));
      results.push_back(keeps_graph && truth(evaluate(*keeps_graph)) ? inner : without_gradient(inner));
    }
    return list_value(results);
  }

  static bool holds(const Node& e, const Node* inner) {
    for (const NodePtr& kid : e.kids)
      if (kid && (kid.get() == inner || holds(*kid, inner))) return true;
    return false;
  }

  static Tensors tensors_of(const Value& value) {
    const List* list = value.as<List>();
    if (!list) return {as_tensor(value)};
    Tensors all;
    for (const Value& item : *list->items) all.push_back(as_tensor(item));
    return all;
  }

  struct Reached {
    Tensors values;
  };
  struct Returned {
    Value value;
  };
  struct Break {};
  struct Continue {};

  const Program& program_;
  const std::map<std::string, Tensor>& inputs_;
  Reads& reads_;
  Reads* outer_;
  bool no_grad_ = false;
  std::map<std::string, Value> names_;
  std::map<std::string, Tensor> replaced_;  // the names with respect to which derivatives are being taken
  const Node* until_ = nullptr;
  int until_turn_ = 0;
  std::map<const Node*, int> turns_;
};

Program::Program(const std::string& source) : statements_(parse(source)) {}

Tensor Program::run(const std::map<std::string, Tensor>& inputs, Reads& reads) const {
  return Run(*this, inputs, reads).result();
}

}  // namespace tapeloop::testing::torch
