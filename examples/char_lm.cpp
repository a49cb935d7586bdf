// A character language model on real text, in one program:
//
//   char_lm train                                  learns C++ from the standard library headers, for a minute
//   char_lm train --text book.txt --cell gru --steps 2000 --save book.safetensors
//   char_lm sample --model book.safetensors --temperature 0.7 --length 500
#include <CLI/CLI.hpp>

#include <chrono>
#include <csignal>
#include <iostream>
#include <limits>
#include <random>

#include "ad/grad.h"
#include "examples/char_lm/model.h"
#include "examples/char_lm/progress.h"
#include "examples/char_lm/text.h"
#include "jit/jit.h"
#include "models/gru.h"
#include "models/lstm.h"
#include "models/rnn.h"

namespace {

using namespace char_lm;
using Clock = std::chrono::steady_clock;

struct Arguments {
  std::vector<std::string> text;
  Shape shape;
  int batch = 32, seq = 64, steps = 0, eval_every = 1000;
  double seconds = 60, lr = 4e-3, clip = 1;
  std::uint64_t seed = 1;
  std::string save = "char_lm.safetensors", resume, log, prime = "\n";
  bool json = false;
  int length = 600;
  double temperature = 0.7;
};

volatile std::sig_atomic_t interrupted = 0;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Linear warm-up; then a cosine down to a tenth when the number of steps is known, else a slow inverse square root. Depends
// on the number of the step only, so that two runs agree to the last bit however fast the machine is.
double learning_rate(const Arguments& args, std::int64_t step) {
  constexpr double warm_up = 50, slow = 2000;
  const double s = double(step), up = std::min(1.0, (s + 1) / warm_up);
  if (args.steps > 0) return args.lr * up * (0.55 + 0.45 * std::cos(std::numbers::pi * std::min(1.0, s / args.steps)));
  return args.lr * up / std::sqrt(1 + s / slow);
}

// Text that the model goes on with, one character at a time.
template <class Cell>
std::string sample(const Model<Cell>& model, const std::string& vocabulary, const Arguments& args) {
  auto next = tapeloop::jit(
      [](const Model<Cell>& m, const State<Cell>& state, const Tensor& symbol, const Tensor& temperature) {
        auto [logits, after] = m(state, symbol);
        return std::pair{tapeloop::softmax(logits / temperature), after};
      });
  const Tensor temperature = Tensor::of(std::vector<float>{float(std::max(args.temperature, 1e-3))}, {});
  State<Cell> state = model.initial(1);
  std::mt19937_64 random(args.seed);
  std::vector<std::int32_t> prime = encode(args.prime, vocabulary);
  std::string text;
  std::size_t read = 0;
  std::int32_t symbol = prime.at(0);
  while (int(text.size()) < args.length && !interrupted) {
    auto [chances, after] = next(model, state, Tensor::of(std::vector<std::int32_t>{symbol}, {1, 1}), temperature);
    state = after;
    if (++read < prime.size()) {
      symbol = prime[read];
      continue;
    }
    double left = double(random() >> 11) * 0x1p-53;
    const auto p = chances.template data<float>();
    symbol = 0;
    while (std::size_t(symbol) + 1 < p.size() && (left -= double(p[std::size_t(symbol)])) >= 0) ++symbol;
    text += vocabulary[std::size_t(symbol)];
  }
  return text;
}

template <class Cell>
int run_sample(const Arguments& args) {
  const auto checkpoint = load_checkpoint<Cell>(args.save, args.shape);
  std::cout << sample(checkpoint.mean.model, args.shape.vocabulary, args) << std::endl;
  return interrupted ? 130 : 0;
}

template <class Cell>
struct Trainer {
  // Mean bits per character over all of `part`, its streams read from their beginnings.
  template <class Evaluate>
  static double bits_on(Evaluate& evaluate, const Model<Cell>& model, const Streams& part, int seq) {
    State<Cell> state = model.initial(part.batch());
    double nats = 0;
    for (std::int64_t at = 0; at < part.length(); at += seq) {
      const std::int64_t steps = std::min<std::int64_t>(seq, part.length() - at);
      const auto [xs, ys] = part.at(at, steps);
      auto [loss, last] = evaluate(model, state, xs, ys);
      state = last;
      nats += loss.template item<double>() * double(steps);
    }
    return nats / double(part.length()) / std::numbers::ln2;
  }

