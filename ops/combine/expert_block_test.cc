// The whole mixture of experts, from router logits to the residual stream, as layers/ builds it:
// that the ops' rules fit together is proved here, each op by its own test.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "backends/cpu/join_kernels.h"
#include "ops/combine/combine.h"
#include "ops/combine/combine_cpu.h"
#include "ops/dispatch/dispatch_cpu.h"
#include "ops/grouped_linear/grouped_linear.h"
#include "ops/grouped_linear/grouped_linear_cpu.h"
#include "ops/linear/linear.h"
#include "ops/linear/linear_cpu.h"
#include "ops/router/router.h"
#include "ops/router/router_cpu.h"
#include "ops/swiglu/swiglu.h"
#include "ops/swiglu/swiglu_cpu.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

std::vector<cpu::KernelEntry> kernels() {
  return cpu::join_kernels({cpu::linear_cpu_kernels(), cpu::router_cpu_kernels(),
                            cpu::dispatch_cpu_kernels(), cpu::grouped_linear_cpu_kernels(),
                            cpu::swiglu_cpu_kernels(), cpu::combine_cpu_kernels()});
}

struct Case {
  const char* name;
  std::int64_t tokens, hidden, width;
  RouterOptions router;
  std::vector<float> bias = {};  // of the selection
  bool padded = false;
};

const RouterOptions kV3{.experts = 8,
                        .experts_per_token = 3,
                        .groups = 4,
                        .kept_groups = 2,
                        .score = GateScore::sigmoid,
                        .group_score = GroupScore::sum_of_top_two,
                        .normalize = true,
                        .scaling = 2.5};

const Case kCases[] = {
    {"V3", 13, 24, 10, kV3, {0, 0.1f, -0.1f, 0.05f, 0, 0.02f, 0, 0.3f}, true},
    {"V2-Lite", 9, 17, 16, {.experts = 5, .experts_per_token = 2}},
    {"an expert without a token",
     11,
     16,
     9,
     {.experts = 4, .experts_per_token = 2},
     {0, -10, 0, 0}},
    {"all tokens to one expert", 20, 8, 33, {.experts = 3}, {0, 10, 0}},
    {"all experts of each token", 5, 12, 7, {.experts = 4, .experts_per_token = 4}},
    {"one token, one expert", 1, 6, 5, {.experts = 1}},
};

double silu(double z) { return z / (1 + std::exp(-z)); }

std::vector<double> scores_of(const std::vector<double>& logits, GateScore score) {
  std::vector<double> s;
  for (const double z : logits) {
    s.push_back(score == GateScore::sigmoid ? 1 / (1 + std::exp(-z)) : std::exp(z));
  }
  const double sum = std::accumulate(s.begin(), s.end(), 0.0);
  if (score == GateScore::softmax) {
    for (double& value : s) value /= sum;
  }
  return s;
}

// The experts of one token: all groups' scores are sums of their two best (or the best) members.
std::vector<int> select(std::vector<double> c, const RouterOptions& router) {
  const std::int64_t size = router.experts / router.groups;
  const auto best = [](const std::vector<double>& values, std::int64_t count) {
    std::vector<int> order(values.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return values[a] > values[b]; });
    order.resize(count);
    return order;
  };
  if (router.groups > 1) {
    std::vector<double> groups;
    for (std::int64_t g = 0; g < router.groups; ++g) {
      std::vector<double> members(c.begin() + g * size, c.begin() + (g + 1) * size);
      std::sort(members.rbegin(), members.rend());
      groups.push_back(members[0] + members[1]);
    }
    const std::vector<int> kept = best(groups, router.kept_groups);
    for (std::size_t i = 0; i < c.size(); ++i) {
      if (std::count(kept.begin(), kept.end(), static_cast<int>(i / size)) == 0) c[i] = -1e300;
    }
  }
  return best(c, router.experts_per_token);
}

// Leaves: x, residual, gate [E, d], gate_up [E, 2 width, d], down [E, d, width].
std::vector<double> reference(const Leaves& leaves, const Case& c) {
  const std::int64_t d = c.hidden, experts = c.router.experts;
  std::vector<double> y = leaves[1];
  for (std::int64_t t = 0; t < c.tokens; ++t) {
    const double* x = &leaves[0][t * d];
    const auto dot = [&](const double* row) { return std::inner_product(x, x + d, row, 0.0); };
    std::vector<double> logits;
    for (std::int64_t e = 0; e < experts; ++e) logits.push_back(dot(&leaves[2][e * d]));
    const std::vector<double> s = scores_of(logits, c.router.score);
    std::vector<double> biased = s;
    for (std::size_t e = 0; e < c.bias.size(); ++e) biased[e] += c.bias[e];
    const std::vector<int> chosen = select(biased, c.router);
    double sum = 1e-20;
    for (const int e : chosen) sum += s[e];
    for (const int e : chosen) {
      const double weight = s[e] * c.router.scaling / (c.router.normalize ? sum : 1);
      for (std::int64_t i = 0; i < c.width; ++i) {
        const double gate = dot(&leaves[3][(e * 2 * c.width + i) * d]);
        const double up = dot(&leaves[3][((e * 2 + 1) * c.width + i) * d]);
        for (std::int64_t j = 0; j < d; ++j) {
          y[t * d + j] += weight * silu(gate) * up * leaves[4][(e * d + j) * c.width + i];
        }
      }
    }
  }
  return y;
}

