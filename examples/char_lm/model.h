// The character model: symbols → cells over time → the next symbol.
#pragma once

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "models/average.h"
#include "models/cell.h"
#include "models/dense.h"
#include "models/embedding.h"
#include "models/loss.h"
#include "models/optimizer.h"
#include "models/save.h"

namespace char_lm {

using tapeloop::Tensor;

// What a file must say so that the model in it can be built again.
struct Shape {
  std::string cell = "lstm", vocabulary;
  int hidden = 256, layers = 1, embed = 64;
};

template <class Cell>
struct Model {
  tapeloop::Embedding embed;  // its table is empty: one-hot vectors instead
  std::vector<Cell> cells;
  tapeloop::Dense out;
  int symbols = 0;

  static Model init(const Tensor& key, const Shape& shape) {
    Model model;
    model.symbols = int(shape.vocabulary.size());
    if (shape.embed > 0) model.embed = tapeloop::Embedding::init(tapeloop::fold_in(key, 0), model.symbols, shape.embed);
    int inputs = shape.embed > 0 ? shape.embed : model.symbols;
    for (int layer = 0; layer < shape.layers; ++layer) {
      model.cells.push_back(Cell::init(tapeloop::fold_in(key, 2 + layer), inputs, shape.hidden));
      inputs = shape.hidden;
    }
    model.out = tapeloop::Dense::init(tapeloop::fold_in(key, 1), shape.hidden, model.symbols);
    return model;
  }

  auto initial(int batch) const { return tapeloop::stacked(cells).initial(batch); }

  // Symbols [T, B] and a state give logits [T, B, V] and the state after them.
  template <class State>
  std::pair<Tensor, State> operator()(const State& state, const Tensor& symbol) const {
    const Tensor xs = embed.table.is_empty() ? tapeloop::one_hot(symbol, symbols) : embed(symbol);
    auto [last, outputs] = tapeloop::unroll(tapeloop::stacked(cells), state, xs);
    return {out(outputs), last};
  }
};

template <class Cell>
using State = decltype(Model<Cell>().initial(1));

// Training remembers the optimiser's moments too, so that it can go on where it stopped.
template <class Cell>
struct Checkpoint {
  Model<Cell> model;
  tapeloop::Adam<Model<Cell>> adam;
  tapeloop::Average<Model<Cell>> mean;  // what is evaluated and sampled from
};

template <class Tree>
std::int64_t parameters(const Tree& tree) {
  std::int64_t count = 0;
  for (const Tensor& t : tapeloop::leaves_of(tree)) count += t.count();
  return count;
}

template <class Cell>
void save_checkpoint(const std::string& path, const Checkpoint<Cell>& checkpoint, const Shape& shape) {
  std::string hex;
  for (char c : shape.vocabulary) {
    constexpr char digits[] = "0123456789abcdef";
    hex += digits[static_cast<unsigned char>(c) >> 4];
    hex += digits[static_cast<unsigned char>(c) & 15];
  }
  tapeloop::save(path, checkpoint,
                 {{"char_lm.cell", shape.cell},
                  {"char_lm.hidden", std::to_string(shape.hidden)},
                  {"char_lm.layers", std::to_string(shape.layers)},
                  {"char_lm.embed", std::to_string(shape.embed)},
                  {"char_lm.vocabulary", hex}});
}

// Reads the shape of the model in a file; load_checkpoint then checks everything else.
inline Shape shape_in(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw tapeloop::Error("model: cannot read " + path, "train one first: char_lm train --save " + path);
  const tapeloop::Error foreign("model: " + path + " is not a model that char_lm saved");
  unsigned char bytes[8];
  if (!in.read(reinterpret_cast<char*>(bytes), 8)) throw foreign;
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | bytes[i];
  if (length > 1'000'000) throw foreign;
  std::string header(length, '\0');
  if (!in.read(header.data(), std::streamsize(length))) throw foreign;
  try {
    const auto metadata = nlohmann::json::parse(header).at("__metadata__");
    auto text = [&](const char* name) { return metadata.at(name).get<std::string>(); };
    Shape shape{text("char_lm.cell"), "", std::stoi(text("char_lm.hidden")), std::stoi(text("char_lm.layers")),
                std::stoi(text("char_lm.embed"))};
    const std::string hex = text("char_lm.vocabulary");
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
      shape.vocabulary += char(std::stoi(hex.substr(i, 2), nullptr, 16));
    if (shape.hidden < 1 || shape.layers < 1 || shape.embed < 0 || shape.vocabulary.empty()) throw foreign;
    return shape;
  } catch (const std::exception&) {
    throw foreign;
  }
}

template <class Cell>
Checkpoint<Cell> load_checkpoint(const std::string& path, const Shape& shape) {
  Model<Cell> model = Model<Cell>::init(tapeloop::key(0), shape);
  return tapeloop::load(path, Checkpoint<Cell>{model, tapeloop::adam(model), tapeloop::average(model)});
}

}  // namespace char_lm
