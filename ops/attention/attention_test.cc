#include "ops/attention/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ops/attention/attention_cpu.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

// One op with operands of their own: leaves q, k, v and, with rope > 0, k_rope.
struct Case {
  std::int64_t batch, sequence, query_heads, kv_heads, key_size, rope, value_size;
  double range = 1;

  std::int64_t tokens() const { return batch * sequence; }
  std::int64_t query_size() const { return key_size + rope; }
  double scale() const { return 1 / std::sqrt(static_cast<double>(query_size())); }
  AttentionOptions options() const {
    return {.batch = batch,
            .sequence = sequence,
            .query_heads = query_heads,
            .key_value_heads = kv_heads,
            .scale = scale()};
  }
};

// How operands lie in the leaves' columns.
struct View {
  int leaf;
  std::int64_t columns, offset, stride;  // columns of the leaf
  double at(const Leaves& leaves, std::int64_t token, std::int64_t head, std::int64_t i) const {
    return leaves[leaf][token * columns + offset + head * stride + i];
  }
};
struct Views {
  View query, key, value, rope;
};

Views separate(const Case& c) {
  return {{0, c.query_heads * c.query_size(), 0, c.query_size()},
          {1, c.kv_heads * c.key_size, 0, c.key_size},
          {2, c.kv_heads * c.value_size, 0, c.value_size},
          {3, c.rope, 0, 0}};
}

// The plainest loops: output, and the log sums of exponents of every query and head.
std::vector<double> reference(const Case& c, const Views& v, const Leaves& leaves,
                              std::vector<double>* lse = nullptr) {
  std::vector<double> output;
  const std::int64_t group = c.query_heads / c.kv_heads;
  for (std::int64_t t = 0; t < c.tokens(); ++t) {
    const std::int64_t first = t / c.sequence * c.sequence;
    for (std::int64_t h = 0; h < c.query_heads; ++h) {
      std::vector<double> weights;
      double largest = -INFINITY, sum = 0;
      for (std::int64_t s = first; s <= t; ++s) {
        double score = 0;
        for (std::int64_t i = 0; i < c.key_size; ++i) {
          score += v.query.at(leaves, t, h, i) * v.key.at(leaves, s, h / group, i);
        }
        for (std::int64_t i = 0; i < c.rope; ++i) {
          score += v.query.at(leaves, t, h, c.key_size + i) * v.rope.at(leaves, s, 0, i);
        }
        weights.push_back(score * c.scale());
        largest = std::max(largest, weights.back());
      }
      for (double& weight : weights) sum += weight = std::exp(weight - largest);
      if (lse != nullptr) lse->push_back(largest + std::log(sum));
      for (std::int64_t i = 0; i < c.value_size; ++i) {
        double o = 0;
        for (std::int64_t s = first; s <= t; ++s) {
          o += weights[s - first] / sum * v.value.at(leaves, s, h / group, i);
        }
        output.push_back(o);
      }
    }
  }
  return output;
}

// As the op leaves them: to base 2.
std::vector<double> to_base_2(std::vector<double> lse) {
  for (double& value : lse) value *= M_LOG2E;
  return lse;
}

// Gradients of the sum of output * upstream, exactly: finite differences of long sequences would
// take minutes. One vector for each leaf.
Leaves reference_gradients(const Case& c, const Views& v, const Leaves& leaves,
                           const std::vector<double>& upstream) {
  Leaves gradients;
  for (const auto& leaf : leaves) gradients.emplace_back(leaf.size());
  const auto add = [&](const View& view, std::int64_t t, std::int64_t h, std::int64_t i,
                       double value) {
    gradients[view.leaf][t * view.columns + view.offset + h * view.stride + i] += value;
  };
  std::vector<double> lse;
  const std::vector<double> output = reference(c, v, leaves, &lse);
  const std::int64_t group = c.query_heads / c.kv_heads;
  for (std::int64_t t = 0; t < c.tokens(); ++t) {
    for (std::int64_t h = 0; h < c.query_heads; ++h) {
      const std::int64_t row = t * c.query_heads + h;
      double delta = 0;
      for (std::int64_t i = 0; i < c.value_size; ++i) {
        delta += output[row * c.value_size + i] * upstream[row * c.value_size + i];
      }
      for (std::int64_t s = t / c.sequence * c.sequence; s <= t; ++s) {
        double score = 0, weight_gradient = 0;
        for (std::int64_t i = 0; i < c.key_size; ++i) {
          score += v.query.at(leaves, t, h, i) * v.key.at(leaves, s, h / group, i);
        }
        for (std::int64_t i = 0; i < c.rope; ++i) {
          score += v.query.at(leaves, t, h, c.key_size + i) * v.rope.at(leaves, s, 0, i);
        }
        const double weight = std::exp(score * c.scale() - lse[row]);
        for (std::int64_t i = 0; i < c.value_size; ++i) {
          const double d = upstream[row * c.value_size + i];
          weight_gradient += d * v.value.at(leaves, s, h / group, i);
          add(v.value, s, h / group, i, weight * d);
        }
        const double score_gradient = weight * (weight_gradient - delta) * c.scale();
        for (std::int64_t i = 0; i < c.key_size; ++i) {
          add(v.query, t, h, i, score_gradient * v.key.at(leaves, s, h / group, i));
          add(v.key, s, h / group, i, score_gradient * v.query.at(leaves, t, h, i));
        }
        for (std::int64_t i = 0; i < c.rope; ++i) {
          add(v.query, t, h, c.key_size + i, score_gradient * v.rope.at(leaves, s, 0, i));
          add(v.rope, s, 0, i, score_gradient * v.query.at(leaves, t, h, c.key_size + i));
        }
      }
    }
  }
  return gradients;
}

