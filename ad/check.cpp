#include "ad/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace tapeloop::detail {
namespace {

// SplitMix64 (Steele, Lea and Flood 2014): the same numbers on every platform, unlike <random>'s distributions.
struct Random {
  std::uint64_t state;
  std::uint64_t next() {
    std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  double uniform() { return double(next() >> 11) * 0x1p-52 - 1; }  // in [-1, 1)
};

double loss_at(const Tape& tape, const Tensors& inputs) { return run(tape, inputs)[0].item<double>(); }

// "[2, 0]" of a row-major position.
std::string index_of(std::int64_t position, const Shape& shape) {
  std::vector<std::int64_t> index(shape.size());
  for (std::size_t axis = shape.size(); axis-- > 0; position /= shape[axis].value())
    index[axis] = position % shape[axis].value();
  return fmt::format("[{}]", fmt::join(index, ", "));
}

// The positions to try: all of them, or as many as asked for without repetition, by a partial Fisher–Yates shuffle.
std::vector<std::int64_t> choose(std::int64_t count, int wanted, Random& random) {
  std::vector<std::int64_t> all(std::size_t(count), 0);
  std::iota(all.begin(), all.end(), 0);
  if (count <= wanted) return all;
  for (std::size_t i = 0; i < std::size_t(wanted); ++i)
    std::swap(all[i], all[i + std::size_t(random.next() % (all.size() - i))]);
  all.resize(std::size_t(wanted));
  return all;
}

double relative_error(double a, double b, double floor) {
  // Written so that a NaN on either side is an error.
  const double error = std::abs(a - b) / std::max({std::abs(a), std::abs(b), floor});
  return a == b ? 0 : std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
}

using Values = std::vector<std::vector<double>>;  // of the tensors that are differentiated

double dot(const Values& a, const Values& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t j = 0; j < a[i].size(); ++j) total += a[i][j] * b[i][j];
  return total;
}
double magnitude(const Values& a, const Values& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t j = 0; j < a[i].size(); ++j) total += std::abs(a[i][j] * b[i][j]);
  return total;
}

// (8 (f(h) − f(−h)) − (f(2h) − f(−2h))) / 12h
template <class F>
double five_point(const F& f, double h) {
  return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h);
}

