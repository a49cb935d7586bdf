// The arguments of a call of a compiled function, gathered without copying a tensor or allocating anything.
#pragma once

#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "ad/fields.h"
#include "ad/tensor.h"

namespace tapeloop {

// One tensor of an argument.
struct Argument {
  const Tensor* tensor;  // never empty
  // The same tensor where the caller gave it away (std::move): it is empty after the call, and a result may lie in its
  // memory if nobody else can see that. Null where the caller keeps it.
  Tensor* moved;
};

// What the caller gave away is empty after a call that has succeeded.
inline void empty_moved(std::span<const Argument> arguments) {
  for (const Argument& argument : arguments)
    if (argument.moved) *argument.moved = Tensor();
}

namespace detail {

// What the calls of a thread write to, kept from one to the next for its memory. Every call in progress has its own.
struct CallScratch {
  std::string key;
  std::vector<Argument> arguments;
  Tensors results;
};
CallScratch& idle_scratch();

template <class... Args>
inline constexpr char call_signature = 0;  // its address stands for the types

class Call {
 public:
  Call() { swap(); }
  ~Call() {
    scratch_.results.clear();
    swap();
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // Takes in all arguments of a call. The key tells apart whatever code depends on but extents: the arguments' C++ types,
  // their static leaves, dtypes and ranks.
  template <class... Args>
  void gather(Args&&... args) {
    begin(&call_signature<std::remove_cvref_t<Args>...>);
    (add(args, std::bool_constant<!std::is_lvalue_reference_v<Args> && !std::is_const_v<Args>>()), ...);
    end();
  }

  bool is_recorded() const { return recorded_; }
  const std::string& key() const { return scratch_.key; }
  const std::vector<Argument>& arguments() const { return scratch_.arguments; }
  Tensors& results() { return scratch_.results; }

 private:
  struct Note {
    std::vector<Argument>& arguments;
    void operator()(const Tensor& t) const {
      if (!t.is_empty()) arguments.push_back({&t, nullptr});
    }
  };
  struct NoteMoved {
    std::vector<Argument>& arguments;
    void operator()(Tensor& t) const {
      if (!t.is_empty()) arguments.push_back({&t, &t});
    }
  };
  void begin(const void* signature);
  void end();
  template <class Tree, bool moved>
  void add(Tree& tree, std::bool_constant<moved>) {
    append_static(scratch_.key, tree);
    if constexpr (moved)
      for_each_tensor(tree, NoteMoved{scratch_.arguments});
    else
      for_each_tensor(std::as_const(tree), Note{scratch_.arguments});
  }
  void swap() { std::swap(scratch_, idle_scratch()); }

  CallScratch scratch_;
  bool recorded_ = false;
};

}  // namespace detail

}  // namespace tapeloop
