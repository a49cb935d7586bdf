// The cheapest way to cut all paths from a source to a sink.
#pragma once

#include <cstdint>
#include <vector>

namespace tapeloop {

class MinimumCut {
 public:
  static constexpr std::int64_t kNever = std::int64_t(1) << 60;  // the price of an edge that may not be cut

  explicit MinimumCut(std::size_t nodes) : edges_of_(nodes) {}
  void edge(std::size_t from, std::size_t to, std::int64_t price);

  // Which nodes lie on the sink's side of the cheapest cut; of several such cuts, of the one next to the sink.
  std::vector<bool> sink_side(std::size_t source, std::size_t sink);

 private:
  struct Edge {
    std::size_t to;
    std::int64_t left;  // what can still flow; the edge back stands next to it in the list
  };
  bool find_levels(std::size_t source, std::size_t sink);
  void saturate(std::size_t source, std::size_t sink);

  std::vector<Edge> edges_;
  std::vector<std::vector<std::size_t>> edges_of_;
  std::vector<int> level_;
};

}  // namespace tapeloop
