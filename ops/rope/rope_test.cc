#include "ops/rope/rope.h"

#include <gtest/gtest.h>

#include "ops/rope/rope_cpu.h"
#include "ops/rope/rope_table.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

struct Case {
  std::int64_t tokens;
  RopeHeads heads;
  std::int64_t columns;
  bool interleaved;
};

const Case kCases[] = {
    {3, {.count = 2, .stride = 10, .offset = 0, .half = 5}, 20, false},
    {3, {.count = 2, .stride = 10, .offset = 0, .half = 5}, 20, true},
    {5, {.count = 3, .stride = 50, .offset = 16, .half = 17}, 150, true},  // MLA's query
    {5, {.count = 3, .stride = 50, .offset = 16, .half = 17}, 150, false},
    {37, {.count = 1, .stride = 32, .offset = 0, .half = 16}, 32, true},
    {2, {.count = 2, .stride = 128, .offset = 0, .half = 64}, 256, false},
    {2, {.count = 1, .stride = 2, .offset = 3, .half = 1}, 6, true},
};

constexpr std::int64_t kPositions = 11;

std::vector<std::int32_t> positions(std::int64_t tokens) {
  std::vector<std::int32_t> result;
  for (std::int64_t t = 0; t < tokens; ++t) result.push_back(static_cast<int>(t * 7 % kPositions));
  return result;
}

std::vector<double> reference(const Case& c, const std::vector<float>& table,
                              std::vector<double> x) {
  const std::vector<std::int32_t> at = positions(c.tokens);
  const std::int64_t half = c.heads.half;
  for (std::int64_t t = 0; t < c.tokens; ++t) {
    for (std::int64_t h = 0; h < c.heads.count; ++h) {
      double* head = &x[t * c.columns + h * c.heads.stride + c.heads.offset];
      for (std::int64_t i = 0; i < half; ++i) {
        double& a = head[c.interleaved ? 2 * i : i];
        double& b = head[c.interleaved ? 2 * i + 1 : i + half];
        const double cosine = table[at[t] * 2 * half + i];
        const double sine = table[at[t] * 2 * half + half + i];
        const double turned = a * cosine - b * sine;
        b = b * cosine + a * sine;
        a = turned;
      }
    }
  }
  return x;
}

// Rotates `x` (made of a leaf) in place and returns the check, run.
void expect_rotation(const Case& c, DType dtype, cpu::Isa isa, Tolerance tolerance) {
  OpCheck check(dtype, cpu::rope_cpu_kernels(), 2, isa);
  const std::vector<float> table = rope_table({.half = c.heads.half, .base = 100}, kPositions);
  const Tensor x = check.leaf("x", {c.tokens, c.columns});
  const Tensor angles = check.constants("table", {kPositions, 2 * c.heads.half}, table);
  rope(check.program(), x, angles, check.integers("positions", {c.tokens}, positions(c.tokens)),
       c.heads, c.interleaved);
  check.output(x);
  check.run();
  check.expect_matches([&](const Leaves& leaves) { return reference(c, table, leaves[0]); },
                       tolerance);
}

// A product and a sum, each rounded once, of values below 1.
TEST(Rope, RotatesAndItsGradientRotatesBack) {
  for (const cpu::Isa isa : cpu::kAllIsas) {
    if (!cpu::supports(isa)) continue;
    for (const Case& c : kCases) expect_rotation(c, DType::f32, isa, {3e-7, 1e-6});
  }
}

TEST(Rope, StoresSixteenBitsRoundedOnce) {
  for (const cpu::Isa isa : cpu::kAllIsas) {
    if (!cpu::supports(isa)) continue;
    for (const Case& c : kCases) {
      expect_rotation(c, DType::bf16, isa, {1.0 / 256, 1.0 / 256});
      expect_rotation(c, DType::f16, isa, {1.0 / 2048, 1.0 / 2048});
    }
  }
}

TEST(Rope, RefusesHeadsThatDoNotFit) {
  Program program;
  const Tensor x = program.activation("x", {2, 16}, DType::f32);
  const Tensor table = program.activation("table", {4, 8}, DType::f32);
  const Tensor at = program.activation("positions", {2}, DType::i32);
  EXPECT_THROW(rope(program, x, table, at, {.count = 3, .stride = 8, .half = 4}, true),
               std::logic_error);
  EXPECT_THROW(rope(program, x, table, at, {.count = 2, .stride = 7, .half = 4}, true),
               std::logic_error);
  EXPECT_THROW(rope(program, x, table, at, {.count = 1, .stride = 8, .half = 5}, true),
               std::logic_error);
  rope(program, x, table, at, {.count = 2, .stride = 8, .half = 4}, true);
}

}  // namespace
}  // namespace ingot
