#include "ops/embedding/embedding.h"

#include <gtest/gtest.h>

#include "ops/embedding/embedding_cpu.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

constexpr double kBf16Rounding = 1.0 / 256;  // relative, 8 significant bits
constexpr double kF16Rounding = 1.0 / 2048;  // 11 significant bits
constexpr double kF32Sum = 1e-6;             // some ten fp32 roundings

double rounding(DType dtype) {
  return dtype == DType::bf16 ? kBf16Rounding : dtype == DType::f16 ? kF16Rounding : kF32Sum;
}

// Repeated ids, padding, ids of no row, first and last row.
const std::vector<std::int32_t> kIds = {3, 0, 3, -1, 16, 3, 8, 0, -100, 17, 1 << 30, 5};
constexpr std::int64_t kVocabulary = 17;

std::vector<double> gather(const std::vector<double>& table, std::int64_t columns) {
  std::vector<double> y(kIds.size() * columns);
  for (std::size_t t = 0; t < kIds.size(); ++t) {
    if (kIds[t] < 0 || kIds[t] >= kVocabulary) continue;
    for (std::int64_t i = 0; i < columns; ++i) y[t * columns + i] = table[kIds[t] * columns + i];
  }
  return y;
}

TEST(Embedding, GathersRowsAndBackwardMatchesFiniteDifferences) {
  for (const cpu::Isa isa : cpu::kAllIsas) {
    if (!cpu::supports(isa)) continue;
    for (const DType table_dtype : {DType::f32, DType::bf16, DType::f16}) {
      for (const DType out : {DType::f32, DType::bf16, DType::f16}) {
        for (const std::int64_t columns : {1, 15, 16, 33, 128, 131}) {
          OpCheck check(table_dtype, cpu::embedding_cpu_kernels(), 2, isa);
          const Tensor ids = check.integers("ids", {3, 4}, kIds);
          const Tensor table = check.weight("table", {kVocabulary, columns});
          const Tensor y = embedding(check.program(), ids, table, out);
          check.output(y);
          check.run();
          check.expect_matches(
              [&](const Leaves& leaves) { return gather(leaves[0], columns); },
              {.value = out == table_dtype ? 0 : rounding(out), .gradient = kF32Sum});
        }
      }
    }
  }
}

TEST(Embedding, RowsThatNoTokenNamesGetNoGradient) {
  OpCheck check(DType::bf16, cpu::embedding_cpu_kernels());
  const Tensor ids = check.integers("ids", {12}, kIds);
  const Tensor table = check.weight("table", {kVocabulary, 9});
  check.output(embedding(check.program(), ids, table, DType::bf16));
  check.run();
  const std::vector<double> gradient = check.gradient("table");
  for (std::int64_t i = 9; i < 2 * 9; ++i) EXPECT_EQ(gradient[i], 0.0);
  EXPECT_NE(gradient[0], 0.0);
}

TEST(Embedding, GradientAccumulatesOverMicroSteps) {
  OpCheck check(DType::f32, cpu::embedding_cpu_kernels());
  const Tensor ids = check.integers("ids", {2}, {4, 4});
  const Tensor table = check.weight("table", {kVocabulary, 3});
  check.output(embedding(check.program(), ids, table, DType::f32));
  check.run();
  const std::vector<double> once = check.gradient("table");
  check.run_again();
  const std::vector<double> twice = check.gradient("table");
  for (std::size_t i = 0; i < once.size(); ++i) EXPECT_FLOAT_EQ(twice[i], 2 * once[i]);
}

TEST(Embedding, BitsDoNotDependOnTheNumberOfThreads) {
  std::vector<std::int32_t> ids(777);
  for (std::size_t t = 0; t < ids.size(); ++t) {
    ids[t] = static_cast<std::int32_t>(t * t % kVocabulary);
  }
  std::vector<double> expected;
  for (const int threads : {1, 2, 3}) {
    OpCheck check(DType::bf16, cpu::embedding_cpu_kernels(), threads);
    const Tensor tokens = check.integers("ids", {777}, ids);
    const Tensor table = check.weight("table", {kVocabulary, 300});
    check.output(embedding(check.program(), tokens, table, DType::bf16));
    check.run();
    if (threads == 1) expected = check.gradient("table");
    EXPECT_EQ(check.gradient("table"), expected) << threads << " threads";
  }
}

}  // namespace
}  // namespace ingot
