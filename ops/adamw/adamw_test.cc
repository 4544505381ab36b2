#include "ops/adamw/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "engine/numbers/random.h"
#include "ops/adamw/adamw_cpu.h"
#include "ops/testing/update_run.h"

namespace ingot {
namespace {

UpdateForms with_second_moment(UpdateForms forms) {
  if (!forms.second) forms.second = StateForm::f32;
  return forms;
}

class Updater : public UpdateRun {
 public:
  Updater(const UpdateForms& forms, const Shape& shape, const AdamwOptions& options,
          int threads = 2, cpu::Isa isa = cpu::isa(), std::vector<WeightPart> parts = {})
      : UpdateRun(
            with_second_moment(forms), shape, std::move(parts),
            [options](Program& program, const Weight& weight, Tensor scale, Tensor skipped) {
              adamw(program, weight, scale, skipped, options);
            },
            cpu::adamw_cpu_kernels(), threads, isa) {}
};

// The paper's algorithm in double precision.
struct Reference {
  std::vector<double> w, m, v;
  int t = 0;

  void step(const std::vector<float>& gradient, double scale, double lr,
            const AdamwOptions& options) {
    ++t;
    m.resize(w.size());
    v.resize(w.size());
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double g = scale * gradient[i];
      m[i] = options.beta1 * m[i] + (1 - options.beta1) * g;
      v[i] = options.beta2 * v[i] + (1 - options.beta2) * g * g;
      const double u = m[i] / (1 - std::pow(options.beta1, t)) /
                       (std::sqrt(v[i] / (1 - std::pow(options.beta2, t))) + options.epsilon);
      w[i] -= lr * (u + options.decay * w[i]);
    }
  }
};

constexpr AdamwOptions kOptions{.decay = 0.1};

TEST(Adamw, Fp32MatchesTheDoubleReferenceAtEveryLevelAndOddSizes) {
  for (const cpu::Isa isa : cpu::kAllIsas) {
    if (!cpu::supports(isa)) continue;
    for (const Shape shape : {Shape{1}, Shape{17}, Shape{3, 129}, Shape{2, 3, 40}, Shape{300}}) {
      Updater updater({}, shape, kOptions, 2, isa);
      Reference reference;
      const auto count = static_cast<std::size_t>(shape.elements());
      const std::vector<float> start = normals(count, 0.02, 1);
      reference.w.assign(start.begin(), start.end());
      updater.set_weight(start);
      updater.scale_gradients_by(0.5f);
      updater.state().learning_rate = 1e-3;
      for (int t = 0; t < 5; ++t) {
        const std::vector<float> gradient = normals(count, 1e-3, 10 + t);
        updater.step(gradient);
        reference.step(gradient, 0.5, 1e-3, kOptions);
      }
      // A handful of fp32 roundings of each.
      EXPECT_LT(relative_error(updater.weight(), reference.w), 1e-6);
      EXPECT_LT(relative_error(updater.first_moment(), reference.m), 1e-6);
      EXPECT_LT(relative_error(updater.second_moment(), reference.v), 1e-6);
    }
  }
}

struct FormCase {
  const char* name;
  UpdateForms forms;
  double weight_error;  // of the way travelled in 20 steps, relative to its length
};

// Weights of 0.02 move by 20 * 1e-3 in the mean direction. bf16 steps there are 1.2e-4, int8 steps
// 3.5 deviations / 127 = 5.5e-4 of which stochastic rounding leaves sqrt(20 / 4) or less.
const FormCase kFormCases[] = {
    {"master_and_bf16_copy", {.copy = DType::bf16}, 1e-5},
    {"master_and_f16_copy", {.copy = DType::f16}, 1e-5},
    {"bf16_weight", {.weight = StateForm::bf16}, 0.03},
    {"bf16_residual_weight", {.weight = StateForm::bf16_residual}, 1e-3},
    {"int8_weight", {.weight = StateForm::int8}, 0.12},
    {"bf16_moments", {.first = StateForm::bf16, .second = StateForm::bf16}, 0.01},
    {"int8_moments", {.first = StateForm::dynamic8, .second = StateForm::log8}, 0.02},
    {"bf16_gradient", {.gradient = DType::bf16}, 0.005},
};

TEST(Adamw, EveryFormTravelsWithFp32) {
  const Shape shape{16, 300};
  const auto count = static_cast<std::size_t>(shape.elements());
  const std::vector<float> start = normals(count, 0.02, 1), drift = normals(count, 1, 2);
  for (const FormCase& each : kFormCases) {
    Updater updater(each.forms, shape, kOptions);
    updater.set_weight(start);
    const std::vector<float> begin = updater.weight();
    Reference reference;
    reference.w.assign(begin.begin(), begin.end());
    updater.state().learning_rate = 1e-3;
    for (int t = 0; t < 20; ++t) {
      std::vector<float> gradient = normals(count, 1, 10 + t);
      for (std::size_t i = 0; i < count; ++i) gradient[i] += 2 * drift[i];
      updater.step(gradient);
      reference.step(gradient, 1, 1e-3, kOptions);
    }
    std::vector<float> way = updater.weight();
    std::vector<double> expected = reference.w;
    for (std::size_t i = 0; i < count; ++i) {
      way[i] -= begin[i];
      expected[i] -= begin[i];
    }
    EXPECT_LT(relative_error(way, expected), each.weight_error) << each.name;
    if (each.forms.copy != DType::f32) {
      const std::vector<float> master = updater.weight(), copy = updater.copy();
      for (std::size_t i = 0; i < count; ++i) {
        EXPECT_NEAR(copy[i], master[i], std::fabs(master[i]) / 256);
      }
    }
  }
}

TEST(Adamw, EveryFormGivesTheSameBitsForAnyThreads) {
  const Shape shape{70, 300};
  const auto count = static_cast<std::size_t>(shape.elements());
  for (const FormCase& each : kFormCases) {
    std::string one;
    for (const int threads : {1, 2, 3}) {
      Updater updater(each.forms, shape, kOptions, threads);
      updater.set_weight(normals(count, 0.02, 1));
      updater.state().learning_rate = 1e-3;
      for (int t = 0; t < 2; ++t) updater.step(normals(count, 1, 10 + t));
      if (threads == 1) one = updater.bytes();
      EXPECT_EQ(updater.bytes() == one, true) << each.name << ", " << threads << " threads";
    }
  }
}

// Rows [first, first + rows) and columns [column, column + columns) of a matrix `wide` across.
std::vector<float> block(const std::vector<float>& from, std::size_t wide, std::size_t first,
                         std::size_t rows, std::size_t column, std::size_t columns) {
  std::vector<float> values;
  for (std::size_t row = first; row < first + rows; ++row) {
    const auto begin = from.begin() + static_cast<std::ptrdiff_t>(row * wide + column);
    values.insert(values.end(), begin, begin + static_cast<std::ptrdiff_t>(columns));
  }
  return values;
}

// A tensor "a" of [70, 300] whole, in blocks, and below another in one weight.
TEST(Adamw, RoundsAWeightAlikeHoweverAProgramCutsIt) {
  const std::vector<float> start = normals(70 * 300, 0.02, 1);
  const std::vector<float> gradients[] = {normals(70 * 300, 1, 2), normals(70 * 300, 1, 3)};
  const AdamwOptions slow{.beta2 = 0.999};  // second moments round stochastically
  struct Cut {
    std::int64_t first, rows, column, columns;
  };
  for (const StateForm form : {StateForm::bf16, StateForm::int8}) {
    const UpdateForms forms{.weight = form, .second = StateForm::log8};
    // Decoded weight and second moment of "a" in a weight that begins with `above` other rows.
    const auto run = [&](const Cut& cut, std::int64_t above) {
      std::vector<WeightPart> parts;
      if (above > 0) parts.push_back({"b", 0, {above, cut.columns}});
      parts.push_back({.name = "a",
                       .offset = above * cut.columns,
                       .shape = {cut.rows, cut.columns},
                       .whole = {70, 300},
                       .first = {cut.first, cut.column}});
      Updater updater(forms, {above + cut.rows, cut.columns}, slow, 2, cpu::isa(), parts);
      const auto below = [&](const std::vector<float>& whole) {
        std::vector<float> values(above * cut.columns, 0.01f);
        const std::vector<float> own =
            block(whole, 300, cut.first, cut.rows, cut.column, cut.columns);
        values.insert(values.end(), own.begin(), own.end());
        return values;
      };
      updater.set_weight(below(start));
      updater.state().learning_rate = 1e-3;
      for (const std::vector<float>& gradient : gradients) updater.step(below(gradient));
      std::vector<float> both;
      for (const std::vector<float>& state : {updater.weight(), updater.second_moment()}) {
        both.insert(both.end(), state.begin() + above * cut.columns, state.end());
      }
      return both;
    };
    const std::vector<float> whole = run({0, 70, 0, 300}, 0);
    EXPECT_EQ(run({0, 70, 0, 300}, 24), whole) << "below other rows, " << name_of(form);
    for (const Cut& cut : {Cut{0, 41, 0, 300}, Cut{41, 29, 0, 300}, Cut{0, 70, 0, 128},
                           Cut{0, 70, 128, 172}, Cut{13, 20, 128, 128}}) {
      std::vector<float> expected = block(whole, 300, cut.first, cut.rows, cut.column, cut.columns);
      const std::vector<float> moment =
          block(whole, 300, 70 + cut.first, cut.rows, cut.column, cut.columns);
      expected.insert(expected.end(), moment.begin(), moment.end());
      EXPECT_EQ(run(cut, 0), expected) << cut.first << " " << cut.column << " " << name_of(form);
    }
  }
}

TEST(Adamw, ASkippedUpdateChangesNothing) {
  for (const FormCase& each : kFormCases) {
    Updater updater(each.forms, {4, 130}, kOptions);
    updater.set_weight(normals(4 * 130, 0.02, 1));
    updater.state().learning_rate = 1e-3;
    const std::vector<float> gradient = normals(4 * 130, 1, 2);
    updater.step(gradient);
    const std::string before = updater.bytes();
    updater.skip(true);
    updater.step(gradient);
    updater.skip(false);
    EXPECT_TRUE(updater.bytes() == before) << each.name;
  }
}

// As the test of the forms, but stored anew in each of 60 steps: the last update (w moves by it: lr
// 1, no decay) against the exact one. The first moment remembers about five roundings, so errors
// are sqrt(5) times those of one (memory.md C2: 0.017, 0.040, 0.18).
TEST(Adamw, EightBitMomentsStaySafeOverManySteps) {
  struct Limit {
    double sigma, error;
  };
  for (const Limit limit : {Limit{0.5, 0.04}, Limit{1.5, 0.1}, Limit{3.0, 0.4}}) {
    const Shape shape{64, 1024};
    const auto count = static_cast<std::size_t>(shape.elements());
    Updater updater({.first = StateForm::dynamic8, .second = StateForm::log8}, shape,
                    {.epsilon = 1e-20});
    std::vector<double> scale(count), zero(count, 0.0);
    for (std::size_t i = 0; i < count; ++i) {
      scale[i] = std::exp(limit.sigma * random_normal_pair(9, 9, i)[0]) * 1e-3;
    }
    Reference reference{.w = zero};
    updater.state().learning_rate = 1;
    for (int t = 0; t < 60; ++t) {
      std::vector<float> gradient = normals(count, 1, 100 + t);
      for (std::size_t i = 0; i < count; ++i) gradient[i] *= static_cast<float>(scale[i]);
      reference.w = zero;
      updater.set_weight(std::vector<float>(count, 0.0f));
      updater.step(gradient);
      reference.step(gradient, 1, 1, {.epsilon = 1e-20});
    }
    const std::vector<float> update = updater.weight();
    double most = 0, exact = 0;
    for (std::size_t i = 0; i < count; ++i) {
      most = std::max(most, std::fabs(double{update[i]}));
      exact = std::max(exact, std::fabs(reference.w[i]));
    }
    const double error = relative_error(update, reference.w);
    EXPECT_LE(error, limit.error) << limit.sigma;
    EXPECT_LE(most, (limit.sigma < 2 ? 1.2 : 2.0) * exact) << limit.sigma;
  }
}

// With a slow average (beta2 0.999) a second moment moves by less than a code a step. It has to get
// there all the same: the gradient becomes a tenth, and after 3000 steps v is 0.01 of what it was,
// plus what 0.999^3000 leaves of the rest.
TEST(Adamw, SlowSecondMomentsDoNotStandStill) {
  for (const StateForm second : {StateForm::bf16, StateForm::log8}) {
    const std::size_t count = 1024;
    constexpr AdamwOptions kSlow{.beta2 = 0.999};
    Updater updater({.second = second}, {8, 128}, kSlow);
    updater.state().learning_rate = 0;
    std::vector<float> gradient(count);
    const auto fill = [&](float size) {
      for (std::size_t i = 0; i < count; ++i) {
        gradient[i] = size * static_cast<float>(std::pow(10.0, -3.0 * (i % 128) / 127));
      }
    };
    fill(10);
    for (int t = 0; t < 1000; ++t) updater.step(gradient);
    fill(1);
    for (int t = 0; t < 3000; ++t) updater.step(gradient);
    const double kept = std::pow(0.999, 3000) * (1 - std::pow(0.999, 1000)) * 100;
    const double expected = kept + 1 - std::pow(0.999, 3000);
    const std::vector<float> v = updater.second_moment();
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) {
      sum += v[i] / (double{gradient[i]} * gradient[i]) / static_cast<double>(count);
    }
    EXPECT_NEAR(sum, expected, 0.1 * expected) << name_of(second);
  }
}

}  // namespace
}  // namespace ingot
