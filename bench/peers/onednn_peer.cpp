// oneDNN's side: its recurrent primitives, at their fastest for each task. Speaks the protocol of bench/peer.h.
//
// Training: forward and backward, all weights brought into the primitives' own layout in every step, since they change in
// every step. Inference and streaming: that layout is made beforehand.
#include <immintrin.h>
#include <omp.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <oneapi/dnnl/dnnl.hpp>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

using dnnl::memory;
using Arguments = std::unordered_map<int, memory>;
using Tag = memory::format_tag;

dnnl::engine& cpu() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}
dnnl::stream& stream() {
  static dnnl::stream stream(cpu());
  return stream;
}
dnnl::primitive_attr attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

memory::desc described(const memory::dims& dims, Tag tag) { return {dims, memory::data_type::f32, tag}; }

memory zeroed(const memory::desc& desc) {
  memory m(desc, cpu());
  std::memset(m.get_data_handle(), 0, desc.get_size());
  return m;
}
memory random(const memory::desc& desc, float scale) {
  memory m = zeroed(desc);
  auto* values = static_cast<float*>(m.get_data_handle());
  std::uint32_t seed = 1;
  for (std::size_t i = 0; i < desc.get_size() / sizeof(float); ++i) {
    seed = seed * 1664525U + 1013904223U;
    values[i] = scale * (float(seed >> 8) / float(1 << 23) - 1);
  }
  return m;
}
void clear(memory& m) { std::memset(m.get_data_handle(), 0, m.get_desc().get_size()); }
void convert(memory& from, memory& to) { dnnl::reorder(from, to).execute(stream(), from, to); }

// The primitive's descriptor, in the way of oneDNN 2 or 3.
template <class Primitive, class... Args>
auto forward_descriptor(const Args&... args) {
#if DNNL_VERSION_MAJOR >= 3
  return typename Primitive::primitive_desc(cpu(), args..., attributes());
#else
  return typename Primitive::primitive_desc(typename Primitive::desc(args...), attributes(), cpu());
#endif
}
template <class Primitive, class Hint, class... Args>
auto backward_descriptor(const Hint& hint, const Args&... args) {
#if DNNL_VERSION_MAJOR >= 3
  return typename Primitive::primitive_desc(cpu(), args..., hint, attributes());
#else
  return typename Primitive::primitive_desc(typename Primitive::desc(args...), attributes(), cpu(), hint);
#endif
}

struct Sizes {
  memory::dim gates, bias_gates, batch, steps, size;
};

// The descriptions of everything that a layer reads and writes; "any" is for the primitive to choose.
struct Descriptions {
  memory::desc x, state, y, any_w, any_u, w, u, bias;

  explicit Descriptions(const Sizes& s)
      : x(described({s.steps, s.batch, s.size}, Tag::tnc)),
        state(described({1, 1, s.batch, s.size}, Tag::ldnc)),
        y(x),
        any_w(described({1, 1, s.size, s.gates, s.size}, Tag::any)),
        any_u(any_w),
        w(described({1, 1, s.size, s.gates, s.size}, Tag::ldigo)),
        u(w),
        bias(described({1, 1, s.bias_gates, s.size}, Tag::ldgo)) {}
};

constexpr auto direction = dnnl::rnn_direction::unidirectional_left2right;