class Attention : public testing::Test {
 protected:
  void build(const Case& c, DType dtype, int threads = 2, cpu::Isa isa = cpu::isa()) {
    check_ = std::make_unique<OpCheck>(dtype, cpu::attention_cpu_kernels(), threads, isa);
    leaves_.clear();
    const auto leaf = [&](const char* name, std::int64_t columns) {
      leaves_.emplace_back(name, check_->leaf(name, {c.tokens(), columns}, c.range));
      return leaves_.back().second;
    };
    const Tensor q = leaf("q", c.query_heads * c.query_size());
    const Tensor k = leaf("k", c.kv_heads * c.key_size);
    const Tensor v = leaf("v", c.kv_heads * c.value_size);
    const Tensor rope = c.rope > 0 ? leaf("k_rope", c.rope) : Tensor{};
    output_ = attention(
        check_->program(), {.tensor = q, .stride = c.query_size(), .size = c.query_size()},
        {.tensor = k, .stride = c.key_size, .size = c.key_size},
        {.tensor = v, .stride = c.value_size, .size = c.value_size}, rope, c.options());
    lse_ = check_->program().find("lse");
    check_->output(output_);
    check_->run();
  }

  Leaves leaves() const {
    Leaves values;
    for (const auto& [name, tensor] : leaves_) values.push_back(check_->value(tensor));
    return values;
  }

  // Largest error of a vector, relative to its largest value (or to 0.1, if all are small: the
  // gradients of q and k vanish in a sequence of one).
  static double error(const std::vector<double>& got, const std::vector<double>& expected) {
    double most = 0.1, worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      most = std::max(most, std::fabs(expected[i]));
      const double difference = std::fabs(got[i] - expected[i]);
      worst = std::isnan(difference) ? INFINITY : std::max(worst, difference);
    }
    return got.size() == expected.size() ? worst / most : INFINITY;
  }

  void expect_matches(const Case& c, const Views& views, Tolerance tolerance,
                      double lse_tolerance) {
    const Leaves values = leaves();
    std::vector<double> lse;
    EXPECT_LE(error(check_->value(output_), reference(c, views, values, &lse)), tolerance.value);
    EXPECT_LE(error(check_->value(lse_), to_base_2(lse)), lse_tolerance);
    const Leaves gradients = reference_gradients(c, views, values, check_->upstream());
    for (std::size_t i = 0; i < leaves_.size(); ++i) {
      const std::string& name = leaves_[i].first;
      EXPECT_LE(error(check_->gradient(name), gradients[i]), tolerance.gradient) << name;
    }
  }

  std::unique_ptr<OpCheck> check_;
  std::vector<std::pair<std::string, Tensor>> leaves_;
  Tensor output_, lse_;
};

// fp32: sums of up to 200 products and as many weights; gradients go through two such sums.
constexpr Tolerance kFp32{.value = 2e-6, .gradient = 5e-6};
// Storage rounds o, P and dS once each (half a unit in 8 or 11 bits of the largest value); what is
// multiplied by them is exact.
constexpr Tolerance kBf16{.value = 2.0 / 256, .gradient = 3.0 / 256};
constexpr Tolerance kF16{.value = 2.0 / 2048, .gradient = 3.0 / 2048};

