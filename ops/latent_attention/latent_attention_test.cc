#include "ops/latent_attention/latent_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "backends/cpu/join_kernels.h"
#include "ops/attention/attention_cpu.h"
#include "ops/cached_attention/text_in_steps.h"
#include "ops/latent_attention/latent_attention_cpu.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

std::vector<cpu::KernelEntry> kernels() {
  return cpu::join_kernels({cpu::attention_cpu_kernels(), cpu::latent_attention_cpu_kernels()});
}

struct Case {
  std::int64_t batch, heads, nope, rotary, value, rank, capacity;
  std::vector<std::int64_t> steps;  // tokens read at a time

  TextInSteps text() const { return {batch, steps}; }
  AttentionOptions options(std::int64_t tokens) const {
    return {.batch = batch,
            .sequence = tokens,
            .query_heads = heads,
            .key_value_heads = heads,
            .scale = 1 / std::sqrt(static_cast<double>(nope + rotary))};
  }
};

struct Values {
  std::vector<double> query, latent, key_rope, kv_b, kv;  // kv [tokens, heads * (nope + value)]
};

// Random operands, rounded to what fp32 or bf16 can hold, and the keys and values made of them.
Values make_values(const Case& c, double unit) {
  const std::int64_t tokens = c.batch * c.text().length(), width = c.heads * (c.nope + c.value);
  std::uint64_t state = 11;
  const auto random = [&](std::int64_t count, double range) {
    std::vector<double> values(count);
    for (double& value : values) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      value = range * std::round((static_cast<double>(state >> 40) / (1 << 23) - 1) / unit) * unit;
    }
    return values;
  };
  Values v{.query = random(tokens * c.heads * (c.nope + c.rotary), 1),
           .latent = random(tokens * c.rank, 1),
           .key_rope = random(tokens * c.rotary, 1),
           .kv_b = random(width * c.rank, 0.25)};
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t i = 0; i < width; ++i) {
      double sum = 0;
      for (std::int64_t k = 0; k < c.rank; ++k) {
        sum += v.latent[t * c.rank + k] * v.kv_b[i * c.rank + k];
      }
      v.kv.push_back(sum);
    }
  }
  return v;
}

double largest(const std::vector<double>& values) {
  double most = 0;
  for (const double value : values) most = std::max(most, std::fabs(value));
  return most;
}

// Reads a text step by step in the absorbed form and expects what the multi-head form gives for all
// of it: the same sums in another order. Rows of the cache that were never written hold NaN.
void expect_as_attention(const Case& c, DType dtype, cpu::Isa isa, int threads, double tolerance,
                         std::vector<std::vector<std::byte>>* bytes = nullptr) {
  const Values v = make_values(c, 1.0 / 64);
  // The multi-head form in fp32 is the truth.
  OpCheck truth(DType::f32, kernels(), threads, isa);
  const TextInSteps text = c.text();
  const std::int64_t tokens = c.batch * text.length(), head = c.nope + c.value;
  const auto leaf = [&](OpCheck& check, std::int64_t rows, const std::vector<double>& values) {
    return check.leaf("x", {rows, static_cast<std::int64_t>(values.size()) / rows}, values,
                      check.dtype());
  };
  const Tensor query = leaf(truth, tokens, v.query), kv = leaf(truth, tokens, v.kv);
  const std::int64_t query_size = c.nope + c.rotary;
  const Tensor expected =
      attention(truth.program(), {.tensor = query, .stride = query_size, .size = query_size},
                {.tensor = kv, .stride = head, .size = c.nope},
                {.tensor = kv, .offset = c.nope, .stride = head, .size = c.value},
                leaf(truth, tokens, v.key_rope), c.options(text.length()));
  truth.run();
  const std::vector<double> all = truth.value(expected);

  OpCheck check(dtype, kernels(), threads, isa);
  const std::int64_t width = c.rank + c.rotary;
  const Tensor cache = check.leaf(
      "cache", {c.batch, c.capacity, width},
      std::vector<double>(c.batch * c.capacity * width, std::numeric_limits<double>::quiet_NaN()),
      dtype);
  const Tensor kv_b = leaf(check, c.heads * head, v.kv_b);
  std::vector<Tensor> outputs;
  std::int64_t first = 0;
  for (const std::int64_t n : c.steps) {
    const auto step = [&](const std::vector<double>& values) {
      return leaf(check, c.batch * n, text.rows_of(values, first, n));
    };
    outputs.push_back(latent_attention(
        check.program(), step(v.query), step(v.latent), step(v.key_rope), kv_b, cache,
        check.integers("positions", {c.batch * n}, text.positions_of(first, n)),
        {.attention = c.options(n), .nope = c.nope, .rotary = c.rotary, .value = c.value}));
    first += n;
  }
  check.run();
  text.expect_steps(check, outputs, all, tolerance * largest(all), bytes);
}