struct Lstm {
  static constexpr bool has_cell_state = true;
  static auto forward(dnnl::prop_kind kind, const Descriptions& d) {
    return forward_descriptor<dnnl::lstm_forward>(kind, direction, d.x, d.state, d.state, d.any_w, d.any_u, d.bias, d.y,
                                                  d.state, d.state);
  }
  template <class Hint>
  static auto backward(const Hint& hint, const Descriptions& d) {
    return backward_descriptor<dnnl::lstm_backward>(hint, dnnl::prop_kind::backward, direction, d.x, d.state, d.state,
                                                    d.any_w, d.any_u, d.bias, d.y, d.state, d.state, d.x, d.state,
                                                    d.state, d.w, d.u, d.bias, d.y, d.state, d.state);
  }
};
// The reset gate after the product, as this library and PyTorch have it.
struct Gru {
  static constexpr bool has_cell_state = false;
  static auto forward(dnnl::prop_kind kind, const Descriptions& d) {
    return forward_descriptor<dnnl::lbr_gru_forward>(kind, direction, d.x, d.state, d.any_w, d.any_u, d.bias, d.y,
                                                     d.state);
  }
  template <class Hint>
  static auto backward(const Hint& hint, const Descriptions& d) {
    return backward_descriptor<dnnl::lbr_gru_backward>(hint, dnnl::prop_kind::backward, direction, d.x, d.state,
                                                       d.any_w, d.any_u, d.bias, d.y, d.state, d.x, d.state, d.w, d.u,
                                                       d.bias, d.y, d.state);
  }
};
struct Rnn {
  static constexpr bool has_cell_state = false;
  static constexpr auto activation = dnnl::algorithm::eltwise_tanh;
  static auto forward(dnnl::prop_kind kind, const Descriptions& d) {
    return forward_descriptor<dnnl::vanilla_rnn_forward>(kind, activation, direction, d.x, d.state, d.any_w, d.any_u,
                                                         d.bias, d.y, d.state);
  }
  template <class Hint>
  static auto backward(const Hint& hint, const Descriptions& d) {
    return backward_descriptor<dnnl::vanilla_rnn_backward>(hint, dnnl::prop_kind::backward, activation, direction, d.x,
                                                           d.state, d.any_w, d.any_u, d.bias, d.y, d.state, d.x,
                                                           d.state, d.w, d.u, d.bias, d.y, d.state);
  }
};

// What forward and backward both read and write.
template <class Cell>
Arguments arguments_of(const Descriptions& d) {
  Arguments a{{DNNL_ARG_SRC_LAYER, random(d.x, 1)},
              {DNNL_ARG_SRC_ITER, zeroed(d.state)},
              {DNNL_ARG_BIAS, zeroed(d.bias)},
              {DNNL_ARG_DST_LAYER, zeroed(d.y)},
              {DNNL_ARG_DST_ITER, zeroed(d.state)}};
  if (Cell::has_cell_state) {
    a[DNNL_ARG_SRC_ITER_C] = zeroed(d.state);
    a[DNNL_ARG_DST_ITER_C] = zeroed(d.state);
  }
  return a;
}

template <class Cell>
std::function<void()> training_step(const Sizes& sizes) {
  const Descriptions d(sizes);
  const auto forward = Cell::forward(dnnl::prop_kind::forward_training, d);
  const auto backward = Cell::backward(forward, d);
  memory w = random(d.w, 0.08F), u = random(d.u, 0.08F);
  memory forward_w = zeroed(forward.weights_layer_desc()), forward_u = zeroed(forward.weights_iter_desc());
  memory backward_w = zeroed(backward.weights_layer_desc()), backward_u = zeroed(backward.weights_iter_desc());
  Arguments common = arguments_of<Cell>(d);
  common[DNNL_ARG_WORKSPACE] = zeroed(forward.workspace_desc());
  Arguments there = common, back = common;
  there[DNNL_ARG_WEIGHTS_LAYER] = forward_w;
  there[DNNL_ARG_WEIGHTS_ITER] = forward_u;
  there[DNNL_ARG_SCRATCHPAD] = zeroed(forward.scratchpad_desc());
  memory dw = zeroed(backward.diff_weights_layer_desc()), du = zeroed(backward.diff_weights_iter_desc()),
         db = zeroed(d.bias);
  back[DNNL_ARG_WEIGHTS_LAYER] = backward_w;
  back[DNNL_ARG_WEIGHTS_ITER] = backward_u;
  back[DNNL_ARG_SCRATCHPAD] = zeroed(backward.scratchpad_desc());
  back[DNNL_ARG_DIFF_SRC_LAYER] = zeroed(d.x);
  back[DNNL_ARG_DIFF_SRC_ITER] = zeroed(d.state);
  back[DNNL_ARG_DIFF_WEIGHTS_LAYER] = dw;
  back[DNNL_ARG_DIFF_WEIGHTS_ITER] = du;
  back[DNNL_ARG_DIFF_BIAS] = db;
  back[DNNL_ARG_DIFF_DST_LAYER] = random(d.y, 1e-3F);
  back[DNNL_ARG_DIFF_DST_ITER] = zeroed(d.state);
  if (Cell::has_cell_state) {
    back[DNNL_ARG_DIFF_SRC_ITER_C] = zeroed(d.state);
    back[DNNL_ARG_DIFF_DST_ITER_C] = zeroed(d.state);
  }
  const dnnl::primitive run_forward(forward.get()), run_backward(backward.get());
  const dnnl::reorder r1(w, forward_w), r2(u, forward_u), r3(w, backward_w), r4(u, backward_u);
  return [=]() mutable {
    r1.execute(stream(), w, forward_w);
    r2.execute(stream(), u, forward_u);
    r3.execute(stream(), w, backward_w);
    r4.execute(stream(), u, backward_u);
    run_forward.execute(stream(), there);
    clear(dw);  // the primitive adds to them
    clear(du);
    clear(db);
    run_backward.execute(stream(), back);
    stream().wait();
  };
}

