#include "ops/cross_entropy/cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/cross_entropy/cross_entropy_cpu.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

constexpr std::int64_t kTokens = 21, kHidden = 24;

std::vector<std::int32_t> targets_below(std::int64_t vocabulary) {
  std::vector<std::int32_t> targets;
  for (std::int64_t i = 0; i < kTokens; ++i) {
    targets.push_back(i % 5 == 3 ? -1 : static_cast<std::int32_t>((i * 7 + 2) % vocabulary));
  }
  return targets;
}

// Sum of losses and their number.
double loss_sum(const Leaves& leaves, const std::vector<std::int32_t>& targets,
                std::int64_t vocabulary) {
  double total = 0;
  for (std::int64_t t = 0; t < kTokens; ++t) {
    if (targets[t] < 0) continue;
    double sum = 0, own = 0;
    for (std::int64_t v = 0; v < vocabulary; ++v) {
      double logit = 0;
      for (std::int64_t k = 0; k < kHidden; ++k) {
        logit += leaves[0][t * kHidden + k] * leaves[1][v * kHidden + k];
      }
      sum += std::exp(logit);
      if (v == targets[t]) own = logit;
    }
    total += std::log(sum) - own;
  }
  return total;
}

// The op is its own loss, so its gradients are compared with differences of `factor` times the sum.
void expect_gradients(OpCheck& check, const Leaves& leaves,
                      const std::vector<std::int32_t>& targets, std::int64_t vocabulary,
                      double factor, double tolerance) {
  const char* names[] = {"hidden", "weight"};
  for (int leaf = 0; leaf < 2; ++leaf) {
    const std::vector<double> got = check.gradient(names[leaf]);
    double most = 0;
    std::vector<double> expected(got.size());
    for (std::size_t i = 0; i < got.size(); i += 3) {
      Leaves moved = leaves;
      moved[leaf][i] += 1e-5;
      const double up = loss_sum(moved, targets, vocabulary);
      moved[leaf][i] -= 2e-5;
      expected[i] = factor * (up - loss_sum(moved, targets, vocabulary)) / 2e-5;
      most = std::max(most, std::fabs(expected[i]));
    }
    for (std::size_t i = 0; i < got.size(); i += 3) {
      ASSERT_NEAR(got[i], expected[i], tolerance * most) << names[leaf] << " " << i;
    }
  }
}

TEST(CrossEntropy, GivesLossAndBothGradientsWithoutWholeLogits) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const std::int64_t vocabulary : {5, 64, 77}) {
      for (const bool main : {true, false}) {
        OpCheck check(dtype, cpu::cross_entropy_cpu_kernels());
        check.state().loss_scale = 4;
        check.set_slot(step_slot::kLossFactor, 1.0 / 16);
        check.set_slot("another factor", 0.3 / 15);
        const Tensor hidden = check.leaf("hidden", {kTokens, kHidden});
        const Tensor weight = check.weight("weight", {vocabulary, kHidden});
        const auto targets = targets_below(vocabulary);
        const Tensor ids = check.integers("targets", {kTokens}, targets);
        const Tensor loss = cross_entropy(
            check.program(), hidden, weight, ids,
            {.factor = main ? step_slot::kLossFactor : "another factor", .chunk_rows = 8});
        check.run();
        const Leaves leaves = {check.value(hidden), check.value(weight)};
        const std::vector<double> sums = check.value(loss);
        EXPECT_NEAR(sums[0], loss_sum(leaves, targets, vocabulary), 1e-5 * std::fabs(sums[0]));
        EXPECT_EQ(sums[1], 17);
        const double factor = main ? 4.0 / 16 : 4.0 * 0.3 / 15;
        // d_logits are rounded to bf16 before the products, d_hidden after: two half units.
        expect_gradients(check, leaves, targets, vocabulary, factor,
                         dtype == DType::f32 ? 1e-5 : 1.0 / 128);
      }
    }
  }
}

TEST(CrossEntropy, StaysFiniteWithLargeLogits) {
  OpCheck check(DType::f32, cpu::cross_entropy_cpu_kernels());
  const Tensor hidden = check.leaf("hidden", {kTokens, kHidden}, 100);
  const Tensor weight = check.weight("weight", {40, kHidden}, 100);
  const Tensor ids = check.integers("targets", {kTokens}, targets_below(40));
  const Tensor loss = cross_entropy(check.program(), hidden, weight, ids);
  check.run();
  EXPECT_TRUE(std::isfinite(check.value(loss)[0]));
  for (const double g : check.gradient("weight")) EXPECT_TRUE(std::isfinite(g));
}

TEST(CrossEntropy, ChoosesChunksThatKeepTheLogitsSmall) {
  EXPECT_EQ(chunk_rows_for(2048, 512, 8192), 512);
  EXPECT_EQ(chunk_rows_for(4096, 7168, 129280), 512);
  EXPECT_EQ(chunk_rows_for(10, 512, 8192), 10);
  EXPECT_EQ(chunk_rows_for(2048, 512, 256), 2048);
}

}  // namespace
}  // namespace ingot
