#include "ad/error.h"

#include <fmt/format.h>

namespace tapeloop {
namespace {

std::string compose(const std::string& what, const Where* where, std::string_view hint) {
  std::string text = what;
  if (where && where->line() != 0) text += fmt::format("\n  at {}", describe(*where));
  if (!hint.empty()) text += fmt::format("\n  hint: {}", hint);
  return text;
}

}  // namespace

std::string describe(const Where& where) { return fmt::format("{}:{}", where.file_name(), where.line()); }

Error::Error(const std::string& what, const Where& where, std::string_view hint)
    : std::runtime_error(compose(what, &where, hint)) {}

Error::Error(const std::string& what, std::string_view hint) : std::runtime_error(compose(what, nullptr, hint)) {}

Error Error::called_from(std::string_view name, const Where& where) const {
  // A loop of ours that blames its caller has named the line already.
  if (std::string_view(what()).find(describe(where)) != std::string_view::npos) return *this;
  return Error(Verbatim{}, fmt::format("{}\n  called from {} at {}", what(), name, describe(where)));
}

InternalError::InternalError(const std::string& what, const Where& where)
    : std::logic_error(fmt::format("internal error: {}\n  at {}\n  this is a defect of tapeloop, not of your program",
                                   what, describe(where))) {}

}  // namespace tapeloop
