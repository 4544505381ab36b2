#include "ops/muon/muon.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "engine/executor.h"
#include "engine/random.h"
#include "memory/plan.h"
#include "ops/muon/muon_cpu.h"
#include "ops/muon/newton_schulz.h"
#include "ops/state_forms/state_forms.h"

namespace ingot {
namespace {

using Values = std::vector<double>;

std::vector<float> normals(std::size_t count, double deviation, std::uint64_t seed) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>(random_normal_pair(seed, 3, i)[0] * deviation);
  }
  return values;
}

// a [m, k] times b [k, n], b transposed when it is stored [n, k].
Values product(const Values& a, const Values& b, std::int64_t m, std::int64_t k, std::int64_t n,
               bool transposed) {
  Values c(m * n, 0.0);
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      for (std::int64_t p = 0; p < k; ++p) {
        c[i * n + j] += a[i * k + p] * (transposed ? b[j * k + p] : b[p * n + j]);
      }
    }
  }
  return c;
}

Values transposed(const Values& a, std::int64_t rows, std::int64_t columns) {
  Values t(a.size());
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) t[j * rows + i] = a[i * columns + j];
  }
  return t;
}

// The original's recipe in double, transposed so that rows <= columns.
Values orthogonal(Values x, std::int64_t rows, std::int64_t columns) {
  if (rows > columns)
    return transposed(orthogonal(transposed(x, rows, columns), columns, rows), columns, rows);
  double sum = 0;
  for (const double v : x) sum += v * v;
  for (double& v : x) v /= std::sqrt(sum);
  for (int iteration = 0; iteration < 5; ++iteration) {
    const Values a = product(x, x, rows, columns, rows, true);
    Values p = product(a, a, rows, rows, rows, false);
    for (std::size_t i = 0; i < p.size(); ++i) p[i] = -4.7750 * a[i] + 2.0315 * p[i];
    const Values change = product(p, x, rows, rows, columns, false);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = 3.4445 * x[i] + change[i];
  }
  return x;
}

double relative_error(const std::vector<float>& actual, const Values& expected) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    size += expected[i] * expected[i];
  }
  return std::sqrt(difference / size);
}

// Two matrices of 24 and 40 rows under one another, for each of `experts` experts.
constexpr std::int64_t kColumns = 32, kRows[] = {24, 40};

class Updater {
 public:
  Updater(StateForm weight, StateForm first, std::int64_t experts, int threads)
      : backend_(threads, cpu::muon_cpu_kernels()) {
    program_.begin(Part::update);
    const std::int64_t height = kRows[0] + kRows[1];
    const Shape shape = experts > 1 ? Shape{experts, height, kColumns} : Shape{height, kColumns};
    const StateTensors value = add_state(program_, "w", shape, weight, Role::weight);
    if (weight == StateForm::int8) {
      weight_.codes = value.values, weight_.scales = value.extra;
    } else {
      weight_.tensor = weight_.master = value.values;
      weight_.residual = value.extra;
    }
    std::int64_t offset = 0;
    for (std::int64_t expert = 0; expert < experts; ++expert) {
      for (const std::int64_t rows : kRows) {
        weight_.parts.push_back({"part", offset, {rows, kColumns}});
        offset += rows * kColumns;
      }
    }
    count_ = offset;
    weight_.gradient = program_.persistent("g", shape, DType::f32, Role::gradient);
    const StateTensors moment = add_state(program_, "m", shape, first, Role::optimizer_state);
    weight_.first_moment = moment.values, weight_.first_scales = moment.extra;
    scale_ = program_.persistent("scale", {1}, DType::f32, Role::input);
    skipped_ = program_.persistent("skipped", {1}, DType::f32, Role::input);
    muon(program_, weight_, scale_, skipped_, {.decay = 0.1, .rate = 2});
    BoundProgram bound(program_, backend_);
    const MemoryPlan plan = plan_memory(program_);
    executor_ = std::make_unique<Executor>(program_, std::move(bound), plan.offsets,
                                           plan.arena_bytes, backend_);
    set(scale_, 0.5f);
    state_.learning_rate = 0.01;
    set_weight(normals(count_, 0.1, 1));
  }

  void set(Tensor t, float value) { executor_->write(t, std::as_bytes(std::span(&value, 1))); }
  void skip(bool skipped) { set(skipped_, skipped ? 1.0f : 0.0f); }
  std::int64_t count() const { return count_; }

  std::byte* extra() const {
    const StateTensors state = weight_state(program_, weight_);
    return state.extra ? executor_->data(state.extra) : nullptr;
  }
  void set_weight(const std::vector<float>& values) {
    const StateTensors state = weight_state(program_, weight_);
    encode_state(state.form, layout_of(program_, state), values, executor_->data(state.values),
                 extra());
  }
  std::vector<float> get_weight() const {
    const StateTensors state = weight_state(program_, weight_);
    std::vector<float> values(count_);
    decode_state(state.form, layout_of(program_, state), executor_->data(state.values), extra(),
                 values);
    return values;
  }
  std::string bytes(Tensor t) const {
    std::string bytes(program_.info(t).bytes(), '\0');
    executor_->read(t, std::as_writable_bytes(std::span(bytes)));
    return bytes;
  }
  std::string all_bytes() const {
    const StateTensors state = weight_state(program_, weight_);
    return bytes(state.values) + bytes(weight_.first_moment);
  }
  void step(const std::vector<float>& gradient) {
    executor_->write(weight_.gradient, std::as_bytes(std::span(gradient)));
    executor_->run(Part::update, state_);
    ++state_.updates;
  }

