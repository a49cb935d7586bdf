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
    scratch_.key.clear();
    scratch_.arguments.clear();
    const void* signature = &call_signature<std::remove_cvref_t<Args>...>;
    scratch_.key.append(reinterpret_cast<const char*>(&signature), sizeof signature);
    (add(std::forward<Args>(args)), ...);
    for (const Argument& argument : scratch_.arguments) {
      const Tensor& tensor = *argument.tensor;
      recorded_ = recorded_ || tensor.is_recorded();
      scratch_.key += char('0' + int(tensor.dtype()));
      scratch_.key += char('0' + tensor.rank());
    }
  }

  bool is_recorded() const { return recorded_; }
  const std::string& key() const { return scratch_.key; }
  const std::vector<Argument>& arguments() const { return scratch_.arguments; }
  Tensors& results() { return scratch_.results; }

 private:
  template <class Arg>
  void add(Arg&& tree) {
    append_static(scratch_.key, tree);
    for_each_tensor(tree, [&](auto& t) {
      if (t.is_empty()) return;
      if constexpr (std::is_lvalue_reference_v<Arg> || std::is_const_v<std::remove_reference_t<decltype(t)>>)
        scratch_.arguments.push_back({&t, nullptr});
      else
        scratch_.arguments.push_back({&t, &t});
    });
  }
  void swap() { std::swap(scratch_, idle_scratch()); }

  CallScratch scratch_;
  bool recorded_ = false;
};

}  // namespace detail

}  // namespace tapeloop