class Block {
 public:
  Block(const Case& c, DType dtype, int threads, cpu::Isa isa)
      : check(dtype, kernels(), threads, isa) {
    Program& program = check.program();
    RouterOptions options = c.router;
    options.sequence = c.tokens;
    const std::int64_t experts = options.experts;
    const Tensor x = check.leaf("x", {c.tokens, c.hidden});
    const Tensor residual = check.leaf("residual", {c.tokens, c.hidden});
    const Tensor gate = check.weight("gate", {experts, c.hidden}, 1, DType::f32);
    const Tensor gate_up = check.weight("gate_up", {experts, 2 * c.width, c.hidden});
    const Tensor down = check.weight("down", {experts, c.hidden, c.width});
    Tensor bias, ids;
    if (!c.bias.empty()) bias = check.constants("bias", {experts}, c.bias);
    if (c.padded) {
      std::vector<std::int32_t> values(c.tokens, 1);
      values[1] = values[4] = -1;
      ids = check.integers("ids", {c.tokens}, values);
    }
    const Tensor load = check.integers("load", {experts}, std::vector<std::int32_t>(experts));

    const Tensor logits = linear(program, x, gate, {.output_dtype = DType::f32});
    const Routing routing = route(program, logits, bias, ids, load, options);
    const Dispatch sorted = dispatch(program, routing);
    const Tensor rows = permute(program, x, sorted);
    const Tensor weights = permute_weights(program, routing.weights, sorted);
    const Tensor h = swiglu(program, grouped_linear(program, rows, gate_up, sorted.offsets),
                            weights, sorted.row_count());
    y = combine(program, grouped_linear(program, h, down, sorted.offsets), sorted, residual);
    check.output(y);
    check.run();
    loads = check.value(load);
  }

  OpCheck check;
  Tensor y;
  std::vector<double> loads;
};

// fp32 throughout: sums of up to a hundred terms, four products deep.
constexpr Tolerance kF32{.value = 1e-5, .gradient = 1e-5};

TEST(ExpertBlock, MatchesReferenceAndFiniteDifferences) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    Block block(c, DType::f32, 2, cpu::isa());
    block.check.expect_matches([&](const Leaves& leaves) { return reference(leaves, c); }, kF32);
    if (HasFatalFailure()) return;
  }
}

TEST(ExpertBlock, MatchesReferenceAtEachIsaLevel) {
  for (const cpu::Isa isa : cpu::kAllIsas) {
    if (!cpu::supports(isa)) continue;
    Block block(kCases[1], DType::f32, 2, isa);
    block.check.expect_matches([&](const Leaves& leaves) { return reference(leaves, kCases[1]); },
                               kF32);
    if (HasFatalFailure()) return;
  }
}

TEST(ExpertBlock, Bf16AndF16StayWithinTheirRoundings) {
  for (const Case& c : kCases) {
    for (const DType dtype : {DType::bf16, DType::f16}) {
      SCOPED_TRACE(c.name);
      Block block(c, dtype, 2, cpu::isa());
      // gate_up, h, the experts' outputs and y are each rounded once to 8 or 11 bits; backward adds
      // their gradients. Errors of the terms of a sum are independent: four roundings, not forty.
      const double rounding = dtype == DType::bf16 ? 1.0 / 256 : 1.0 / 2048;
      block.check.expect_matches([&](const Leaves& leaves) { return reference(leaves, c); },
                                 {.value = 4 * rounding, .gradient = 4 * rounding});
      if (HasFatalFailure()) return;
    }
  }
}

TEST(ExpertBlock, CountsTokensButNotPadding) {
  const Block v3(kCases[0], DType::f32, 2, cpu::isa());
  EXPECT_EQ(std::accumulate(v3.loads.begin(), v3.loads.end(), 0.0), (13 - 2) * 3.0);
  const Block without(kCases[2], DType::f32, 2, cpu::isa());
  EXPECT_EQ(without.loads[1], 0.0);
  const Block all(kCases[3], DType::f32, 2, cpu::isa());
  EXPECT_EQ(all.loads, (std::vector<double>{0, 20, 0}));
}

TEST(ExpertBlock, BitsDoNotDependOnTheNumberOfThreads) {
  Case big = kCases[0];
  big.tokens = 300;
  std::vector<std::vector<double>> expected;
  for (const int threads : {1, 2, 3}) {
    const Block block(big, DType::bf16, threads, cpu::isa());
    std::vector<std::vector<double>> got = {block.check.value(block.y)};
    for (const char* leaf : {"x", "residual", "gate", "gate_up", "down"}) {
      got.push_back(block.check.gradient(leaf));
    }
    if (threads == 1) expected = got;
    EXPECT_EQ(got, expected) << threads << " threads";
  }
}

}  // namespace
}  // namespace ingot
