#include "ops/muon/muon.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "ops/muon/muon_cpu.h"
#include "ops/muon/newton_schulz.h"
#include "ops/testing/update_run.h"

namespace ingot {
namespace {

using Values = std::vector<double>;

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

// Two matrices of 24 and 40 rows under one another, for each of `experts` experts.
constexpr std::int64_t kColumns = 32, kRows[] = {24, 40};

constexpr std::int64_t kHeight = kRows[0] + kRows[1];

std::vector<WeightPart> matrices(std::int64_t experts) {
  std::vector<WeightPart> parts;
  std::int64_t offset = 0;
  for (std::int64_t expert = 0; expert < experts; ++expert) {
    for (const std::int64_t rows : kRows) {
      parts.push_back({"part", offset, {rows, kColumns}});
      offset += rows * kColumns;
    }
  }
  return parts;
}

class Updater : public UpdateRun {
 public:
  Updater(StateForm weight, StateForm first, std::int64_t experts, int threads)
      : UpdateRun(
            {.weight = weight, .first = first},
            experts > 1 ? Shape{experts, kHeight, kColumns} : Shape{kHeight, kColumns},
            matrices(experts),
            [](Program& program, const Weight& weight, Tensor scale, Tensor skipped) {
              muon(program, weight, scale, skipped, {.decay = 0.1, .rate = 2});
            },
            cpu::muon_cpu_kernels(), threads),
        count_(experts * kHeight * kColumns) {
    scale_gradients_by(0.5f);
    state().learning_rate = 0.01;
    set_weight(normals(count_, 0.1, 1));
  }

  std::int64_t count() const { return count_; }

 private:
  std::int64_t count_;
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

// The published form divides by the norm and 1e-7: what is far smaller moves its matrix by less.
TEST(Muon, AGradientThatHasStoppedMovesItsMatrixLessAndLess) {
  const auto way = [](double size) {
    Updater updater(StateForm::f32, StateForm::f32, 1, 2);
    const std::vector<float> start = updater.weight();
    updater.step(normals(updater.count(), size, 10));
    const std::vector<float> end = updater.weight();
    double squares = 0;
    for (std::size_t i = 0; i < start.size(); ++i) {
      const double decayed = start[i] * (1 - 0.01 * 2 * 0.1);
      squares += std::pow(end[i] - decayed, 2);
    }
    return std::sqrt(squares);
  };
  const double full = way(1e-3);
  EXPECT_LT(way(1e-12), 0.05 * full);
  EXPECT_LT(way(0), 1e-5 * full);  // the decay alone, rounded to fp32
  EXPECT_GT(way(1e-5), 0.9 * full);
}

TEST(Muon, EveryMatrixGoesTheReferencesWayInAllForms) {
  for (const Case& each : kCases) {
    for (const std::int64_t experts : {1, 3}) {
      Updater updater(each.weight, each.first, experts, 2);
      const std::vector<float> start = updater.weight();
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
      std::vector<float> way = updater.weight();
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
      if (threads == 1) one = updater.bytes();
      EXPECT_TRUE(updater.bytes() == one) << threads;
    }
  }
}

TEST(Muon, SkippedOrWithoutGradientNothingMovesButDecay) {
  Updater updater(StateForm::f32, StateForm::f32, 1, 2);
  const std::string before = updater.bytes();
  updater.skip(true);
  updater.step(normals(updater.count(), 1e-3, 1));
  EXPECT_TRUE(updater.bytes() == before);
  updater.skip(false);
  const std::vector<float> start = updater.weight();
  updater.step(std::vector<float>(updater.count(), 0.0f));
  const std::vector<float> decayed = updater.weight();
  for (std::size_t i = 0; i < start.size(); ++i) {
    EXPECT_NEAR(decayed[i], start[i] * (1 - 0.02 * 0.1), 1e-7);
  }
}

// Parts are matrices of their own, and round like that.
TEST(Muon, RoundsAFusedWeightLikeItsParts) {
  const std::vector<float> start = normals(kHeight * kColumns, 0.1, 1);
  const std::vector<float> gradient = normals(kHeight * kColumns, 1e-3, 2);
  const auto run = [&](std::int64_t first, std::int64_t rows, std::vector<WeightPart> parts) {
    UpdateRun updater(
        {.weight = StateForm::bf16}, {rows, kColumns}, std::move(parts),
        [](Program& program, const Weight& weight, Tensor scale, Tensor skipped) {
          muon(program, weight, scale, skipped, {});
        },
        cpu::muon_cpu_kernels(), 2);
    const auto of = [&](const std::vector<float>& all) {
      const auto begin = all.begin() + first * kColumns;
      return std::vector<float>(begin, begin + rows * kColumns);
    };
    updater.set_weight(of(start));
    updater.state().learning_rate = 0.01;
    updater.step(of(gradient));
    return updater.weight();
  };
  const WeightPart first{"first", 0, {kRows[0], kColumns}};
  const WeightPart second{"second", kRows[0] * kColumns, {kRows[1], kColumns}};
  std::vector<float> alone = run(0, kRows[0], {first});
  const std::vector<float> other = run(kRows[0], kRows[1], {{"second", 0, {kRows[1], kColumns}}});
  alone.insert(alone.end(), other.begin(), other.end());
  EXPECT_EQ(run(0, kHeight, {first, second}), alone);
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
