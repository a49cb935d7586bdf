// Errors that a user can act on. Every message has the same three parts:
//
//   matmul: inner sizes differ: [32, 128] x [64, 512]
//     at my_cell.cpp:24
//     hint: the columns of the first operand must be as many as the rows of the second
//
#pragma once

#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>

namespace tapeloop {

using Where = std::source_location;

// A mistake in how the library was called: wrong shapes, dtypes, names, files. The caller's state is untouched.
class Error : public std::runtime_error {
 public:
  // `what` begins with the name of the operation ("matmul: …"); `hint` may be empty.
  Error(const std::string& what, const Where& where, std::string_view hint = {});
  explicit Error(const std::string& what, std::string_view hint = {});

  // Adds one line "called from file:line": models and loops do this, so that an error inside a cell also names the loop.
  Error called_from(std::string_view name, const Where& where) const;

 private:
  struct Verbatim {};
  Error(Verbatim, const std::string& message) : std::runtime_error(message) {}
};

// A broken promise of the library itself. Its text carries what is needed to report the defect.
class InternalError : public std::logic_error {
 public:
  explicit InternalError(const std::string& what, const Where& where = Where::current());
};

// "my_cell.cpp:24"
std::string describe(const Where& where);

}  // namespace tapeloop
