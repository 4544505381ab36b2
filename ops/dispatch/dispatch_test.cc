#include "ops/dispatch/dispatch.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "ops/dispatch/dispatch_cpu.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

using Integers = std::vector<std::int32_t>;

Integers as_integers(const std::vector<double>& values) { return {values.begin(), values.end()}; }

// Slots of one token name distinct experts, as a router's do.
Integers random_experts(std::int64_t tokens, std::int64_t slots, std::int64_t experts) {
  Integers chosen;
  std::uint32_t state = 12345;
  for (std::int64_t t = 0; t < tokens; ++t) {
    Integers all(experts);
    for (std::int64_t e = 0; e < experts; ++e) all[e] = static_cast<std::int32_t>(e);
    for (std::int64_t k = 0; k < slots; ++k) {
      state = state * 1664525 + 1013904223;
      std::swap(all[k], all[k + state / 65536 % (experts - k)]);
      chosen.push_back(all[k]);
    }
  }
  return chosen;
}

struct Sorted {
  Integers offsets, slot_of, row_of;
  bool operator==(const Sorted&) const = default;
};

Sorted sorted_by_stable_sort(const Integers& chosen, std::int64_t experts) {
  Sorted result;
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(chosen.size()); ++i) {
    result.slot_of.push_back(i);
  }
  std::stable_sort(result.slot_of.begin(), result.slot_of.end(),
                   [&](std::int32_t a, std::int32_t b) { return chosen[a] < chosen[b]; });
  result.row_of.resize(chosen.size());
  for (std::size_t row = 0; row < chosen.size(); ++row) {
    result.row_of[result.slot_of[row]] = static_cast<std::int32_t>(row);
  }
  result.offsets.assign(experts + 1, 0);
  for (const std::int32_t e : chosen) ++result.offsets[e + 1];
  for (std::int64_t e = 0; e < experts; ++e) result.offsets[e + 1] += result.offsets[e];
  return result;
}

Sorted dispatched(const Integers& chosen, std::int64_t slots, std::int64_t experts, int threads) {
  OpCheck check(DType::f32, cpu::dispatch_cpu_kernels(), threads);
  const auto tokens = static_cast<std::int64_t>(chosen.size()) / slots;
  const Dispatch d =
      dispatch(check.program(), check.integers("chosen", {tokens, slots}, chosen), experts);
  check.result(d.offsets);
  check.run();
  return {as_integers(check.value(d.offsets)), as_integers(check.value(d.slot_of)),
          as_integers(check.value(d.row_of))};
}

TEST(Dispatch, IsAStableSortByExpertForAnyNumberOfThreads) {
  struct Case {
    std::int64_t tokens, slots, experts;
  };
  for (const Case c : {Case{1, 1, 1}, Case{3, 2, 5}, Case{127, 3, 7}, Case{128, 4, 4},
                       Case{129, 1, 300}, Case{1000, 6, 64}}) {
    const Integers chosen = random_experts(c.tokens, c.slots, c.experts);
    const Sorted expected = sorted_by_stable_sort(chosen, c.experts);
    for (const int threads : {1, 2, 3}) {
      EXPECT_EQ(dispatched(chosen, c.slots, c.experts, threads), expected);
    }
  }
}

TEST(Dispatch, AllTokensToOneExpertAndNoneToTheOthers) {
  const Integers chosen(200, 2);
  const Sorted sorted = dispatched(chosen, 1, 4, 2);
  EXPECT_EQ(sorted.offsets, (Integers{0, 0, 0, 200, 200}));
  EXPECT_EQ(sorted.slot_of, sorted.row_of);
}

TEST(Dispatch, ExpertsOfOtherRanksGetNoRow) {
  const Sorted sorted = dispatched({1, -1, 7, 0, 1, 0}, 2, 2, 2);
  EXPECT_EQ(sorted.offsets, (Integers{0, 2, 4}));
  EXPECT_EQ(sorted.row_of, (Integers{2, -1, -1, 0, 3, 1}));
  EXPECT_EQ((Integers{sorted.slot_of.begin(), sorted.slot_of.begin() + 4}), (Integers{3, 5, 0, 4}));
}

TEST(Permute, CopiesTokensToTheirRowsAndSumsTheirGradients) {
  for (const cpu::Isa isa : cpu::kAllIsas) {
    if (!cpu::supports(isa)) continue;
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      for (const std::int64_t columns : {1, 16, 63, 64, 65, 200}) {
        const std::int64_t tokens = 7, slots = 3, experts = 5;
        const Integers chosen = random_experts(tokens, slots, experts);
        const Sorted sorted = sorted_by_stable_sort(chosen, experts);
        OpCheck check(dtype, cpu::dispatch_cpu_kernels(), 2, isa);
        const Tensor x = check.leaf("x", {tokens, columns});
        const Dispatch d =
            dispatch(check.program(), check.integers("chosen", {tokens, slots}, chosen), experts);
        check.output(permute(check.program(), x, d));
        check.run();
        // The gradient: three numbers summed in fp32, rounded once (8 and 11 significant bits).
        const double rounding = dtype == DType::bf16  ? 1.0 / 256
                                : dtype == DType::f16 ? 1.0 / 2048
                                                      : 1e-6;
        check.expect_matches(
            [&](const Leaves& leaves) {
              std::vector<double> rows;
              for (const std::int32_t pair : sorted.slot_of) {
                const auto token = leaves[0].begin() + pair / slots * columns;
                rows.insert(rows.end(), token, token + columns);
              }
              return rows;
            },
            {.value = 0, .gradient = rounding});
      }
    }
  }
}