// `sizes.steps` steps a call. The state goes back and forth between two places.
template <class Cell>
std::function<void()> inference(const Sizes& sizes) {
  const Descriptions d(sizes);
  const auto forward = Cell::forward(dnnl::prop_kind::forward_inference, d);
  memory w = random(d.w, 0.08F), u = random(d.u, 0.08F);
  memory packed_w = zeroed(forward.weights_layer_desc()), packed_u = zeroed(forward.weights_iter_desc());
  convert(w, packed_w);
  convert(u, packed_u);
  std::array<Arguments, 2> turns;
  turns[0] = arguments_of<Cell>(d);
  turns[0][DNNL_ARG_WEIGHTS_LAYER] = packed_w;
  turns[0][DNNL_ARG_WEIGHTS_ITER] = packed_u;
  turns[0][DNNL_ARG_SCRATCHPAD] = zeroed(forward.scratchpad_desc());
  turns[1] = turns[0];
  std::swap(turns[1][DNNL_ARG_SRC_ITER], turns[1][DNNL_ARG_DST_ITER]);
  if (Cell::has_cell_state) std::swap(turns[1][DNNL_ARG_SRC_ITER_C], turns[1][DNNL_ARG_DST_ITER_C]);
  dnnl::primitive run(forward.get());
  return [=, turn = 0]() mutable {
    run.execute(stream(), turns[std::size_t(turn)]);
    stream().wait();
    turn = 1 - turn;
  };
}

template <class Cell>
std::function<void()> solution(const std::string& task, const Sizes& sizes) {
  if (task == "train") return training_step<Cell>(sizes);
  if (task == "infer" || task == "stream") return inference<Cell>(sizes);
  return {};
}

std::function<void()> solution_of(const std::string& task, const std::string& cell, memory::dim batch,
                                  memory::dim steps, memory::dim size) {
  if (cell == "lstm") return solution<Lstm>(task, {4, 4, batch, steps, size});
  if (cell == "gru") return solution<Gru>(task, {3, 4, batch, steps, size});
  if (cell == "rnn") return solution<Rnn>(task, {1, 1, batch, steps, size});
  return {};
}

void flush_denormals() {
  _MM_SET_FLUSH_ZERO_MODE(_MM_FLUSH_ZERO_ON);
  _MM_SET_DENORMALS_ZERO_MODE(0x40);
}

void serve() {
  std::cout << "ready" << std::endl;
  std::function<void()> solve;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string verb;
    words >> verb;
    if (verb == "prepare") {
      std::string task, cell;
      memory::dim batch = 1, steps = 1, size = 1;
      int threads = 1;
      words >> task >> cell >> batch >> steps >> size >> threads;
      omp_set_num_threads(threads);
#pragma omp parallel
      flush_denormals();
      solve = nullptr;
      solve = solution_of(task, cell, batch, steps, size);
      std::cout << (solve ? "ok" : "no") << std::endl;
    } else {
      int calls = 1;
      words >> calls;
      const auto begin = std::chrono::steady_clock::now();
      for (int call = 0; call < calls; ++call) solve();
      const std::chrono::duration<double, std::milli> ms = std::chrono::steady_clock::now() - begin;
      std::cout << ms.count() / calls << std::endl;
    }
  }
}

}  // namespace

int main() {
  try {
    serve();
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "onednn: " << error.what() << "\n";
    return 1;
  }
}
