#include "ops/cached_attention/cached_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "backends/cpu/join_kernels.h"
#include "ops/attention/attention_cpu.h"
#include "ops/cached_attention/cached_attention_cpu.h"
#include "ops/cached_attention/text_in_steps.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

std::vector<cpu::KernelEntry> kernels() {
  return cpu::join_kernels({cpu::attention_cpu_kernels(), cpu::cached_attention_cpu_kernels()});
}

struct Case {
  std::int64_t batch, query_heads, kv_heads, key_size, value_size, capacity;
  std::vector<std::int64_t> steps;  // tokens read at a time

  TextInSteps text() const { return {batch, steps}; }
  AttentionOptions options(std::int64_t tokens) const {
    return {.batch = batch,
            .sequence = tokens,
            .query_heads = query_heads,
            .key_value_heads = kv_heads,
            .scale = 1 / std::sqrt(static_cast<double>(key_size))};
  }
};

// Reads a text step by step and expects what attention() over all of it gives. Rows of the cache
// that were never written hold NaN.
void expect_as_attention(const Case& c, DType dtype, cpu::Isa isa, int threads, double tolerance,
                         std::vector<std::vector<std::byte>>* bytes = nullptr) {
  const TextInSteps text = c.text();
  const std::int64_t length = text.length();
  OpCheck check(dtype, kernels(), threads, isa);
  Program& program = check.program();
  const auto heads = [](Tensor t, std::int64_t size) {
    return AttentionHeads{.tensor = t, .stride = size, .size = size};
  };
  std::vector<double> values[3];
  Tensor whole[3];
  const std::int64_t columns[3] = {c.query_heads * c.key_size, c.kv_heads * c.key_size,
                                   c.kv_heads * c.value_size};
  std::uint64_t state = 7;
  for (int i = 0; i < 3; ++i) {
    for (std::int64_t n = 0; n < c.batch * length * columns[i]; ++n) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      values[i].push_back(static_cast<double>(state >> 40) / (1 << 23) - 1);
    }
    whole[i] = check.leaf("whole", {c.batch * length, columns[i]}, values[i], dtype);
  }
  const Tensor expected =
      attention(program, heads(whole[0], c.key_size), heads(whole[1], c.key_size),
                heads(whole[2], c.value_size), {}, c.options(length));

  const auto cache = [&](std::int64_t size) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    return check.leaf("cache", {c.batch, c.kv_heads, c.capacity, size},
                      std::vector<double>(c.batch * c.kv_heads * c.capacity * size, nan), dtype);
  };
  const Tensor key_cache = cache(c.key_size), value_cache = cache(c.value_size);
  std::vector<Tensor> outputs;
  std::int64_t first = 0;
  for (const std::int64_t n : c.steps) {
    AttentionHeads operands[3];
    for (int i = 0; i < 3; ++i) {
      operands[i] = heads(
          check.leaf("step", {c.batch * n, columns[i]}, text.rows_of(values[i], first, n), dtype),
          i == 2 ? c.value_size : c.key_size);
    }
    outputs.push_back(cached_attention(
        program, operands[0], operands[1], operands[2], key_cache, value_cache,
        check.integers("positions", {c.batch * n}, text.positions_of(first, n)), c.options(n)));
    first += n;
  }
  check.run();
  text.expect_steps(check, outputs, check.value(expected), tolerance, bytes);
}

const Case kCases[] = {
    {2, 4, 2, 16, 16, 40, {5, 1, 1, 3}},
    {1, 3, 1, 20, 12, 16, {1, 1, 1}},
    {3, 8, 8, 33, 17, 300, {17, 1, 2}},
    {1, 8, 2, 64, 64, 600, {515, 1, 2, 1}},     // more than one part, both ways
    {2, 20, 2, 32, 48, 1100, {130, 64, 1, 7}},  // a group too large for dot products
    {1, 4, 1, 128, 128, 9000, {70, 1}},
};

// Values below 1 and weights that sum to 1: fp32 sums of some 500 products, in another order.
TEST(CachedAttention, GivesWhatAttentionOverTheWholeTextGives) {
  for (const cpu::Isa isa : cpu::kAllIsas) {
    if (!cpu::supports(isa)) continue;
    SCOPED_TRACE(cpu::isa_name(isa));
    for (const Case& c : kCases) expect_as_attention(c, DType::f32, isa, 2, 2e-6);
  }
}

// The results are rounded to storage; bf16 weights are rounded where they are multiplied as bf16.
TEST(CachedAttention, KeepsSixteenBitCaches) {
  for (const Case& c : kCases) {
    expect_as_attention(c, DType::bf16, cpu::isa(), 2, 2.0 / 256);
    expect_as_attention(c, DType::f16, cpu::isa(), 2, 1.5 / 2048);
  }
}

TEST(CachedAttention, IsTheSameForAnyNumberOfThreads) {
  for (const Case& c : kCases) {
    std::vector<std::vector<std::byte>> one, three;
    expect_as_attention(c, DType::bf16, cpu::isa(), 1, 1, &one);
    expect_as_attention(c, DType::bf16, cpu::isa(), 3, 1, &three);
    EXPECT_EQ(one, three);
  }
}

TEST(CachedAttention, RefusesOperandsThatDoNotFit) {
  Program program;
  const Tensor q = program.activation("q", {6, 16}, DType::f32);
  const Tensor cache = program.activation("cache", {2, 2, 10, 8}, DType::f32);
  const Tensor narrow = program.activation("cache", {2, 2, 10, 4}, DType::f32);
  const Tensor positions = program.activation("positions", {6}, DType::i32);
  const AttentionHeads heads{.tensor = q, .stride = 8, .size = 8};
  const AttentionOptions options{
      .batch = 2, .sequence = 3, .query_heads = 2, .key_value_heads = 2, .scale = 1};
  const auto make = [&](Tensor keys, Tensor at, const AttentionOptions& o) {
    cached_attention(program, heads, heads, heads, keys, cache, at, o);
  };
  make(cache, positions, options);
  EXPECT_THROW(make(narrow, positions, options), std::logic_error);
  EXPECT_THROW(make(cache, q, options), std::logic_error);
  AttentionOptions longer = options;
  longer.sequence = 4;
  EXPECT_THROW(make(cache, positions, longer), std::logic_error);
}

}  // namespace
}  // namespace ingot