TEST_F(Attention, MatchesTheFormulaAndItsGradientAtEverySize) {
  for (const Case& c : std::vector<Case>{{1, 1, 1, 1, 16, 0, 16},
                                         {3, 2, 2, 1, 8, 0, 8},
                                         {1, 17, 4, 2, 5, 0, 7},
                                         {3, 17, 2, 2, 16, 8, 16},
                                         {1, 64, 3, 1, 64, 0, 64},
                                         {3, 65, 2, 2, 33, 31, 17},
                                         {1, 65, 8, 2, 16, 0, 80},
                                         {1, 200, 2, 2, 128, 64, 128},
                                         {1, 200, 6, 2, 64, 0, 64},
                                         {4, 70, 6, 2, 24, 0, 16},
                                         {2, 129, 5, 5, 1, 1, 1},
                                         {1, 130, 18, 18, 8, 4, 12}}) {
    SCOPED_TRACE(testing::Message() << "sequence " << c.sequence << ", sizes " << c.key_size << "+"
                                    << c.rope << "/" << c.value_size);
    build(c, DType::f32);
    expect_matches(c, separate(c), kFp32, 1e-6);
    build(c, DType::bf16);
    expect_matches(c, separate(c), kBf16, 1e-5);
    build(c, DType::f16);
    expect_matches(c, separate(c), kF16, 1e-5);
  }
}

TEST_F(Attention, EveryInstructionSetAgrees) {
  for (const cpu::Isa isa : cpu::kAllIsas) {
    if (!cpu::supports(isa)) continue;
    SCOPED_TRACE(cpu::isa_name(isa));
    for (const Case& c : std::vector<Case>{{2, 67, 4, 2, 24, 8, 40}, {1, 97, 2, 2, 19, 3, 21}}) {
      build(c, DType::f32, 2, isa);
      expect_matches(c, separate(c), kFp32, 1e-6);
      build(c, DType::bf16, 2, isa);
      expect_matches(c, separate(c), kBf16, 1e-5);
      build(c, DType::f16, 2, isa);
      expect_matches(c, separate(c), kF16, 1e-5);
    }
  }
}

TEST_F(Attention, GradientsAreTheFiniteDifferences) {
  const Case c{2, 9, 4, 2, 6, 2, 5};
  build(c, DType::f32);
  check_->expect_matches([&](const Leaves& values) { return reference(c, separate(c), values); },
                         kFp32);
}

// Weights are one-hot then; sums of exponents stay finite because their largest is taken out.
// Products of 24 numbers up to 40: a score of 10^4 is known to 10^-3 in fp32.
TEST_F(Attention, LargeScoresDoNotOverflow) {
  const Case c{1, 130, 2, 1, 24, 0, 24, 40};
  build(c, DType::f32);
  const Leaves values = leaves();
  std::vector<double> lse;
  EXPECT_LE(error(check_->value(output_), reference(c, separate(c), values, &lse)), 1e-3);
  EXPECT_LE(error(check_->value(lse_), to_base_2(lse)), 1e-6);
  for (const auto& [name, leaf] : leaves_) {
    for (const double g : check_->gradient(name)) ASSERT_TRUE(std::isfinite(g)) << name;
  }
  build(c, DType::bf16);
  for (const auto& [name, leaf] : leaves_) {
    for (const double g : check_->gradient(name)) ASSERT_TRUE(std::isfinite(g)) << name;
  }
}

// Backward makes the weights again from scores and lse. Here scores are exact and near 1000, those
// of a query a few apart; so a weight is off by what lse, 1024 to 2048 to base 2, is rounded by: at
// most 2^-14, times ln 2.
TEST_F(Attention, BackwardKnowsWeightsOfLargeScoresToTheRoundingOfOneNumber) {
  const Case c{400, 2, 1, 1, 4, 0, 4};  // scale: 1/2
  std::vector<double> q, k;
  for (int t = 0; t < 800; ++t) {
    q.insert(q.end(), {46 + t / 2 % 40 + t / 80 / 16.0, (t * 7 % 33 - 16) / 16.0, 1, 0});
    k.insert(k.end(), {32, (t * 5 % 31 - 15) / 16.0, (t * 11 % 64) / 16.0, 0});
  }
  check_ = std::make_unique<OpCheck>(DType::f32, cpu::attention_cpu_kernels());
  leaves_ = {{"q", check_->leaf("q", {800, 4}, q, DType::f32)},
             {"k", check_->leaf("k", {800, 4}, k, DType::f32)},
             {"v", check_->leaf("v", {800, 4})}};
  output_ = attention(check_->program(), {.tensor = leaves_[0].second, .stride = 4, .size = 4},
                      {.tensor = leaves_[1].second, .stride = 4, .size = 4},
                      {.tensor = leaves_[2].second, .stride = 4, .size = 4}, {}, c.options());
  check_->output(output_);
  check_->run();
  const Leaves exact = reference_gradients(c, separate(c), leaves(), check_->upstream());
  EXPECT_LE(error(check_->gradient("v"), exact[2]), 0x1p-14 * M_LN2);
}

