#include "jit/passes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "ad/options.h"

namespace tapeloop {
namespace {

constexpr auto kNames = std::to_array<std::string_view>(
    {"sink_views",          "outer_products", "sink_values",      "part_products",  "block_time", "part_loops",
     "hoist_before",        "hoist_after",    "hoist_invariants", "share_operand",  "epilogues",  "chain_products",
     "fold_reductions",     "group_rows",     "states_in_place",  "small_products", "rows_apart", "rows_in_parts",
     "states_in_registers", "to_and_fro",     "optimise"});
static_assert(kNames.size() == std::size_t(Pass::optimise) + 1);

}  // namespace

std::span<const std::string_view> pass_names() { return kNames; }

bool runs(Pass pass) {
  bool found = false;
  for (std::string_view rest = options().without; !rest.empty();) {
    const std::string_view name = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (std::find(kNames.begin(), kNames.end(), name) == kNames.end())
      throw Error(fmt::format("TAPELOOP_WITHOUT={}: there is no pass {}", options().without, name), Where(),
                  fmt::format("passes are {}", fmt::join(kNames, ", ")));
    found = found || name == kNames[std::size_t(pass)];
  }
  return !found;
}

}  // namespace tapeloop
