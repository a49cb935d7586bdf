#include "torch_language.h"

#include <cmath>

#include "ad/grad.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "torch_syntax.h"

namespace tapeloop::testing::torch {

// One run of a program: its names and what they hold.
class Run {
 public:
  Run(const Program& program, const std::map<std::string, Tensor>& inputs, Reads& reads)
      : program_(program), inputs_(inputs), reads_(reads) {
    for (const auto& [name, t] : inputs) names_[name] = tensor_value(t);
  }

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
      const Value value = evaluate(*s.kids.back());
      for (std::size_t i = 0; i + 1 < s.kids.size(); ++i) assign(*s.kids[i], value);
      return value;
    }
    if (s.kind == "change") {
      // On a tensor in place, as in Python.
      const Value before = evaluate(*s.kids[0]), after = binary(s.text, before, evaluate(*s.kids[1]));
      if (before.is_tensor())
        std::get<BoxPtr>(before.v)->write(as_tensor(after));
      else
        assign(*s.kids[0], after);
      return after;
    }
    if (s.kind == "for") {
      for (const Value& item : items_of(evaluate(*s.kids[1]))) {
        assign(*s.kids[0], item);
        (void)execute(*s.kids[2]);
      }
    } else if (s.kind == "while") {
      while (truth(evaluate(*s.kids[0]))) (void)execute(*s.kids[1]);
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

  void assign(const Node& target, const Value& value) {
    if (target.kind == "name") {
      names_[target.text] = value;
      // The name with respect to which a derivative is taken.
      if (replaced_ && target.text == replaced_->first) names_[target.text] = tensor_value(replaced_->second);
    } else if (target.kind == "tuple" || target.kind == "list") {
      const Values parts = items_of(value);
      if (parts.size() != target.kids.size()) throw BadCase("as many names as values are needed");
      for (std::size_t i = 0; i < parts.size(); ++i) assign(*target.kids[i], parts[i]);
    } else if (target.kind == "index") {
      const Value part = evaluate(target);
      if (!part.is_tensor()) throw BadCase("assignment to an element of what is no tensor");
      const BoxPtr box = std::get<BoxPtr>(part.v);
      const Tensor old = box->read();
      box->write(broadcast_to(cast(as_tensor(value), old.dtype()), old.shape()));
    } else {
      throw BadCase("assignment to " + target.kind);
    }
  }

  static Values items_of(const Value& value) {
    if (const List* list = value.as<List>()) return *list->items;
    if (const BoxPtr* box = value.as<BoxPtr>()) {
      Values rows;
      const std::int64_t n = (*box)->read().size(0).value();
      for (std::int64_t i = 0; i < n; ++i) rows.push_back(subscript(value, {{Number{double(i), true}}}));
      return rows;
    }
    throw BadCase("this is no sequence");
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
    if (e.kind == "binary") {
      const Value left = evaluate(*e.kids[0]);
      return binary(e.text, left, evaluate(*e.kids[1]));
    }
    if (e.kind == "unary") {
      const Value value = evaluate(*e.kids[0]);
      if (const Number* n = value.as<Number>()) return {Number{e.text == "-" ? -n->value : n->value, n->integral}};
      if (e.text == "+") return value;
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
    if (e.kind == "index") {
      Values indices;
      for (std::size_t i = 1; i < e.kids.size(); ++i) {
        const Value index = evaluate(*e.kids[i]);
        if (e.kids[i]->kind == "tuple")
          for (const Value& part : items_of(index)) indices.push_back(part);
        else
          indices.push_back(index);
      }
      return subscript(evaluate(*e.kids[0]), indices);
    }
    if (e.kind == "attr") return attribute(e);
    if (e.kind == "call") return call(e);
    throw BadCase("expression " + e.kind);
  }

  Value named(const std::string& name) {
    const auto known = names_.find(name);
    if (known != names_.end()) return known->second;
    if (name == "True" || name == "False") return {name == "True"};
    if (name == "None") return {None{}};
    if (name == "inf") return {Number{INFINITY, false}};
    if (name == "nan") return {Number{NAN, false}};
    if (name == "torch" || name == "F" || name == "math" || name == "np") return {Module{name}};
    throw BadCase("unknown name " + name);
  }

  Value attribute(const Node& e) {
    const Value of = evaluate(*e.kids[0]);
    if (const Module* module = of.as<Module>()) {
      if (e.text == "float64" || e.text == "double") return {Dtype::f64};
      if (e.text == "float32" || e.text == "float") return {Dtype::f32};
      if (e.text == "int32" || e.text == "int64" || e.text == "long" || e.text == "int") return {Dtype::i32};
      if (e.text == "bool") return {Dtype::boolean};
      if (e.text == "pi") return {Number{M_PI, false}};
      if (e.text == "e") return {Number{M_E, false}};
      if (e.text == "inf") return {Number{INFINITY, false}};
      if (e.text == "nan") return {Number{NAN, false}};
      return {Module{module->path + "." + e.text}};
    }
    if (e.text == "dtype") return {as_tensor(of).dtype()};
    if (e.text == "T" || e.text == "mT" || e.text == "shape" || e.text == "ndim")
      return function_named(e.text)({e.text, {of}, {}});
    if (e.text == "data") return function_named("detach")({"detach", {of}, {}});
    if (e.text == "values" && of.as<List>()) return (*of.as<List>()->items)[0];
    if (e.text == "indices" && of.as<List>()) return (*of.as<List>()->items)[1];
    throw NoSuchOp("." + e.text);
  }

  Value call(const Node& e) {
    const Node& callee = *e.kids[0];
    Args args;
    bool is_method = false;
    Value self;
    if (callee.kind == "attr") {
      self = evaluate(*callee.kids[0]);
      is_method = !self.as<Module>();
      args.function = callee.text;
      if (const Module* module = self.as<Module>(); module && module->path == "torch.autograd" && callee.text == "grad")
        return gradient(e);
    } else if (callee.kind == "name") {
      args.function = callee.text;
    } else {
      throw BadCase("a call of what is no function");
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
    if (is_method && args.function == "item") return {Number{read(as_tensor(self)), false}};
    if (is_method && (args.function == "retain_grad" || args.function == "requires_grad_")) return self;
    if (callee.kind == "name" && (args.function == "float" || args.function == "int") && args.positional.size() == 1) {
      const Value& of = args.positional[0];
      const double n = of.is_tensor() ? read(as_tensor(of)) : as_number(of);
      return {Number{args.function == "int" ? std::trunc(n) : n, args.function == "int"}};
    }
    // A method whose name ends in _ writes its result into the tensor.
    if (is_method && args.function.size() > 1 && args.function.back() == '_' && self.is_tensor()) {
      args.function.pop_back();
      const Value result = function_named(args.function)(args);
      const BoxPtr box = std::get<BoxPtr>(self.v);
      const Tensor old = box->read();
      box->write(broadcast_to(cast(as_tensor(result), old.dtype()), old.shape()));
      return self;
    }
    return function_named(args.function)(args);
  }

  double read(const Tensor& t) {
    if (reads_.replay) {
      if (reads_.next >= reads_.values.size()) throw BadCase("more numbers are read than in the first run");
      return reads_.values[reads_.next++];
    }
    reads_.values.push_back(t.item<double>());
    return reads_.values.back();
  }

  // torch.autograd.grad(of, name)[0]: the derivative of what the program up to here makes of the name.
  Value gradient(const Node& e) {
    if (e.kids.size() < 3 || e.kids[2]->kind != "name") throw NoSuchOp("autograd.grad with respect to an expression");
    const std::string name = e.kids[2]->text;
    const Tensor at = as_tensor(named(name));
    auto inner = grad([&](const Tensor& t) {
      Reads reads = reads_;
      reads.next = 0;
      Run again(program_, inputs_, reads);
      again.replaced_.emplace(name, t);
      if (inputs_.contains(name)) again.names_[name] = tensor_value(t);
      again.until_ = &e;
      try {
        (void)again.result();
      } catch (const Reached& reached) {
        return reached.value;
      }
      throw BadCase("autograd.grad inside a condition");
    });
    if (until_ == &e) throw Reached{as_tensor(evaluate(*e.kids[1]))};
    return list_value({tensor_value(inner(at))});
  }

  struct Reached {
    Tensor value;
  };

  const Program& program_;
  const std::map<std::string, Tensor>& inputs_;
  Reads& reads_;
  std::map<std::string, Value> names_;
  std::optional<std::pair<std::string, Tensor>> replaced_;
  const Node* until_ = nullptr;
};

Program::Program(const std::string& source) : statements_(parse(source)) {}

Tensor Program::run(const std::map<std::string, Tensor>& inputs, Reads& reads) const {
  return Run(*this, inputs, reads).result();
}

}  // namespace tapeloop::testing::torch