  static int run(Arguments args) {
    Progress progress;
    const std::string text = read_text(args.text);
    if (args.resume.empty()) args.shape.vocabulary = vocabulary_of(text);
    const std::vector<std::int32_t> ids = encode(text, args.shape.vocabulary);
    const auto cut = [&](double from, double to) {
      const double n = double(ids.size());
      return std::vector<std::int32_t>(ids.begin() + std::ptrdiff_t(n * from), ids.begin() + std::ptrdiff_t(n * to));
    };
    const auto held_out = [&](double from, double to, const char* name) {
      auto part = cut(from, to);
      const int streams = int(std::clamp<std::size_t>(part.size() / std::size_t(args.seq + 1), 1, 64));
      return Streams(std::move(part), streams, name);
    };
    const Streams train(cut(0, 0.9), args.batch, "training");
    const Streams valid = held_out(0.9, 0.95, "validation"), test = held_out(0.95, 1, "test");
    const std::int64_t seq = std::min<std::int64_t>(args.seq, train.length());

    Checkpoint<Cell> now;
    if (args.resume.empty()) {
      now.model = Model<Cell>::init(tapeloop::key(args.seed), args.shape);
      now.adam = tapeloop::adam(now.model, {.lr = args.lr});
      now.mean = tapeloop::average(now.model);
    } else {
      now = load_checkpoint<Cell>(args.resume, args.shape);
    }
    std::ofstream log;
    if (!args.log.empty()) {
      log.open(args.log, args.resume.empty() ? std::ios::trunc : std::ios::app);
      if (!log) throw Error("log: cannot write " + args.log);
    }

    // Forward, backward, clipping and Adam are one program.
    auto step = tapeloop::jit(
        [clip = args.clip](Checkpoint<Cell> c, const State<Cell>& state, const Tensor& xs, const Tensor& ys) {
          auto loss = [](const Model<Cell>& m, const State<Cell>& s, const Tensor& x, const Tensor& y) {
            auto [logits, last] = m(s, x);
            return std::pair{tapeloop::cross_entropy(logits, y), last};
          };
          auto [l, last, grads] = tapeloop::value_and_grad(loss)(c.model, state, xs, ys);
          c.adam.update(c.model, clip > 0 ? tapeloop::clip_by_global_norm(grads, clip) : grads);
          c.mean.update(c.model);
          return std::tuple{c, last, l};
        });
    auto evaluate = tapeloop::jit([](const Model<Cell>& m, const State<Cell>& s, const Tensor& x, const Tensor& y) {
      auto [logits, last] = m(s, x);
      return std::pair{tapeloop::cross_entropy(logits, y), last};
    });

    const std::int64_t count = parameters(now.model);
    progress.say(std::to_string(text.size()) + " characters of " + std::to_string(args.shape.vocabulary.size()) +
                 " kinds; " + args.shape.cell + " with " + std::to_string(count) + " parameters");

    Checkpoint<Cell> best = now;
    double best_bits = std::numeric_limits<double>::infinity();
    const auto first = std::int64_t(now.adam.step.template item<double>());
    std::int64_t done = first, position = done * seq % std::max<std::int64_t>(train.length() - seq + 1, 1),
                 shown = done;
    double seconds = 0, nats = 0, shown_at = 0;
    State<Cell> state = now.model.initial(args.batch);

    const auto line = [&](nlohmann::ordered_json extra) {
      if (done == shown) return;
      const double bits = nats / double(done - shown) / std::numbers::ln2;
      const double speed = double((done - shown) * seq * args.batch) / std::max(seconds - shown_at, 1e-9);
      const double fraction = args.steps > 0 ? double(done - first) / args.steps : seconds / args.seconds;
      const double left = args.steps > 0 ? seconds / double(done - first) * double(args.steps - (done - first))
                                         : args.seconds - seconds;
      progress.show(std::min(fraction, 1.0), done, bits, speed, std::max(left, 0.0));
      if (log.is_open()) {
        nlohmann::ordered_json entry{
            {"step", done}, {"bits_per_char", bits}, {"chars_per_second", speed}, {"seconds", seconds}};
        entry.update(extra);
        log << entry.dump() << std::endl;
      }
      nats = 0, shown = done, shown_at = seconds;
    };
    const auto validate = [&] {
      const double bits = bits_on(evaluate, now.mean.model, valid, args.seq);
      if (bits < best_bits) {
        best_bits = bits;
        best = now;
        if (!args.save.empty()) save_checkpoint(args.save, best, args.shape);
      }
      line({{"val_bits_per_char", bits}});
      char said[80];
      std::snprintf(said, sizeof said, "step %lld: %.6f bits/char on validation", static_cast<long long>(done), bits);
      progress.say(said);
    };

    const auto finished = [&] { return args.steps > 0 ? done - first >= args.steps : seconds >= args.seconds; };
    const int every = progress.is_terminal() ? 10 : 50;
    while (!finished() && !interrupted) {
      const auto start = Clock::now();
      if (position + seq > train.length()) position = 0, state = now.model.initial(args.batch);
      const auto [xs, ys] = train.at(position, seq);
      now.adam.lr = Tensor::of(std::vector<float>{float(learning_rate(args, done))}, {});
      auto [after, last, loss] = step(now, state, xs, ys);
      const double value = loss.template item<double>();
      if (!std::isfinite(value))
        throw Error("train: the loss is not finite at step " + std::to_string(done), "try a smaller --lr");
      now = after, state = last;
      position += seq, nats += value, ++done;
      seconds += since(start);
      if (done % args.eval_every == 0 && !finished())
        validate();
      else if (done % every == 0)
        line(nlohmann::ordered_json::object());
    }
    // A second Ctrl-C ends the program at once.
    const bool stopped = interrupted != 0;
    if (stopped)
      std::signal(SIGINT, SIG_DFL), progress.say("interrupted: evaluating and saving; Ctrl-C again to leave at once");
    validate();
    if (!args.save.empty()) progress.say("saved " + args.save);
    if (stopped) return 130;

    const double test_bits = bits_on(evaluate, best.mean.model, test, args.seq);
    const double speed = double((done - first) * seq * args.batch) / std::max(seconds, 1e-9);
    std::printf("\n%s\n\n", sample(best.mean.model, args.shape.vocabulary, args).c_str());
    std::printf("validation %.4f bits/char, test %.4f; %lld steps in %.1f s, %.0f chars/s\n", best_bits, test_bits,
                static_cast<long long>(done - first), seconds, speed);
    if (args.json)
      std::cout << nlohmann::ordered_json{{"val_bits_per_char", best_bits}, {"test_bits_per_char", test_bits},
                                          {"chars_per_second", speed},      {"seconds", seconds},
                                          {"steps", done - first},          {"parameters", count}}
                       .dump()
                << std::endl;
    return interrupted ? 130 : 0;
  }
};

template <class F>
int with_cell(const std::string& name, F f) {
  if (name == "rnn") return f.template operator()<tapeloop::Rnn>();
  if (name == "gru") return f.template operator()<tapeloop::Gru>();
  if (name == "lstm") return f.template operator()<tapeloop::Lstm>();
  throw Error("cell: there is no cell " + name);
}

int run(int argc, char** argv) {
  Arguments args;
  CLI::App app{"A character language model: it learns a text and writes more of it."};
  app.require_subcommand(1);

  CLI::App* train = app.add_subcommand("train", "learn a text, then print a sample");
  train->add_option("--text", args.text, "files to learn (default: the C++ standard library headers)");
  train->add_option("--cell", args.shape.cell, "rnn, lstm or gru")
      ->check(CLI::IsMember({"rnn", "lstm", "gru"}))
      ->capture_default_str();
  train->add_option("--hidden", args.shape.hidden, "units in a layer")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  train->add_option("--layers", args.shape.layers, "layers")->check(CLI::Range(1, 64))->capture_default_str();
  train->add_option("--embed", args.shape.embed, "size of a character's vector; 0: one-hot")
      ->check(CLI::Range(0, 65536))
      ->capture_default_str();
  train->add_option("--batch", args.batch, "streams read side by side")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  train->add_option("--seq", args.seq, "steps of backpropagation through time")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  auto* steps = train->add_option("--steps", args.steps, "train for so many steps")->check(CLI::PositiveNumber);
  train->add_option("--seconds", args.seconds, "train for so long; evaluation is not counted")
      ->check(CLI::PositiveNumber)
      ->excludes(steps)
      ->capture_default_str();
  train->add_option("--lr", args.lr, "learning rate of Adam")->check(CLI::PositiveNumber)->capture_default_str();
  train->add_option("--clip", args.clip, "largest norm of the gradient; 0: any")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  train->add_option("--eval-every", args.eval_every, "steps between two evaluations")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  train->add_option("--save", args.save, "where the best model goes; empty: nowhere")->capture_default_str();
  train->add_option("--resume", args.resume, "go on with a saved model");
  train->add_option("--log", args.log, "a JSON object per line: step, bits_per_char, chars_per_second");
  train->add_flag("--json", args.json, "end with one line of JSON");

  CLI::App* sampling = app.add_subcommand("sample", "write text with a saved model");
  sampling->add_option("--model", args.save, "a model that train saved")->capture_default_str();
  sampling->add_option("--prime", args.prime, "the text that the model goes on with")->check([](const std::string& s) {
    return s.empty() ? std::string("is empty") : std::string();
  });
  for (CLI::App* command : {train, sampling}) {
    command->add_option("--seed", args.seed, "of initial weights and samples")->capture_default_str();
    command->add_option("--temperature", args.temperature, "of samples: lower is safer")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    command->add_option("--length", args.length, "characters of a sample")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
  }
  CLI11_PARSE(app, argc, argv);

  std::signal(SIGINT, [](int) { interrupted = 1; });
  if (train->parsed()) {
    if (!args.resume.empty()) args.shape = shape_in(args.resume);
    return with_cell(args.shape.cell, [&]<class Cell> { return Trainer<Cell>::run(args); });
  }
  args.shape = shape_in(args.save);
  return with_cell(args.shape.cell, [&]<class Cell> { return run_sample<Cell>(args); });
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "char_lm: " << error.what() << '\n';
    return 1;
  }
}
