// What is said to mistakes in the use of cells, losses, optimisers and files (see mistakes.h).
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "ad/grad.h"
#include "mistakes.h"
#include "models/average.h"
#include "models/cell.h"
#include "models/dense.h"
#include "models/dropout.h"
#include "models/embedding.h"
#include "models/gru.h"
#include "models/loss.h"
#include "models/lstm.h"
#include "models/optimizer.h"
#include "models/rnn.h"
#include "models/save.h"

using namespace tapeloop;
using tapeloop::testing::check_mistakes;
using tapeloop::testing::Mistake;

namespace {

constexpr Dtype f64 = Dtype::f64, i32 = Dtype::i32;

Tensor x(const Shape& shape, Dtype dtype = Dtype::f32) { return ones(shape, dtype).materialized(); }
Tensor lengths(std::vector<int> n) { return Tensor::of(n, {std::int64_t(n.size())}); }

const Lstm lstm = Lstm::init(key(1), 3, 4);
const Rnn rnn = Rnn::init(key(1), 3, 4);
const Dense dense = Dense::init(key(1), 4, 2);

struct Pair {
  Tensor a, b;
};
struct Renamed {
  Tensor a, c;
};

// A folder with one good file, gone at the end.
struct Folder {
  std::string path = (std::filesystem::temp_directory_path() / "tapeloop.XXXXXX").string();
  std::string good;
  Folder() {
    REQUIRE(mkdtemp(path.data()) != nullptr);
    good = path + "/good";
    save(good, Pair{x({2}), x({3})});
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string bytes() const {
    std::ifstream in(good, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string file(const std::string& content) const {
    std::ofstream(path + "/bad", std::ios::binary) << content;
    return path + "/bad";
  }
};

}  // namespace

// clang-format off: one mistake a line
TEST_CASE("mistakes: cells") {
  const Mistake mistakes[] = {
      {"lstm: inputs of another width", [] { (void)lstm(lstm.initial(2), x({2, 7})); }},  // <-
      {"lstm: a state of another width", [] { (void)lstm({x({2, 5}), x({2, 5})}, x({2, 3})); }},  // <-
      {"lstm: another batch", [] { (void)lstm(lstm.initial(2), x({5, 3})); }},  // <-
      {"lstm: inputs of another dtype", [] { (void)lstm(lstm.initial(2), x({2, 3}, f64)); }},  // <-
      {"lstm: symbols instead of vectors", [] { (void)lstm(lstm.initial(2), x({2, 3}, i32)); }},  // <-
      {"rnn: no input", [] { (void)rnn(rnn.initial(2), Tensor()); }},  // <-
      {"gru: inputs of another width", [] { const Gru gru = Gru::init(key(1), 3, 4); (void)gru(gru.initial(2), x({2, 7})); }},  // <-
      {"unroll: inputs of another width", [] { (void)unroll(lstm, lstm.initial(2), x({5, 2, 7})); }},  // <-
      {"unroll: no axis of time", [] { (void)unroll(rnn, rnn.initial(2), x({2, 3})); }},  // <-
      {"unroll: a scalar", [] { (void)unroll(rnn, rnn.initial(2), x({})); }},  // <-
      {"unroll: empty xs", [] { (void)unroll(rnn, rnn.initial(2), Tensor()); }},  // <-
      {"unroll: the state of another cell", [] { (void)unroll(rnn, x({2, 6}), x({5, 2, 3})); }},  // <-
      {"unroll: a state of another dtype", [] { (void)unroll(rnn, zeros({2, 4}, f64), x({5, 2, 3})); }},  // <-
      {"unroll: negative truncation", [] { (void)unroll(rnn, rnn.initial(2), x({5, 2, 3}), {.truncate = -1}); }},  // <-
      {"unroll: lengths that are no integers", [] { (void)unroll(rnn, rnn.initial(2), x({5, 2, 3}), {.lengths = x({2})}); }},  // <-
      {"unroll: lengths for another batch", [] { (void)unroll(rnn, rnn.initial(2), x({5, 2, 3}), {.lengths = lengths({5, 4, 3})}); }},  // <-
      {"unroll: a length beyond the sequence", [] { (void)unroll(rnn, rnn.initial(2), x({5, 2, 3}), {.lengths = lengths({5, 9})}); }},  // <-
      {"unroll: a negative length", [] { (void)unroll(rnn, rnn.initial(2), x({5, 2, 3}), {.lengths = lengths({5, -1})}); }},  // <-
      {"unroll: a cell that grows its state", [] { (void)unroll([](const Tensor& h, const Tensor&) { return concat({h, h}, 0); }, x({2, 4}), x({5, 2, 3})); }},  // <-
      {"unroll: a cell that returns nothing", [] { (void)unroll([](const Tensor&, const Tensor&) { return Tensor(); }, x({2, 4}), x({5, 2, 3})); }},  // <-
      {"stacked: cells that do not fit", [] { const auto both = stacked(rnn, rnn); (void)unroll(both, both.initial(2), x({5, 2, 3})); }},  // <-
      {"stacked: too few states", [] { const auto both = stacked(std::vector{rnn, rnn}); (void)unroll(both, std::vector{rnn.initial(2)}, x({5, 2, 3})); }},  // <-
      {"init: no key", [] { (void)Lstm::init(x({2}), 3, 4); }},  // <-
      {"init: a negative size", [] { (void)Rnn::init(key(1), -3, 4); }},  // <-
      {"init: integer weights", [] { (void)Lstm::init(key(1), 3, 4, {.dtype = i32}); }},  // <-
      {"dense: inputs of another width", [] { (void)dense(x({2, 7})); }},  // <-
      {"dense: a scalar", [] { (void)dense(x({})); }},  // <-
      {"dense: empty", [] { (void)dense(Tensor()); }},  // <-
      {"embedding: symbols that are no integers", [] { (void)Embedding::init(key(1), 5, 2)(x({3})); }},  // <-
      {"embedding: empty", [] { (void)Embedding::init(key(1), 5, 2)(Tensor()); }},  // <-
      {"embedding: a negative size", [] { (void)Embedding::init(key(1), -5, 2); }},  // <-
      {"dropout: a rate in percent", [] { (void)dropout(x({3}), 20, key(1)); }},  // <-
      {"dropout: no key", [] { (void)dropout(x({3}), 0.2, Tensor()); }},  // <-
      {"dropout: empty", [] { (void)dropout(Tensor(), 0.2, key(1)); }},  // <-
      {"dropout: integers", [] { (void)dropout(x({3}, i32), 0.2, key(1)); }},  // <-
      {"orthogonal: no rows", [] { (void)orthogonal(key(1), -2, 3); }},  // <-
      {"orthogonal: integers", [] { (void)orthogonal(key(1), 2, 3, 1, i32); }},  // <-
      {"uniform_init: a negative bound", [] { (void)uniform_init(key(1), {2}, -1); }},  // <-
  };
  check_mistakes("cells", mistakes);
}

TEST_CASE("mistakes: losses and optimisers") {
  const Mistake mistakes[] = {
      {"cross_entropy: targets as vectors", [] { (void)cross_entropy(x({2, 5}), x({2, 5})); }},  // <-
      {"cross_entropy: another batch", [] { (void)cross_entropy(x({2, 5}), x({3}, i32)); }},  // <-
      {"cross_entropy: a scalar", [] { (void)cross_entropy(x({}), x({}, i32)); }},  // <-
      {"cross_entropy: empty", [] { (void)cross_entropy(Tensor(), x({3}, i32)); }},  // <-
      {"mse: shapes", [] { (void)mse(x({2, 1}), x({2})); }},  // <-
      {"mse: dtypes", [] { (void)mse(x({2}), x({2}, f64)); }},  // <-
      {"mse: integers", [] { (void)mse(x({2}, i32), x({2}, i32)); }},  // <-
      {"mse: empty", [] { (void)mse(x({2}), Tensor()); }},  // <-
      {"adam: gradients of another shape", [] { Pair m{x({2}), x({3})}; auto opt = adam(m); opt.update(m, Pair{x({2}), x({4})}); }},  // <-
      {"adam: a gradient is missing", [] { Pair m{x({2}), x({3})}; auto opt = adam(m); opt.update(m, Pair{x({2}), Tensor()}); }},  // <-
      {"sgd: gradients of another dtype", [] { Pair m{x({2}), x({3})}; auto opt = sgd(m); opt.update(m, Pair{x({2}), x({3}, f64)}); }},  // <-
      {"sgd: made for another model", [] { Pair m{x({2}), x({3})}; auto opt = sgd(Pair{x({2}), x({5})}, {.momentum = 0.9}); opt.update(m, m); }},  // <-
      {"rms_prop: made for another model", [] { Pair m{x({2}), x({3})}; auto opt = rms_prop(Pair{x({2}), x({5})}); opt.update(m, m); }},  // <-
      {"adam: made for another model", [] { Pair m{x({2}), x({3})}; auto opt = adam(Pair{x({2}), Tensor()}); opt.update(m, m); }},  // <-
      {"adam: integer weights", [] { Pair m{x({2}), x({3}, i32)}; auto opt = adam(m); opt.update(m, m); }},  // <-
      {"adam: beta is 1", [] { (void)adam(Pair{x({2}), x({3})}, {.beta1 = 1}); }},  // <-
      {"adam: a negative rate", [] { (void)adam(Pair{x({2}), x({3})}, {.lr = -1e-3}); }},  // <-
      {"average: made for another model", [] { Pair m{x({2}), x({3})}; auto mean = average(Pair{x({2}), x({5})}); mean.update(m); }},  // <-
      {"average: another dtype", [] { Pair m{x({2}), x({3})}; auto mean = average(Pair{x({2}), x({3}, f64)}); mean.update(m); }},  // <-
      {"average: decay is 1", [] { (void)average(Pair{x({2}), x({3})}, 1); }},  // <-
      {"average: integer weights", [] { (void)average(Pair{x({2}), x({3}, i32)}); }},  // <-
      {"sgd: a negative momentum", [] { (void)sgd(Pair{x({2}), x({3})}, {.momentum = -0.5}); }},  // <-
      {"rms_prop: alpha is above 1", [] { (void)rms_prop(Pair{x({2}), x({3})}, {.alpha = 1.5}); }},  // <-
      {"clip_by_global_norm: nothing to clip", [] { (void)clip_by_global_norm(Pair{}, 1); }},  // <-
      {"clip_by_global_norm: a negative norm", [] { (void)clip_by_global_norm(Pair{x({2}), x({3})}, -1); }},  // <-
      {"clip_by_global_norm: integers", [] { (void)clip_by_global_norm(Pair{x({2}, i32), x({3}, i32)}, 1); }},  // <-
      {"clip_by_value: a negative limit", [] { (void)clip_by_value(Pair{x({2}), x({3})}, -1); }},  // <-
  };
  check_mistakes("losses", mistakes);
}

TEST_CASE("mistakes: files") {
  const Mistake mistakes[] = {
      {"save: no such folder", [] { save("/nowhere/at/all.safetensors", Pair{x({2}), x({3})}); }},  // <-
      {"save: a recorded tensor", [] { const Folder f; (void)grad([&](const Tensor& t) { save(f.good, Pair{t, t}); return sum(t); })(x({2})); }},  // <-
      {"load: no such file", [] { const Folder f; (void)load(f.path + "/none", Pair{x({2}), x({3})}); }},  // <-
      {"load: a folder", [] { const Folder f; (void)load(f.path, Pair{x({2}), x({3})}); }},  // <-
      {"load: an empty file", [] { const Folder f; (void)load(f.file(""), Pair{x({2}), x({3})}); }},  // <-
      {"load: another kind of file", [] { const Folder f; (void)load(f.file("#!/bin/sh\necho this is not a file of tensors"), Pair{x({2}), x({3})}); }},  // <-
      {"load: truncated in the header", [] { const Folder f; (void)load(f.file(f.bytes().substr(0, 40)), Pair{x({2}), x({3})}); }},  // <-
      {"load: truncated in the data", [] { const Folder f; (void)load(f.file(f.bytes().substr(0, f.bytes().size() - 4)), Pair{x({2}), x({3})}); }},  // <-
      {"load: bytes after the end", [] { const Folder f; (void)load(f.file(f.bytes() + "more"), Pair{x({2}), x({3})}); }},  // <-
      {"load: a header that is no JSON", [] { const Folder f; std::string b = f.bytes(); b[9] = '}'; (void)load(f.file(b), Pair{x({2}), x({3})}); }},  // <-
      {"load: an unknown name", [] { const Folder f; (void)load(f.good, Renamed{x({2}), x({3})}); }},  // <-
      {"load: a missing name", [] { const Folder f; (void)load(f.good, std::tuple{Pair{x({2}), x({3})}}); }},  // <-
      {"load: more tensors than the file has", [] { const Folder f; save(f.good, Pair{x({2}), Tensor()}); (void)load(f.good, Pair{x({2}), x({3})}); }},  // <-
      {"load: another shape", [] { const Folder f; (void)load(f.good, Pair{x({2}), x({1, 3})}); }},  // <-
      {"load: another dtype", [] { const Folder f; (void)load(f.good, Pair{x({2}), x({3}, f64)}); }},  // <-
  };
  check_mistakes("files", mistakes);
}
// clang-format on
