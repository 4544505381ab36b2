#include "ops/router/router.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ops/router/router_cpu.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

// Everything is fp32: some tens of roundings of 6e-8 on the longest path.
constexpr double kF32 = 4e-6;

// ---- The oracle: spec formulas in double, plainest loops -------------------------------------

struct Expected {
  std::vector<std::int32_t> chosen;
  std::vector<double> weights;
  std::vector<double> losses;  // sum_i f_i P_i of each region
};

std::vector<double> scores_of(const double* logits, const RouterOptions& options) {
  std::vector<double> s(options.experts);
  double sum = 0;
  for (std::int64_t i = 0; i < options.experts; ++i) {
    s[i] =
        options.score == GateScore::sigmoid ? 1 / (1 + std::exp(-logits[i])) : std::exp(logits[i]);
    sum += s[i];
  }
  if (options.score == GateScore::softmax) {
    for (double& value : s) value /= sum;
  }
  return s;
}

// The k best, best first, lower index first among equals.
std::vector<std::int32_t> top(const std::vector<double>& values, std::int64_t k) {
  std::vector<std::int32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int32_t a, std::int32_t b) { return values[a] > values[b]; });
  order.resize(k);
  return order;
}

std::vector<std::int32_t> choose(std::vector<double> c, const RouterOptions& options) {
  const std::int64_t size = options.experts / options.groups;
  std::vector<double> group_scores;
  for (std::int64_t group = 0; group < options.groups; ++group) {
    std::vector<double> members(c.begin() + group * size, c.begin() + (group + 1) * size);
    std::sort(members.rbegin(), members.rend());
    group_scores.push_back(options.group_score == GroupScore::max ? members[0]
                                                                  : members[0] + members[1]);
  }
  if (options.groups > 1) {
    const auto kept = top(group_scores, options.kept_groups);
    for (std::int64_t i = 0; i < options.experts; ++i) {
      if (std::find(kept.begin(), kept.end(), i / size) == kept.end()) {
        c[i] = -std::numeric_limits<double>::infinity();
      }
    }
  }
  return top(c, options.experts_per_token);
}

Expected expected_routing(const std::vector<double>& logits, const std::vector<double>& bias,
                          const std::vector<std::int32_t>& ids, const RouterOptions& options) {
  const std::int64_t experts = options.experts, k = options.experts_per_token;
  const std::int64_t tokens = options.batch * options.sequence;
  const std::int64_t regions = options.balance == BalanceLoss::sequence ? options.batch : 1;
  Expected result;
  for (std::int64_t region = 0; region < regions; ++region) {
    std::vector<double> n(experts), p(experts);
    double counted = 0;
    for (std::int64_t t = region * tokens / regions; t < (region + 1) * tokens / regions; ++t) {
      const std::vector<double> s = scores_of(&logits[t * experts], options);
      std::vector<double> c = s;
      for (std::size_t i = 0; i < bias.size(); ++i) c[i] += bias[i];
      const auto chosen = choose(c, options);
      double sum = 1e-20;
      for (const std::int32_t e : chosen) sum += s[e];
      for (const std::int32_t e : chosen) {
        result.chosen.push_back(e);
        result.weights.push_back(s[e] * options.scaling / (options.normalize ? sum : 1));
      }
      if (!ids.empty() && ids[t] < 0) continue;
      counted += 1;
      for (const std::int32_t e : chosen) n[e] += 1;
      const double total = std::accumulate(s.begin(), s.end(), 0.0);
      for (std::int64_t i = 0; i < experts; ++i) p[i] += s[i] / total;
    }
    double loss = 0;
    for (std::int64_t i = 0; counted > 0 && i < experts; ++i) {
      loss += static_cast<double>(experts) / (k * counted) * n[i] * p[i] / counted;
    }
    result.losses.push_back(loss);
  }
  return result;
}

