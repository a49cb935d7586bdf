// The vanishing and exploding gradient made visible: ‖∂loss/∂h_t‖ for every t, as a table and as a plot.
//
//   gradient_flow --svg flow.svg
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>

#include "examples/gradient_flow.h"

namespace {

struct Curve {
  std::string name, color;
  std::vector<double> norms;
};

// Time to the right, the norm upwards on a logarithmic scale; what leaves the plot lies on its border.
void write_svg(const std::string& path, const std::vector<Curve>& curves) {
  constexpr double left = 70, top = 20, width = 640, height = 360, low = -20, high = 20;
  std::ofstream out(path);
  out << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 880 440\" font-family=\"sans-serif\" "
         "font-size=\"13\">\n"
      << "<rect width=\"880\" height=\"440\" fill=\"white\"/>\n";
  const auto y = [&](double exponent) {
    return top + height * (high - std::clamp(exponent, low, high)) / (high - low);
  };
  for (int e = int(low); e <= int(high); e += 5)
    out << "<path d=\"M" << left << ' ' << y(e) << "h" << width << "\" stroke=\"#ddd\"/><text x=\"" << left - 8
        << "\" y=\"" << y(e) + 4 << "\" text-anchor=\"end\">1e" << e << "</text>\n";
  double legend = top + 14;
  for (const Curve& curve : curves) {
    out << "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"" << curve.color << "\" points=\"";
    const std::size_t n = curve.norms.size();
    for (std::size_t t = 0; t < n; ++t)
      out << left + width * double(t) / double(std::max<std::size_t>(n - 1, 1)) << ','
          << y(std::log10(std::max(curve.norms[t], 1e-300))) << ' ';
    out << "\"/>\n<text x=\"" << left + width + 14 << "\" y=\"" << legend << "\" fill=\"" << curve.color << "\">"
        << curve.name << "</text>\n";
    legend += 20;
  }
  out << "<text x=\"" << left + width / 2 << "\" y=\"" << top + height + 36
      << "\" text-anchor=\"middle\">time step t of the state (the loss is at the right end)</text>\n</svg>\n";
  if (!out.flush()) throw tapeloop::Error("svg: cannot write " + path);
}

int run(int argc, char** argv) {
  gradient_flow::Setting s;
  std::string svg;
  double clip = 1;
  CLI::App app{"The norm of the gradient with respect to the state, on its way back through time."};
  app.add_option("--steps", s.steps, "length of the sequence")->check(CLI::Range(2, 100000))->capture_default_str();
  app.add_option("--hidden", s.hidden, "units of every cell")->check(CLI::Range(1, 4096))->capture_default_str();
  app.add_option("--seed", s.seed, "of weights and inputs")->capture_default_str();
  app.add_option("--clip", clip, "largest norm in the last column")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--svg", svg, "write the plot to this file");
  CLI11_PARSE(app, argc, argv);

  const std::vector<Curve> curves = {
      {"RNN, radius 0.9", "#d62728", gradient_flow::rnn_norms(s, 0.9)},
      {"RNN, radius 1.2", "#ff7f0e", gradient_flow::rnn_norms(s, 1.2)},
      {"LSTM, forget 1", "#1f77b4", gradient_flow::lstm_norms(s)},
      {"GRU", "#2ca02c", gradient_flow::gru_norms(s)},
  };
  std::printf("‖∂loss/∂h_t‖ for a loss at t = %lld\n\n%8s", static_cast<long long>(s.steps), "t");
  for (const Curve& curve : curves) std::printf("%18s", curve.name.c_str());
  std::printf("\n");
  const std::int64_t row = std::max<std::int64_t>(s.steps / 10, 1);
  for (std::int64_t t = s.steps; t >= 1; t = t > row ? t - row : t == 1 ? 0 : 1) {
    std::printf("%8lld", static_cast<long long>(t));
    for (const Curve& curve : curves) std::printf("%18.3e", curve.norms[std::size_t(t - 1)]);
    std::printf("\n");
  }
  std::printf("%8s", "kept");
  for (const Curve& curve : curves) std::printf("%18.3e", gradient_flow::kept(curve.norms));

  // Clipping scales what would be too long a step; it cannot bring back what has vanished.
  std::printf("\n\nThe gradient at t = 1, before and after clipping its norm to %g:\n", clip);
  for (const Curve& curve : curves)
    std::printf("  %-16s %12.3e  ->  %12.3e\n", curve.name.c_str(), curve.norms[0], std::min(curve.norms[0], clip));
  if (!svg.empty()) {
    write_svg(svg, curves);
    std::printf("\nwrote %s\n", svg.c_str());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "gradient_flow: " << error.what() << '\n';
    return 1;
  }
}
