// As much of Python as derivative test cases written for PyTorch need, over tensors of ours: expressions, assignment (also in
// place, through views), loops, conditions. What functions there are, torch_functions.cpp says.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "ad/tensor.h"

namespace tapeloop::testing::torch {

// A case uses what has no counterpart in tapeloop (or is not in the table of functions).
struct NoSuchOp : std::runtime_error {
  using std::runtime_error::runtime_error;
};
// A case that is not understood.
struct BadCase : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A tensor that several names may share, so that a change in place is seen through all of them. A view reads a part of its
// parent; a change of the view is a change of the parent.
struct Box {
  Tensor own;
  std::shared_ptr<Box> parent;
  std::function<Tensor(const Tensor& parent)> get;
  std::function<Tensor(const Tensor& parent, const Tensor& part)> put;

  Tensor read() const { return parent ? get(parent->read()) : own; }
  void write(const Tensor& t) {
    if (parent)
      parent->write(put(parent->read(), t));
    else
      own = t;
  }
};
using BoxPtr = std::shared_ptr<Box>;

struct Value;
using Values = std::vector<Value>;
struct None {};
struct Number {
  double value;
  bool integral;
};
struct Slice {
  std::optional<std::int64_t> start, stop, step;
};
struct Ellipsis {};
struct List {
  std::shared_ptr<Values> items;
};
struct Module {  // torch, torch.linalg, F: what stands before the dot of a function's name
  std::string path;
};
struct Closure {  // a function that the program defines
  std::function<Value(const Values&)> call;
};

struct Value {
  std::variant<None, Number, bool, std::string, BoxPtr, List, Slice, Ellipsis, Dtype, Module, Closure> v;

  template <class T>
  const T* as() const {
    return std::get_if<T>(&v);
  }
  bool is_none() const { return as<None>(); }
  bool is_tensor() const { return as<BoxPtr>(); }
};
Value tensor_value(const Tensor& t);
Value list_value(Values items);
Values items_of(const Value& value);  // of a list, the rows of a tensor, the letters of a text

// Arguments of a call, with names as in Python.
struct Args {
  std::string function;
  Values positional;
  std::map<std::string, Value> named = {};
  std::string module = {};  // what stands before its name: torch.linalg

  // Argument number i or of this name; null when absent or None.
  const Value* find(std::size_t i, const std::string& name) const;
  Tensor tensor(std::size_t i, const std::string& name) const;  // numbers become scalars in f64
  double number(std::size_t i, const std::string& name) const;
  double number(std::size_t i, const std::string& name, double missing) const;
  bool flag(std::size_t i, const std::string& name, bool missing = false) const;
  std::string text(std::size_t i, const std::string& name, const std::string& missing) const;
  std::vector<std::int64_t> integers(std::size_t i,
                                     const std::string& name) const;  // a number, a list, or all from i on
  std::vector<Tensor> tensors(std::size_t i, const std::string& name) const;
};

using Function = std::function<Value(const Args&)>;
// The function of this name (without the modules before it), as torch.name(x, …) or x.name(…); throws NoSuchOp.
bool is_function(const std::string& name);
const Function& function_named(const std::string& name);

// Conversions and arithmetic, as PyTorch promotes.
Tensor as_tensor(const Value& value, Dtype like = Dtype::f64);
bool truth(const Value& value);
double as_number(const Value& value);
Value binary(const std::string& op, const Value& a, const Value& b);
Value view(const Value& of, std::function<Tensor(const Tensor&)> get,
           std::function<Tensor(const Tensor&, const Tensor&)> put);
// of[indices]. What tensors choose is a copy, unless it is to be written to.
Value subscript(const Value& of, const Values& indices, bool writes = false);

// The numbers in a tensor that decide the path of the program: a branch, the extent of what a mask chooses.
std::vector<double> numbers_read(const Tensor& t);

// For the table of functions: numbers written down in a case (constants of the program), dtypes as PyTorch promotes them,
// and parts of a tensor that can be written to.
Tensor frozen(const std::vector<double>& numbers, const Shape& shape, Dtype dtype);
Tensor floating(const Tensor& t);  // integers and booleans in f64
Tensor numeric(const Tensor& t);   // booleans as integers
std::pair<Tensor, Tensor> promoted(const Value& a, const Value& b);
Value sliced(const Value& of, int axis, std::int64_t start, std::int64_t stop, std::int64_t step);
Value picked(const Value& of, int axis, std::int64_t index);
Value reshaped(const Value& of, const Shape& shape);
Value transposed(const Value& of, const std::vector<int>& order);
std::vector<int> exchanged(int rank, int a, int b);  // the order of axes in which two are exchanged

struct Node;
using NodePtr = std::shared_ptr<const Node>;

// The numbers that decide the path of a program: those it reads with item(), its masks, its conditions. A first run on
// concrete tensors writes them down; a recording reads them.
struct Reads {
  std::vector<double> values;
  std::size_t next = 0;
  bool replay = false;

  std::vector<double> of(const Tensor& t);
};

class Program {
 public:
  explicit Program(const std::string& source);

  // Runs the program on named inputs; its result is what `y` holds at the end, or its only expression.
  Tensor run(const std::map<std::string, Tensor>& inputs, Reads& reads) const;

 private:
  friend class Run;
  std::vector<NodePtr> statements_;
};

}  // namespace tapeloop::testing::torch