std::vector<std::int32_t> as_integers(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

// ---- The published check vectors (spec 4.2) ---------------------------------------------------

const std::vector<double> kLogits = {0.5, -1, 2, 0.1, -0.3, 1.2, 0, 0.9};

TEST(Router, V3CheckVector) {
  for (const cpu::Isa isa : cpu::kAllIsas) {
    if (!cpu::supports(isa)) continue;
    OpCheck check(DType::f32, cpu::router_cpu_kernels(), 2, isa);
    Program& program = check.program();
    const Tensor logits = check.leaf("logits", {1, 8}, kLogits, DType::f32);
    const Tensor bias =
        check.constants("bias", {8}, {0, 0.3f, -0.2f, 0, 0.1f, -0.1f, 0.25f, -0.05f});
    const Routing routing = route(program, logits, bias, {}, {},
                                  {.experts = 8,
                                   .experts_per_token = 3,
                                   .groups = 4,
                                   .kept_groups = 2,
                                   .score = GateScore::sigmoid,
                                   .group_score = GroupScore::sum_of_top_two,
                                   .normalize = true,
                                   .scaling = 2.5});
    // loss = 1 * w6 + 2 * w2 + 3 * w7
    Attributes attributes = program.ops().back().attributes;
    attributes.set("accumulate", 0);
    attributes.set("weight_slot", program.step_slot(step_slot::kBalanceWeight));
    attributes.set("sequences_slot", program.step_slot(step_slot::kSequences));
    const Tensor d_weights = check.constants("d_weights", {1, 3}, {1, 2, 3});
    const Tensor d_logits = program.activation("d_logits", {1, 8}, DType::f32);
    program.append(kRouteBackward, {d_weights, routing.experts, routing.scores, {}, {}}, {d_logits},
                   attributes);
    check.result(routing.weights);
    check.run();
    EXPECT_EQ(as_integers(check.value(routing.experts)), (std::vector<std::int32_t>{6, 2, 7}));
    const std::vector<double> weights = {0.597586751, 1.052705288, 0.849707961};
    const std::vector<double> gradient = {0, 0, -0.012655020, 0, 0, 0, -0.328926206, 0.220839307};
    for (int i = 0; i < 3; ++i) EXPECT_NEAR(check.value(routing.weights)[i], weights[i], 3e-7);
    for (int i = 0; i < 8; ++i) EXPECT_NEAR(check.value(d_logits)[i], gradient[i], 3e-7);
  }
}

TEST(Router, V2CheckVector) {
  OpCheck check(DType::f32, cpu::router_cpu_kernels());
  const Tensor logits = check.leaf("logits", {1, 8}, kLogits, DType::f32);
  const Routing routing =
      route(check.program(), logits, {}, {}, {},
            {.experts = 8, .experts_per_token = 3, .groups = 4, .kept_groups = 2, .scaling = 16});
  check.result(routing.weights);
  check.run();
  EXPECT_EQ(as_integers(check.value(routing.experts)), (std::vector<std::int32_t>{2, 5, 3}));
  const std::vector<double> weights = {6.55662489, 2.94608164, 0.980665326};
  for (int i = 0; i < 3; ++i) EXPECT_NEAR(check.value(routing.weights)[i], weights[i], 2e-6);
}

// ---- All variants against the oracle ----------------------------------------------------------

struct Case {
  const char* name;
  RouterOptions options;
  bool biased = false, padded = false;
};

const Case kCases[] = {
    {"one expert", {.experts = 1, .batch = 2, .sequence = 3}},
    {"greedy softmax", {.experts = 17, .experts_per_token = 4, .batch = 1, .sequence = 70}},
    {"all experts of each token",
     {.experts = 5,
      .experts_per_token = 5,
      .score = GateScore::sigmoid,
      .normalize = true,
      .scaling = 1.5,
      .balance = BalanceLoss::sequence,
      .batch = 3,
      .sequence = 2}},
    {"V2-Lite",
     {.experts = 64,
      .experts_per_token = 6,
      .balance = BalanceLoss::sequence,
      .batch = 2,
      .sequence = 65},
     false,
     true},
    {"V2",
     {.experts = 40,
      .experts_per_token = 6,
      .groups = 8,
      .kept_groups = 3,
      .scaling = 16,
      .balance = BalanceLoss::batch,
      .batch = 3,
      .sequence = 33},
     false,
     true},
    {"V3",
     {.experts = 32,
      .experts_per_token = 4,
      .groups = 4,
      .kept_groups = 2,
      .score = GateScore::sigmoid,
      .group_score = GroupScore::sum_of_top_two,
      .normalize = true,
      .scaling = 2.5,
      .balance = BalanceLoss::sequence,
      .batch = 3,
      .sequence = 66},
     true,
     true},
    {"V3, all groups kept, whole batch",
     {.experts = 24,
      .experts_per_token = 3,
      .groups = 2,
      .kept_groups = 2,
      .score = GateScore::sigmoid,
      .group_score = GroupScore::sum_of_top_two,
      .balance = BalanceLoss::batch,
      .batch = 2,
      .sequence = 40},
     true},
    {"more experts than a chunk",
     {.experts = 130,
      .experts_per_token = 8,
      .groups = 10,
      .kept_groups = 4,
      .score = GateScore::sigmoid,
      .group_score = GroupScore::sum_of_top_two,
      .normalize = true,
      .balance = BalanceLoss::sequence,
      .batch = 2,
      .sequence = 9},
     true},
};

class RouterCheck {
 public:
  RouterCheck(const Case& c, int threads, cpu::Isa isa)
      : options(c.options), check(DType::f32, cpu::router_cpu_kernels(), threads, isa) {
    const std::int64_t tokens = options.batch * options.sequence, experts = options.experts;
    Program& program = check.program();
    logits = check.leaf("logits", {tokens, experts}, 3);
    Tensor bias_tensor, ids_tensor;
    if (c.biased) {
      std::vector<float> values;
      for (std::int64_t i = 0; i < experts; ++i) {
        values.push_back(static_cast<float>(i * 7 % 11) * 0.03f - 0.6f);
      }
      bias.assign(values.begin(), values.end());
      bias_tensor = check.constants("bias", {experts}, values);
    }
    if (c.padded) {  // and the whole last sequence is padding
      for (std::int64_t t = 0; t < tokens; ++t) {
        ids.push_back(t % 5 == 3 || (options.batch > 1 && t >= tokens - options.sequence) ? -1 : 9);
      }
      ids_tensor = check.integers("ids", {tokens}, ids);
    }
    load = check.integers("load", {experts}, std::vector<std::int32_t>(experts));
    routing = route(program, logits, bias_tensor, ids_tensor, load, options);
    check.output(routing.weights);
    check.set_slot(step_slot::kBalanceWeight, 3);  // as large as the other gradient, to be seen
    check.state().loss_scale = 2;
    check.set_slot(step_slot::kSequences, 4);
    check.run();
  }

  Expected expected(const std::vector<double>& logit_values) const {
    return expected_routing(logit_values, bias, ids, options);
  }

  // What the gradients of the check are gradients of.
  double objective(const std::vector<double>& logit_values) const {
    const Expected e = expected(logit_values);
    double sum = 0;
    for (std::size_t i = 0; i < e.weights.size(); ++i) sum += e.weights[i] * check.upstream()[i];
    if (options.balance == BalanceLoss::none) return sum;
    const double stands_for = options.balance == BalanceLoss::batch ? options.batch : 1;
    for (const double loss : e.losses) sum += 3.0 * 2.0 / 4.0 * stands_for * loss;
    return sum;
  }

  RouterOptions options;
  OpCheck check;
  Tensor logits, load;
  std::vector<double> bias;
  std::vector<std::int32_t> ids;
  Routing routing;
};

// Central differences of some of the logits, by index.
std::vector<std::pair<std::size_t, double>> slopes_of(const RouterCheck& router) {
  std::vector<double> logits = router.check.value(router.logits);
  std::vector<std::pair<std::size_t, double>> slopes;
  for (std::size_t i = 0; i < logits.size(); i += 1 + logits.size() / 80) {
    const double logit = logits[i];
    double objective[2];
    for (const int side : {0, 1}) {
      logits[i] = logit + (side == 0 ? -1e-6 : 1e-6);
      objective[side] = router.objective(logits);
    }
    logits[i] = logit;
    slopes.emplace_back(i, (objective[1] - objective[0]) / 2e-6);
  }
  return slopes;
}

TEST(Router, MatchesReferenceAndFiniteDifferences) {
  for (const Case& c : kCases) {
    std::vector<std::pair<std::size_t, double>> slopes;
    for (const cpu::Isa isa : cpu::kAllIsas) {
      if (!cpu::supports(isa)) continue;
      SCOPED_TRACE(c.name);
      RouterCheck router(c, 2, isa);
      const Expected expected = router.expected(router.check.value(router.logits));
      ASSERT_EQ(as_integers(router.check.value(router.routing.experts)), expected.chosen);
      const std::vector<double> weights = router.check.value(router.routing.weights);
      for (std::size_t i = 0; i < weights.size(); ++i) {
        ASSERT_NEAR(weights[i], expected.weights[i], kF32 * router.options.scaling);
      }
      if (router.options.balance != BalanceLoss::none) {
        const double sum = std::accumulate(expected.losses.begin(), expected.losses.end(), 0.0);
        EXPECT_NEAR(router.check.value(router.routing.balance_loss)[0],
                    sum / static_cast<double>(expected.losses.size()), kF32);
      }
      if (slopes.empty()) slopes = slopes_of(router);
      const std::vector<double> gradient = router.check.gradient("logits");
      double most = 1e-3;
      for (const double g : gradient) most = std::max(most, std::fabs(g));
      for (const auto& [i, slope] : slopes) {
        ASSERT_NEAR(gradient[i], slope, kF32 * most) << "logit " << i;
      }
    }
  }
}

TEST(Router, BitsDoNotDependOnTheNumberOfThreads) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    std::vector<std::vector<double>> expected;
    for (const int threads : {1, 2, 3}) {
      RouterCheck router(c, threads, cpu::isa());
      std::vector<std::vector<double>> got = {
          router.check.value(router.routing.experts), router.check.value(router.routing.weights),
          router.check.value(router.load), router.check.gradient("logits")};
      if (router.routing.balance_loss) {
        got.push_back(router.check.value(router.routing.balance_loss));
      }
      if (threads == 1) expected = got;
      EXPECT_EQ(got, expected) << threads << " threads";
    }
  }
}