class Checker {
 public:
  Checker(const TapePtr& tape, const Tensors& inputs, const std::vector<std::string>& names,
          const CheckOptions& options)
      : tape_(tape), inputs_(inputs), names_(names), options_(options), random_{options.seed} {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      wanted_.push_back(is_float(inputs[i].dtype()));
      if (!wanted_[i]) continue;
      moved_.push_back(i);
      point_.push_back(inputs[i].to_vector<double>());
    }
  }

  CheckReport check() {
    // Also says what is wrong with a loss that is no single number.
    report_.where =
        options_.where.line() == 0 && !tape_->outputs.empty() ? (*tape_)[tape_->outputs[0]].where : options_.where;
    const Tensors results = value_and_gradients(tape_, inputs_, wanted_, names_, report_.where);
    report_.tolerance = options_.tolerance;
    report_.loss = results[0].item<double>();
    if (!std::isfinite(report_.loss))
      throw Error(fmt::format("check_gradients: the loss is {}", report_.loss), report_.where);
    floor_ = 1e-4 * std::max(1.0, std::abs(report_.loss));
    for (std::size_t i = 0; i < moved_.size(); ++i)
      gradient_.push_back(results[tape_->outputs.size() + i].to_vector<double>());
    if (options_.reverse)
      for (std::size_t i = 0; i < moved_.size(); ++i) check_tensor(i);
    for (int i = 0; i < options_.directions; ++i) {
      if (options_.forward) check_forward();
      if (options_.order >= 2) check_second_order();
    }
    return std::move(report_);
  }

 private:
  const TapePtr& tape_;
  const Tensors& inputs_;
  const std::vector<std::string>& names_;
  const CheckOptions& options_;
  Random random_;
  std::vector<bool> wanted_;
  std::vector<std::size_t> moved_;  // the inputs that are floating-point
  Values point_, gradient_;
  double floor_ = 0;
  CheckReport report_;

  Tensors at(const Values& values) const {
    Tensors arguments = inputs_;
    for (std::size_t i = 0; i < moved_.size(); ++i)
      arguments[moved_[i]] = Tensor::of(values[i], inputs_[moved_[i]].shape());
    return arguments;
  }
  Values along(const Values& v, double h) const {
    Values values = point_;
    for (std::size_t i = 0; i < v.size(); ++i)
      for (std::size_t j = 0; j < v[i].size(); ++j) values[i][j] += h * v[i][j];
    return values;
  }
  // Directions of length about 1, so that a step along them is about one of the size that was asked for.
  Values direction() {
    Values v = point_;
    double square = 0;
    for (std::vector<double>& values : v)
      for (double& x : values) {
        x = random_.uniform();
        square += x * x;
      }
    for (std::vector<double>& values : v)
      for (double& x : values) x /= std::max(1e-3, std::sqrt(square));
    return v;
  }
  Tensors as_tensors(const Values& values) const {
    Tensors tensors;
    for (std::size_t i = 0; i < values.size(); ++i)
      tensors.push_back(Tensor::of(values[i], inputs_[moved_[i]].shape()));
    return tensors;
  }
  bool has_kinks() const {
    return std::any_of(report_.tensors.begin(), report_.tensors.end(),
                       [](const TensorCheck& t) { return t.kinks > 0; });
  }
  bool agree(double a, double b) const { return relative_error(a, b, floor_) <= options_.tolerance; }

  void check_tensor(std::size_t i) {
    TensorCheck check;
    check.name = names_[moved_[i]];
    check.type = inputs_[moved_[i]].type();
    for (std::int64_t position : choose(inputs_[moved_[i]].count(), options_.elements, random_)) {
      const auto p = std::size_t(position);
      Values values = point_;
      auto loss = [&](double by) {
        values[i][p] = point_[i][p] + by;
        return loss_at(*tape_, at(values));
      };
      const double h = options_.step * std::max(1.0, std::abs(point_[i][p])), derivative = gradient_[i][p];
      const double up = loss(h), down = loss(-h), up2 = loss(2 * h), down2 = loss(-2 * h);
      const double difference = (8 * (up - down) - (up2 - down2)) / (12 * h),
                   error = relative_error(derivative, difference, floor_);
      // The slopes on either side, of second order: at a smooth place they meet. In the middle of a kink the difference cannot tell.
      const double right = (4 * up - up2 - 3 * report_.loss) / (2 * h),
                   left = (3 * report_.loss - 4 * down + down2) / (2 * h);
      const bool meets = std::abs(right - left) <= 1e-3 * std::max({std::abs(left), std::abs(right), floor_});
      ++check.tried;
      if ((error > options_.tolerance || !meets) && is_kink(loss, h, derivative, check)) {
        ++check.kinks;
        continue;
      }
      if (check.worst.empty() || error > check.error) {
        check.worst = index_of(position, check.type.shape);
        check.derivative = derivative;
        check.difference = difference;
        check.error = error;
      }
    }
    using Verdict = TensorCheck::Verdict;
    check.verdict = check.error > options_.tolerance ? Verdict::wrong
                    : check.kinks > 0                ? Verdict::kink
                                                     : Verdict::agrees;
    report_.tensors.push_back(std::move(check));
  }

  // Whether the step straddled a kink beside which the derivative is right, or stands on one of which it is a subgradient.
  // A smooth function with a wrong derivative has slopes on either side that meet, elsewhere.
  template <class F>
  bool is_kink(const F& loss, double h, double derivative, TensorCheck& check) const {
    const double here = loss(0);
    auto slope = [&](double by) {
      return (4 * (loss(by / 2) - here) - (loss(by) - here)) / by;
    };  // one-sided, of second order
    for (double smaller : {h / 10, h / 100, h / 1000}) {
      check.left = slope(-smaller);
      check.right = slope(smaller);
      // Rounding grows as the step falls.
      const double noise = 1e-13 * std::max(1.0, std::abs(here)) / smaller,
                   slack = options_.tolerance * std::max(std::abs(derivative), floor_) + noise;
      if (std::abs(check.right - derivative) <= slack && std::abs(check.left - derivative) <= slack) return true;
      const auto [low, high] = std::minmax(check.left, check.right);
      const bool differ = high - low > 1e-3 * std::max({std::abs(low), std::abs(high), floor_}) + noise;
      if (differ && low - slack <= derivative && derivative <= high + slack) {
        // At a smooth place the gap would fall with the step.
        const double nearer = std::abs(slope(smaller / 10) - slope(-smaller / 10));
        if (nearer > 0.5 * (high - low)) return true;
      }
    }
    return false;
  }

  void add_law(std::string law, double a, double b, double floor) {
    const double error = relative_error(a, b, floor);
    report_.laws.push_back({std::move(law), a, b, error, error <= options_.tolerance, {}});
  }

  void check_forward() {
    const Values v = direction();
    Tensors arguments = inputs_;
    const Tensors dots = as_tensors(v);
    arguments.insert(arguments.end(), dots.begin(), dots.end());
    const double forward = run(*jvp(tape_, wanted_), arguments)[tape_->outputs.size()].item<double>();
    if (options_.reverse) {
      add_law("forward mode: Jv = ⟨∇f, v⟩", forward, dot(gradient_, v), std::max(floor_, magnitude(gradient_, v)));
      return;
    }
    const double difference = five_point([&](double h) { return loss_at(*tape_, at(along(v, h))); }, options_.step);
    add_law("forward mode: Jv = differences along v", forward, difference, floor_);
  }

  void check_second_order() {
    if (has_kinks()) {
      if (std::none_of(report_.laws.begin(), report_.laws.end(), [](const LawCheck& law) { return !law.note.empty(); }))
        report_.laws.push_back({"second order", 0, 0, 0, true, "left out: the function has kinks here"});
      return;
    }
    // The gradient as a tape, and forward mode over it.
    VjpRequest request{wanted_, std::vector<bool>(tape_->outputs.size(), false), {}};
    request.live[0] = true;
    const TapePtr reverse = vjp(tape_, request);
    const Tensor one = full(tape_->output_type(0).shape, 1, Dtype::f64).materialized();
    std::vector<bool> varying = wanted_;
    varying.push_back(false);
    const TapePtr twice = jvp(reverse, varying);
    std::size_t first = reverse->outputs.size();  // where the tangents of the gradients begin
    for (std::size_t i = 0; i < tape_->outputs.size(); ++i) first += is_float(tape_->output_type(i).dtype);
    auto gradient_at = [&](const Values& values) {
      Tensors arguments = at(values);
      arguments.push_back(one);
      const Tensors results = run(*reverse, arguments);
      Values gradient;
      for (std::size_t i = 0; i < moved_.size(); ++i)
        gradient.push_back(results[tape_->outputs.size() + i].to_vector<double>());
      return gradient;
    };
    auto hessian_times = [&](const Values& v) {
      Tensors arguments = inputs_;
      arguments.push_back(one);
      const Tensors dots = as_tensors(v);
      arguments.insert(arguments.end(), dots.begin(), dots.end());
      const Tensors results = run(*twice, arguments);
      Values product;
      for (std::size_t i = 0; i < moved_.size(); ++i) product.push_back(results[first + i].to_vector<double>());
      return product;
    };
    const Values u = direction(), v = direction(), hu = hessian_times(u), hv = hessian_times(v);
    const double difference = five_point([&](double h) { return dot(gradient_at(along(v, h)), u); }, options_.step);
    const double scale = std::max({floor_, magnitude(hv, u), magnitude(hu, v)});
    add_law("second order: ⟨u, Hv⟩ = differences of ⟨∇f, u⟩ along v", dot(hv, u), difference, scale);
    add_law("symmetry: ⟨u, Hv⟩ = ⟨v, Hu⟩", dot(hv, u), dot(hu, v), scale);
    check_taylor(v, dot(gradient_, v), dot(v, hv));
  }

  // The rest of second order falls by eight when the step is halved, until it is lost in rounding.
  void check_taylor(const Values& v, double slope, double curvature) {
    auto rest = [&](double h) {
      return std::abs(loss_at(*tape_, at(along(v, h))) - report_.loss - h * slope - h * h / 2 * curvature);
    };
    const double rounding = 1e-12 * std::max(1.0, std::abs(report_.loss));
    double h = 10 * options_.step, before = rest(h), exponent = -1;
    LawCheck law{"Taylor: f(x + hv) − f(x) − h⟨∇f, v⟩ − h²⟨v, Hv⟩/2 falls as h³", before, 0, 0, true, {}};
    // Of the exponents the best that rounding allows: the rest may pass through zero at one of the steps, and where h³ and h⁴
    // nearly cancel, three comes late. A rest that is lost in rounding has fallen as fast as anyone can tell.
    for (int halvings = 0; halvings < 5; ++halvings) {
      const double now = rest(h /= 2);
      if (halvings == 0) law.b = now;
      exponent = std::max(exponent, now <= rounding ? 3 : std::log2((before + rounding) / (now - rounding)));
      if (now <= rounding) break;
      before = now;
    }
    law.error = law.b > rounding ? std::max(0.0, 3 - exponent) : 0;
    law.holds = law.error <= std::max(0.5, options_.tolerance);
    report_.laws.push_back(std::move(law));
  }
};

}  // namespace

