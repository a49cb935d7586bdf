#include "models/check_cell.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <limits>

namespace tapeloop {

bool CellReport::passed() const {
  return std::all_of(laws.begin(), laws.end(), [](const CellLaw& law) { return law.holds; });
}

std::string to_string(const CellReport& report) {
  std::string text;
  for (const CellLaw& law : report.laws)
    text += fmt::format("  {} {}{}{}\n", law.holds ? "✓" : "✗", law.law, law.found.empty() ? "" : ": ", law.found);
  if (!report.gradients.passed()) text += to_string(report.gradients) + "\n";
  text.pop_back();
  return text;
}

namespace detail {

Tensor noise_of(std::uint64_t seed, const Shape& shape) {
  // A Weyl sequence: its terms are spread evenly, and no two are equal.
  std::vector<double> values(std::size_t(count_of(shape)));
  double term = double(seed % 1000) * 0.1;
  for (double& value : values) value = 2 * std::fmod(term += 0.6180339887498949, 1.0) - 1;
  return Tensor::of(values, shape);
}

Tensors run_gradient(const TapePtr& loss, Tensors arguments) {
  std::vector<bool> wanted;
  for (const Tensor& argument : arguments) wanted.push_back(is_float(argument.dtype()));
  return value_and_gradients(loss, arguments, wanted, std::vector<std::string>(arguments.size()));
}

Tensors run_mode(Mode mode, const TapePtr& loss, Tensors arguments, std::uint64_t seed) {
  std::vector<bool> varying;
  Tensors directions;
  for (const Tensor& argument : arguments) {
    varying.push_back(is_float(argument.dtype()));
    if (varying.back()) directions.push_back(noise_of(seed + directions.size(), argument.shape()));
  }
  TapePtr tape = loss;
  if (mode != Mode::jvp) {
    tape = vjp(loss, VjpRequest{varying, {true}, {}});
    arguments.push_back(full(loss->output_type(0).shape, 1, loss->output_type(0).dtype).materialized());
    varying.push_back(false);
  }
  if (mode != Mode::vjp) {
    tape = jvp(tape, varying);
    arguments.insert(arguments.end(), directions.begin(), directions.end());
  }
  return run(*tape, arguments);
}

double difference_of(const Tensors& a, const Tensors& b) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (a.size() != b.size()) return infinity;
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].dtype() != b[i].dtype() || values_of(a[i].shape()) != values_of(b[i].shape())) return infinity;
    if (!is_float(a[i].dtype())) {
      if (!same_bits(a[i], b[i])) return infinity;
      continue;
    }
    const auto x = cast(a[i], Dtype::f64).to_vector<double>(), y = cast(b[i], Dtype::f64).to_vector<double>();
    double largest = 1;
    for (double v : y) largest = std::max(largest, std::abs(v));
    for (std::size_t j = 0; j < x.size(); ++j) {
      if (std::isnan(x[j]) != std::isnan(y[j])) return infinity;
      if (x[j] != y[j] && !std::isnan(x[j])) worst = std::max(worst, std::abs(x[j] - y[j]) / largest);
    }
  }
  return worst;
}

bool all_same_bits(const Tensors& a, const Tensors& b) {
  bool same = a.size() == b.size();
  for (std::size_t i = 0; same && i < a.size(); ++i) same = same_bits(a[i], b[i]);
  return same;
}

std::string unused_file() {
  namespace fs = std::filesystem;
  for (int i = 0;; ++i) {
    const fs::path path = fs::temp_directory_path() / fmt::format("tapeloop-{}.safetensors", i);
    if (!fs::exists(path)) return path.string();
  }
}

void remove_file(const std::string& path) { std::filesystem::remove(path); }

void LawRunner::add(std::string law, bool holds, std::string found) {
  report_.laws.push_back({std::move(law), holds, holds ? "" : std::move(found)});
}

void LawRunner::same(std::string name, const Law& law, double tolerance) {
  try {
    const auto [a, b] = law();
    const bool holds = tolerance > 0 ? difference_of(a, b) <= tolerance : all_same_bits(a, b);
    add(std::move(name), holds, "they differ by " + std::to_string(difference_of(a, b)));
  } catch (const Error& error) {
    add(std::move(name), false, error.what());
  }
}

}  // namespace detail
}  // namespace tapeloop