TEST(Router, BalanceLossOfUniformRoutingIsOne) {
  for (const BalanceLoss balance : {BalanceLoss::sequence, BalanceLoss::batch}) {
    std::vector<double> logits(8 * 4);  // token t likes expert t % 4
    for (int t = 0; t < 8; ++t) logits[t * 4 + t % 4] = 1;
    OpCheck check(DType::f32, cpu::router_cpu_kernels());
    const Tensor x = check.leaf("logits", {8, 4}, logits, DType::f32);
    const Routing routing = route(check.program(), x, {}, {}, {},
                                  {.experts = 4, .balance = balance, .batch = 2, .sequence = 4});
    check.output(routing.weights);
    check.run();
    EXPECT_NEAR(check.value(routing.balance_loss)[0], 1, 1e-6);
  }
}

TEST(Router, RefusesWhatDoesNotFit) {
  const auto built = [](RouterOptions options) {
    Program program;
    const Tensor x = program.persistent("logits", {6, 8}, DType::f32, Role::input);
    route(program, x, {}, {}, {}, options);
  };
  const RouterOptions good{.experts = 8, .experts_per_token = 2, .batch = 2, .sequence = 3};
  EXPECT_NO_THROW(built(good));
  RouterOptions bad = good;
  bad.groups = 3;
  EXPECT_THROW(built(bad), std::logic_error);
  bad = good;
  bad.groups = 4, bad.kept_groups = 1, bad.experts_per_token = 3;
  EXPECT_THROW(built(bad), std::logic_error);
  bad = good;
  bad.groups = 8, bad.kept_groups = 4, bad.group_score = GroupScore::sum_of_top_two;
  EXPECT_THROW(built(bad), std::logic_error);
  bad = good;
  bad.sequence = 4;
  EXPECT_THROW(built(bad), std::logic_error);
}

}  // namespace
}  // namespace ingot
