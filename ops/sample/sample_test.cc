#include "ops/sample/sample.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "ops/sample/pick_token.h"
#include "ops/sample/sample_cpu.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

TEST(Sample, PicksEachRowByItsOwnSettingsForAnyNumberOfThreads) {
  constexpr std::int64_t kSequences = 7, kVocabulary = 999;
  std::vector<SampleRow> rows;
  for (std::uint64_t i = 0; i < kSequences; ++i) {
    rows.push_back({.temperature = 0.3 * static_cast<double>(i),
                    .top_p = 0.9,
                    .top_k = static_cast<std::int64_t>(100 * (i % 3)),
                    .seed = 5,
                    .text = i,
                    .draw = 3 * i,
                    .wants_probability = 1});
  }
  for (const int threads : {1, 2, 3}) {
    OpCheck check(DType::f32, cpu::sample_cpu_kernels(), threads);
    const Tensor logits = check.leaf("logits", {kSequences, kVocabulary}, 5);
    const auto row_bytes = static_cast<std::int64_t>(sizeof(SampleRow));
    const Tensor settings =
        check.program().persistent("rows", {kSequences, row_bytes}, DType::u8, Role::input);
    check.bytes_of(settings, std::as_bytes(std::span(rows)));
    const Sampled sampled = sample(check.program(), logits, settings);
    check.result(sampled.tokens);
    check.run();
    const std::vector<double> all = check.value(logits), tokens = check.value(sampled.tokens);
    const std::vector<double> probabilities = check.value(sampled.log_probability);
    std::vector<std::int32_t> order(kVocabulary);
    std::vector<double> weights(kVocabulary);
    for (std::int64_t i = 0; i < kSequences; ++i) {
      const std::vector<float> row(all.begin() + i * kVocabulary,
                                   all.begin() + (i + 1) * kVocabulary);
      const Picked picked = pick_token(row, rows[i], order, weights);
      EXPECT_EQ(tokens[i], picked.token) << i;
      EXPECT_EQ(static_cast<float>(probabilities[i]), picked.log_probability) << i;
    }
  }
}

TEST(Sample, RefusesRowsOfAnotherSize) {
  Program program;
  const Tensor logits = program.activation("logits", {2, 9}, DType::f32);
  EXPECT_THROW(sample(program, logits, program.activation("rows", {2, 8}, DType::u8)),
               std::logic_error);
}

}  // namespace
}  // namespace ingot