 private:
  Program program_;
  cpu::CpuBackend backend_;
  Weight weight_;
  Tensor scale_, skipped_;
  StepState state_;
  std::int64_t count_ = 0;
  std::unique_ptr<Executor> executor_;
};

struct Case {
  StateForm weight, first;
  double error;  // of the way travelled
};

// bf16 products: five iterations, each rounded to 2^-9 and made larger by up to 3.4.
constexpr Case kCases[] = {{StateForm::f32, StateForm::f32, 0.03},
                           {StateForm::f32, StateForm::bf16, 0.03},
                           {StateForm::f32, StateForm::dynamic8, 0.05},
                           {StateForm::bf16_residual, StateForm::dynamic8, 0.05},
                           {StateForm::bf16, StateForm::f32, 0.1},
                           {StateForm::int8, StateForm::dynamic8, 0.3}};

TEST(Muon, EveryMatrixGoesTheReferencesWayInAllForms) {
  for (const Case& each : kCases) {
    for (const std::int64_t experts : {1, 3}) {
      Updater updater(each.weight, each.first, experts, 2);
      const std::vector<float> start = updater.get_weight();
      Values w(start.begin(), start.end()), m(w.size(), 0.0);
      for (int t = 0; t < 3; ++t) {
        const std::vector<float> gradient = normals(updater.count(), 1e-3, 10 + t);
        updater.step(gradient);
        std::int64_t first = 0;
        for (std::int64_t i = 0; i < 2 * experts; ++i) {
          const std::int64_t rows = kRows[i % 2], count = rows * kColumns;
          Values g(count);
          for (std::int64_t k = 0; k < count; ++k) {
            const double now = 0.05 * 0.5 * gradient[first + k];
            m[first + k] = 0.95 * m[first + k] + now;
            g[k] = 0.95 * m[first + k] + now;
          }
          const Values o = orthogonal(g, rows, kColumns);
          const double shape = std::sqrt(std::max(1.0, double(rows) / kColumns));
          for (std::int64_t k = 0; k < count; ++k) {
            w[first + k] -= 0.02 * (shape * o[k] + 0.1 * w[first + k]);
          }
          first += count;
        }
      }
      std::vector<float> way = updater.get_weight();
      for (std::size_t i = 0; i < way.size(); ++i) {
        way[i] -= start[i];
        w[i] -= start[i];
      }
      EXPECT_LT(relative_error(way, w), each.error)
          << name_of(each.weight) << " " << name_of(each.first) << " " << experts;
    }
  }
}

TEST(Muon, GivesTheSameBitsForAnyThreads) {
  for (const Case& each : kCases) {
    std::string one;
    for (const int threads : {1, 2, 3}) {
      Updater updater(each.weight, each.first, 3, threads);
      for (int t = 0; t < 2; ++t) updater.step(normals(updater.count(), 1e-3, 10 + t));
      if (threads == 1) one = updater.all_bytes();
      EXPECT_TRUE(updater.all_bytes() == one) << threads;
    }
  }
}

TEST(Muon, SkippedOrWithoutGradientNothingMovesButDecay) {
  Updater updater(StateForm::f32, StateForm::f32, 1, 2);
  const std::string before = updater.all_bytes();
  updater.skip(true);
  updater.step(normals(updater.count(), 1e-3, 1));
  EXPECT_TRUE(updater.all_bytes() == before);
  updater.skip(false);
  const std::vector<float> start = updater.get_weight();
  updater.step(std::vector<float>(updater.count(), 0.0f));
  const std::vector<float> decayed = updater.get_weight();
  for (std::size_t i = 0; i < start.size(); ++i) {
    EXPECT_NEAR(decayed[i], start[i] * (1 - 0.02 * 0.1), 1e-7);
  }
}

// What Newton-Schulz is for: all singular values near 1, that is |X X^T| near the identity.
TEST(NewtonSchulz, MakesRowsOrColumnsNearlyOrthogonal) {
  cpu::ThreadPool pool(2);
  for (const auto& [rows, columns] : {std::pair{24, 64}, std::pair{64, 24}, std::pair{33, 33}}) {
    const cpu::NewtonSchulz schulz(rows, columns, 2, cpu::isa());
    const std::vector<float> start = normals(rows * columns, 1.0 / std::sqrt(rows * columns), 5);
    std::vector<std::uint16_t> x(start.size());
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = float_to_bf16(start[i] * 0.9f);
    std::vector<std::byte> workspace(schulz.workspace_bytes() + 64);
    const auto misaligned = reinterpret_cast<std::uintptr_t>(workspace.data()) % 64;
    schulz.run(pool, x.data(), std::span(workspace).subspan((64 - misaligned) % 64));
    Values values(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) values[i] = bf16_to_float(x[i]);
    if (rows > columns) values = transposed(values, rows, columns);
    const std::int64_t side = std::min(rows, columns), depth = std::max(rows, columns);
    const Values gram = product(values, values, side, depth, side, true);
    double trace = 0, off = 0;
    for (std::int64_t i = 0; i < side; ++i) {
      trace += gram[i * side + i];
      for (std::int64_t j = 0; j < side; ++j) {
        if (i != j) off += gram[i * side + j] * gram[i * side + j];
      }
    }
    // Squares of singular values lie in [0.5, 1.4] but for the smallest of a square matrix.
    EXPECT_GT(trace / static_cast<double>(side), 0.6);
    EXPECT_LT(trace / static_cast<double>(side), 1.4);
    EXPECT_LT(std::sqrt(off / static_cast<double>(side)), 0.4);
  }
}

}  // namespace
}  // namespace ingot
