// The greatest flow by Dinic's algorithm (1970), without recursion; what it saturates is the cut.
#include "ad/cut.h"

#include <algorithm>

namespace tapeloop {

void MinimumCut::edge(std::size_t from, std::size_t to, std::int64_t price) {
  edges_of_[from].push_back(edges_.size());
  edges_.push_back({to, price});
  edges_of_[to].push_back(edges_.size());
  edges_.push_back({from, 0});
}

// How far each node is from the source along edges that are not full; whether the sink can be reached.
bool MinimumCut::find_levels(std::size_t source, std::size_t sink) {
  level_.assign(edges_of_.size(), -1);
  level_[source] = 0;
  std::vector<std::size_t> queue{source};
  for (std::size_t i = 0; i < queue.size(); ++i)
    for (std::size_t e : edges_of_[queue[i]]) {
      if (edges_[e].left <= 0 || level_[edges_[e].to] >= 0) continue;
      level_[edges_[e].to] = level_[queue[i]] + 1;
      queue.push_back(edges_[e].to);
    }
  return level_[sink] >= 0;
}

// Fills one shortest path after the other until none is left.
void MinimumCut::saturate(std::size_t source, std::size_t sink) {
  std::vector<std::size_t> next(edges_of_.size(), 0), path;
  for (std::size_t node = source;;) {
    if (node == sink) {
      std::int64_t flow = kNever;
      for (std::size_t e : path) flow = std::min(flow, edges_[e].left);
      std::size_t keep = path.size();
      for (std::size_t i = path.size(); i-- > 0;) {
        edges_[path[i]].left -= flow;
        edges_[path[i] ^ 1].left += flow;
        if (edges_[path[i]].left == 0) keep = i;
      }
      node = edges_[path[keep] ^ 1].to;
      path.resize(keep);
      continue;
    }
    std::size_t& i = next[node];
    const auto fits = [&](std::size_t e) { return edges_[e].left > 0 && level_[edges_[e].to] == level_[node] + 1; };
    while (i < edges_of_[node].size() && !fits(edges_of_[node][i])) ++i;
    if (i < edges_of_[node].size()) {
      path.push_back(edges_of_[node][i]);
      node = edges_[path.back()].to;
    } else if (path.empty()) {
      return;
    } else {
      node = edges_[path.back() ^ 1].to;
      path.pop_back();
      ++next[node];
    }
  }
}

std::vector<bool> MinimumCut::sink_side(std::size_t source, std::size_t sink) {
  while (find_levels(source, sink)) saturate(source, sink);
  std::vector<bool> side(edges_of_.size(), false);
  side[sink] = true;
  std::vector<std::size_t> work{sink};
  while (!work.empty()) {
    const std::size_t node = work.back();
    work.pop_back();
    for (std::size_t e : edges_of_[node]) {
      const std::size_t from = edges_[e].to;
      if (edges_[e ^ 1].left <= 0 || side[from]) continue;
      side[from] = true;
      work.push_back(from);
    }
  }
  return side;
}

}  // namespace tapeloop