TEST_F(Attention, IsTheSameForAnyNumberOfThreadsAndEveryTime) {
  const Case c{2, 200, 18, 18, 16, 8, 16};
  for (const DType dtype : {DType::f32, DType::bf16}) {
    std::vector<std::vector<double>> first;
    for (const int threads : {1, 2, 3}) {
      build(c, dtype, threads);
      std::vector<std::vector<double>> results = {check_->value(output_), check_->value(lse_)};
      for (const auto& [name, leaf] : leaves_) results.push_back(check_->gradient(name));
      if (first.empty()) first = results;
      EXPECT_TRUE(results == first) << threads << " threads";
      check_
          ->run_again();  // now over workspace that holds something; leaves add up, twice the same
      EXPECT_TRUE(check_->value(output_) == first[0]);
      for (double& value : results[2]) value *= 2;
      EXPECT_TRUE(check_->gradient("q") == results[2]);
    }
  }
}

// Queries, keys and values as columns of one tensor: by heads of one operand, or by slices.
TEST_F(Attention, OperandsMayShareATensor) {
  const Case c{2, 70, 4, 2, 16, 0, 8};
  const std::int64_t q = 4 * 16, k = 2 * 16, columns = q + k + 2 * 8;
  const Views views{
      {0, columns, 0, 16}, {0, columns, q, 16}, {0, columns, q + k, 8}, {0, columns, 0, 0}};
  for (const bool sliced : {false, true}) {
    check_ = std::make_unique<OpCheck>(DType::f32, cpu::attention_cpu_kernels());
    const Tensor qkv = check_->leaf("qkv", {c.tokens(), columns});
    leaves_ = {{"qkv", qkv}};
    const auto heads = [&](std::int64_t offset, std::int64_t width, std::int64_t size) {
      if (sliced) {
        return AttentionHeads{.tensor = qkv.slice(offset, width), .stride = size, .size = size};
      }
      return AttentionHeads{.tensor = qkv, .offset = offset, .stride = size, .size = size};
    };
    output_ = attention(check_->program(), heads(0, q, 16), heads(q, k, 16), heads(q + k, 2 * 8, 8),
                        {}, c.options());
    lse_ = check_->program().find("lse");
    check_->output(output_);
    check_->run();
    expect_matches(c, views, kFp32, 1e-6);
  }
}

// Multi-head latent attention: heads [k | v] of one tensor, the shared rotary key a slice.
TEST_F(Attention, KeysAndValuesMayBeHalvesOfTheSameHeads) {
  const Case c{2, 70, 3, 3, 16, 8, 12};
  check_ = std::make_unique<OpCheck>(DType::f32, cpu::attention_cpu_kernels());
  leaves_ = {{"q", check_->leaf("q", {c.tokens(), 3 * 24})},
             {"kv", check_->leaf("kv", {c.tokens(), 3 * 28})},
             {"rope", check_->leaf("rope", {c.tokens(), 20})}};
  const Tensor kv = leaves_[1].second;
  output_ = attention(check_->program(), {.tensor = leaves_[0].second, .stride = 24, .size = 24},
                      {.tensor = kv, .stride = 28, .size = 16},
                      {.tensor = kv, .offset = 16, .stride = 28, .size = 12},
                      leaves_[2].second.slice(12, 8), c.options());
  lse_ = check_->program().find("lse");
  check_->output(output_);
  check_->output(leaves_[2].second.slice(0, 12));  // what the other columns are for
  check_->run();
  const Views views{{0, 72, 0, 24}, {1, 84, 0, 28}, {1, 84, 16, 28}, {2, 20, 12, 0}};
  const Leaves values = leaves();
  EXPECT_LE(error(check_->value(output_), reference(c, views, values)), kFp32.value);
  const std::int64_t outputs = c.tokens() * 3 * 12;
  Leaves gradients = reference_gradients(c, views, values, check_->upstream());
  for (std::int64_t i = 0; i < c.tokens() * 12; ++i) {
    gradients[2][i / 12 * 20 + i % 12] = check_->upstream()[outputs + i];
  }
  for (int i = 0; i < 3; ++i) {
    EXPECT_LE(error(check_->gradient(leaves_[i].first), gradients[i]), kFp32.gradient);
  }
}