// The gradient of x meets another one already there, and both are summed before one rounding.
TEST(Permute, GradientAddsToWhatIsThere) {
  OpCheck check(DType::f32, cpu::dispatch_cpu_kernels());
  const Tensor x = check.leaf("x", {2, 3});
  const Dispatch d = dispatch(check.program(), check.integers("chosen", {2, 2}, {0, 1, 1, 0}), 2);
  check.output(permute(check.program(), x, d));
  check.output(permute(check.program(), x, d));
  check.run();
  const std::vector<double>& up = check.upstream();
  const std::vector<double> gradient = check.gradient("x");
  // Rows in order: token 0, 1 (expert 0), 0, 1 (expert 1).
  for (int i = 0; i < 3; ++i) {
    EXPECT_NEAR(gradient[i], up[i] + up[6 + i] + up[12 + i] + up[18 + i], 1e-6);
    EXPECT_NEAR(gradient[3 + i], up[3 + i] + up[9 + i] + up[15 + i] + up[21 + i], 1e-6);
  }
}

TEST(Permute, TakesColumnSlices) {
  OpCheck check(DType::bf16, cpu::dispatch_cpu_kernels());
  const Tensor x = check.leaf("x", {3, 10});
  const Dispatch d = dispatch(check.program(), check.integers("chosen", {3, 1}, {1, 0, 1}), 2);
  check.output(permute(check.program(), x.slice(0, 3), d));
  check.output(permute(check.program(), x.slice(3, 7), d));
  check.run();
  check.expect_matches(
      [](const Leaves& leaves) {
        std::vector<double> rows;
        for (const int token : {1, 0, 2}) {
          for (int i = 0; i < 3; ++i) rows.push_back(leaves[0][token * 10 + i]);
        }
        for (const int token : {1, 0, 2}) {
          for (int i = 3; i < 10; ++i) rows.push_back(leaves[0][token * 10 + i]);
        }
        return rows;
      },
      {.value = 0, .gradient = 1.0 / 256});
}

TEST(Permute, RowsThatAreNotInUseStayUntouched) {
  OpCheck check(DType::f32, cpu::dispatch_cpu_kernels());
  const Tensor x = check.leaf("x", {2, 2}, {1, 2, 3, 4}, DType::f32);
  const Tensor weights = check.leaf("weights", {2, 2}, {5, 6, 7, 8}, DType::f32);
  // Expert 9 is on another rank.
  const Dispatch d = dispatch(check.program(), check.integers("chosen", {2, 2}, {9, 1, 0, 9}), 2);
  const Tensor rows = permute(check.program(), x, d);
  const Tensor row_weights = permute_weights(check.program(), weights, d);
  check.output(rows);
  check.output(row_weights);
  check.run();
  EXPECT_EQ(check.value(rows), (std::vector<double>{3, 4, 1, 2, 0, 0, 0, 0}));
  EXPECT_EQ(check.value(row_weights), (std::vector<double>{7, 6, 0, 0}));
  const std::vector<double>& up = check.upstream();
  EXPECT_EQ(check.gradient("x"), (std::vector<double>{up[2], up[3], up[0], up[1]}));
  EXPECT_EQ(check.gradient("weights"), (std::vector<double>{0, up[9], up[8], 0}));
}

TEST(PermuteWeights, FollowTheirRowsThereAndBack) {
  const std::int64_t tokens = 1500, slots = 3, experts = 8;  // more than one tile of pairs
  const Integers chosen = random_experts(tokens, slots, experts);
  const Sorted sorted = sorted_by_stable_sort(chosen, experts);
  OpCheck check(DType::f32, cpu::dispatch_cpu_kernels());
  const Tensor weights = check.leaf("weights", {tokens, slots});
  const Dispatch d =
      dispatch(check.program(), check.integers("chosen", {tokens, slots}, chosen), experts);
  check.output(permute_weights(check.program(), weights, d));
  check.output(permute_weights(check.program(), weights, d));  // gradients add
  check.run();
  check.expect_matches(
      [&](const Leaves& leaves) {
        std::vector<double> rows;
        for (int use = 0; use < 2; ++use) {
          for (const std::int32_t pair : sorted.slot_of) rows.push_back(leaves[0][pair]);
        }
        return rows;
      },
      {.value = 0, .gradient = 1e-6});
}

}  // namespace
}  // namespace ingot