Tensor in_f64(const Tensor& x, const Where& where) {
  if (x.is_recorded())
    throw Error("check_gradients: an argument is recorded, it has no numbers to move", where,
                "call it outside of jit, grad and scan");
  if (x.dtype() != Dtype::f32) return x.materialized();
  const auto values = x.data<float>(where);
  return Tensor::of(std::vector<double>(values.begin(), values.end()), x.shape(), where);
}

CheckReport check_tape(const TapePtr& tape, const Tensors& inputs, const std::vector<std::string>& names,
                       const CheckOptions& options) {
  return Checker(tape, inputs, names, options).check();
}

void throw_unless_passed(const CheckReport& report) {
  if (report.passed()) return;
  throw Error(
      "check_gradients: " + report.failure() + "\n" + to_string(report), report.where,
      "a derivative is wrong, or the function jumps here; gradient_report() gives the table whether it passes or not");
}

}  // namespace tapeloop::detail

namespace tapeloop {

bool CheckReport::passed() const { return failure().empty(); }

std::string CheckReport::failure() const {
  for (const TensorCheck& t : tensors)
    if (t.verdict == TensorCheck::Verdict::wrong)
      return fmt::format(
          "{} at {}: reverse mode gives {:.12g}, the difference quotient {:.12g}: relative error {:.3g}, tolerance "
          "{:.3g}",
          t.name, t.worst, t.derivative, t.difference, t.error, tolerance);
  for (const LawCheck& law : laws)
    if (!law.holds) return fmt::format("{}: {:.12g} against {:.12g}: error {:.3g}", law.law, law.a, law.b, law.error);
  return {};
}

std::string to_string(const CheckReport& report) {
  std::size_t width = 6;
  for (const TensorCheck& t : report.tensors) width = std::max(width, t.name.size());
  std::string text = fmt::format("    {:<{}}  {:<14} {:>6}  {:<10} {:>15} {:>15}  {}\n", "tensor", width, "type",
                                 "tried", "worst at", "derivative", "difference", "error");
  for (const TensorCheck& t : report.tensors) {
    using Verdict = TensorCheck::Verdict;
    const char* mark = t.verdict == Verdict::agrees ? "✓" : t.verdict == Verdict::kink ? "~" : "✗";
    text += fmt::format("  {} {:<{}}  {:<14} {:>6}", mark, t.name, width, to_string(t.type), t.tried);
    if (!t.worst.empty())
      text += fmt::format("  {:<10} {:>15.8g} {:>15.8g}  {:.1e}", t.worst, t.derivative, t.difference, t.error);
    if (t.kinks > 0)
      text += fmt::format("  {} kink{}, slopes {:.6g} and {:.6g} on either side", t.kinks, t.kinks > 1 ? "s" : "",
                          t.left, t.right);
    text += '\n';
  }
  for (const LawCheck& law : report.laws)
    text += law.note.empty() ? fmt::format("  {} {}  {:.1e}\n", law.holds ? "✓" : "✗", law.law, law.error)
                             : fmt::format("  ~ {}  {}\n", law.law, law.note);
  text.pop_back();
  return text;
}

}  // namespace tapeloop