// Two ops on the same operands: the second gradient is added to the first.
TEST_F(Attention, AddsToGradientsThatAreThere) {
  const Case c{1, 70, 2, 1, 16, 4, 12};
  check_ = std::make_unique<OpCheck>(DType::f32, cpu::attention_cpu_kernels());
  leaves_ = {{"q", check_->leaf("q", {c.tokens(), 2 * 20})},
             {"k", check_->leaf("k", {c.tokens(), 16})},
             {"v", check_->leaf("v", {c.tokens(), 12})},
             {"rope", check_->leaf("rope", {c.tokens(), 4})}};
  for (int i = 0; i < 2; ++i) {
    check_->output(attention(
        check_->program(), {.tensor = leaves_[0].second, .stride = 20, .size = 20},
        {.tensor = leaves_[1].second, .stride = 16, .size = 16},
        {.tensor = leaves_[2].second, .stride = 12, .size = 12}, leaves_[3].second, c.options()));
  }
  check_->run();
  // The outputs are the same, so the gradient is that of one op with the sum of both upstreams.
  std::vector<double> upstream = check_->upstream();
  const std::size_t half = upstream.size() / 2;
  for (std::size_t i = 0; i < half; ++i) upstream[i] += upstream[half + i];
  upstream.resize(half);
  const Leaves gradients = reference_gradients(c, separate(c), leaves(), upstream);
  for (std::size_t i = 0; i < leaves_.size(); ++i) {
    EXPECT_LE(error(check_->gradient(leaves_[i].first), gradients[i]), kFp32.gradient);
  }
}

TEST_F(Attention, CountsHalfOfTheSquare) {
  Program program;
  const Tensor x = program.activation("x", {2 * 100, 4 * 64}, DType::bf16);
  const AttentionHeads heads{.tensor = x, .stride = 64, .size = 64};
  attention(program, heads, heads, heads, {},
            {.batch = 2, .sequence = 100, .query_heads = 4, .key_value_heads = 4, .scale = 1});
  EXPECT_EQ(program.ops()[0].flops, 2.0 * 4 * (100 * 101 / 2) * 2 * (64 + 64));
  // One operand counts once, however often it is named.
  EXPECT_EQ(program.ops()[0].bytes, 200.0 * 256 * 2 * 2 + 200.0 * 4 * 4);
}

TEST_F(Attention, RefusesHeadsThatDoNotFit) {
  Program program;
  const Tensor x = program.activation("x", {6, 32}, DType::f32);
  const AttentionHeads good{.tensor = x, .stride = 16, .size = 16};
  const AttentionOptions options{
      .batch = 2, .sequence = 3, .query_heads = 2, .key_value_heads = 2, .scale = 1};
  attention(program, good, good, good, {}, options);
  const auto refused = [&](AttentionHeads q, AttentionHeads k, AttentionHeads v, Tensor rope,
                           const AttentionOptions& o) {
    EXPECT_THROW(attention(program, q, k, v, rope, o), std::logic_error);
  };
  refused({.tensor = x, .offset = 1, .stride = 16, .size = 16}, good, good, {}, options);
  refused({.tensor = x, .stride = 15, .size = 16}, good, good, {}, options);
  refused(good, {.tensor = x, .stride = 16, .size = 8}, good, {}, options);
  refused(good, good, good, x, options);
  AttentionOptions other = options;
  other.sequence = 4;
  refused(good, good, good, {}, other);
  other = options;
  other.scale = 0;
  refused(good, good, good, {}, other);
  other = options;
  other.query_heads = 3;
  refused(good, good, good, {}, other);
}

TEST_F(Attention, RefusesGradientsThatWouldLeaveColumnsUnwritten) {
  const auto differentiated = [](std::int64_t key_offset) {
    OpCheck check(DType::f32, cpu::attention_cpu_kernels());
    const Tensor x = check.leaf("x", {4, 48});
    const auto heads = [&](std::int64_t offset) {
      return AttentionHeads{.tensor = x, .offset = offset, .size = 16};
    };
    check.output(attention(check.program(), heads(0), heads(key_offset), heads(32), {},
                           {.sequence = 4, .scale = 1}));
    check.run();
  };
  differentiated(16);
  EXPECT_THROW(differentiated(0), std::logic_error);  // keys are the queries: written twice
}

}  // namespace
}  // namespace ingot