const Case kCases[] = {
    {2, 3, 8, 4, 8, 16, 40, {5, 1, 1, 3}},
    {1, 2, 5, 6, 7, 19, 16, {1, 1, 1}},
    {3, 4, 16, 8, 16, 32, 100, {17, 1, 2}},
    {1, 8, 64, 32, 64, 128, 600, {300, 1, 2}},  // one part when reading, two when writing
    {2, 17, 32, 16, 24, 80, 300, {70, 64, 1}},
};

// Sums of up to 300 products of 80 + 128 numbers, in another order.
TEST(LatentAttention, AgreesWithTheMultiHeadForm) {
  for (const cpu::Isa isa : cpu::kAllIsas) {
    if (!cpu::supports(isa)) continue;
    SCOPED_TRACE(cpu::isa_name(isa));
    for (const Case& c : kCases) expect_as_attention(c, DType::f32, isa, 2, 3e-6);
  }
}

// Absorbed queries, weights and outputs are rounded to 8 or 11 bits; operands are exact.
TEST(LatentAttention, KeepsSixteenBitCaches) {
  for (const Case& c : kCases) {
    expect_as_attention(c, DType::bf16, cpu::isa(), 2, 3.0 / 256);
    expect_as_attention(c, DType::f16, cpu::isa(), 2, 3.0 / 2048);
  }
}

TEST(LatentAttention, IsTheSameForAnyNumberOfThreads) {
  for (const Case& c : kCases) {
    std::vector<std::vector<std::byte>> one, three;
    expect_as_attention(c, DType::bf16, cpu::isa(), 1, 1, &one);
    expect_as_attention(c, DType::bf16, cpu::isa(), 3, 1, &three);
    EXPECT_EQ(one, three);
  }
}

TEST(LatentAttention, RefusesOperandsThatDoNotFit) {
  Program program;
  const Tensor query = program.activation("q", {6, 2 * 12}, DType::f32);
  const Tensor latent = program.activation("c", {6, 16}, DType::f32);
  const Tensor rope = program.activation("k_rope", {6, 4}, DType::f32);
  const Tensor kv_b = program.activation("kv_b", {2 * 14, 16}, DType::f32);
  const Tensor cache = program.activation("cache", {2, 10, 20}, DType::f32);
  const Tensor positions = program.activation("positions", {6}, DType::i32);
  LatentAttentionOptions options{.attention = {.batch = 2, .sequence = 3, .query_heads = 2},
                                 .nope = 8,
                                 .rotary = 4,
                                 .value = 6};
  const auto make = [&](Tensor c_kv, Tensor weight) {
    latent_attention(program, query, c_kv, rope, weight, cache, positions, options);
  };
  make(latent, kv_b);
  EXPECT_THROW(make(latent.slice(0, 15), kv_b), std::logic_error);
  EXPECT_THROW(make(latent, query), std::logic_error);
  options.rotary = 3;
  EXPECT_THROW(make(latent, kv_b), std::logic_error);
}

}  // namespace
}  // namespace ingot
