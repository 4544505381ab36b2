// Time of the mixture of experts by op, forward and backward, bf16: what routing, permuting and
// combining cost beside the experts' products.
//
//   bazel run //tests/bench:expert_block_bench [-- TOKENS HIDDEN WIDTH EXPERTS SLOTS]
//
// Without arguments: 2048 tokens, hidden 512, width 256, 4 of 16 and of 64 experts. Times are the
// least of 30 runs for each op.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "backends/cpu/join_kernels.h"
#include "engine/execution/op_times.h"
#include "engine/program/autodiff.h"
#include "memory/plan.h"
#include "ops/add/add.h"
#include "ops/add/add_cpu.h"
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

namespace ingot {
namespace {

struct Size {
  std::int64_t tokens, hidden, width, experts, slots;
};

std::vector<cpu::KernelEntry> kernels() {
  return cpu::join_kernels({cpu::add_cpu_kernels(), cpu::linear_cpu_kernels(),
                            cpu::router_cpu_kernels(), cpu::dispatch_cpu_kernels(),
                            cpu::grouped_linear_cpu_kernels(), cpu::swiglu_cpu_kernels(),
                            cpu::combine_cpu_kernels()});
}

Tensor weight(Program& program, const char* name, Shape shape, DType dtype, DType gradient) {
  const Tensor tensor = program.persistent(name, shape, dtype, Role::weight);
  program.add_weight(
      {.value = {.form = plain_form(dtype), .values = tensor},
       .gradient = {.form = plain_form(gradient),
                    .values = program.persistent("gradient", shape, gradient, Role::gradient)},
       .compute = tensor});
  return tensor;
}

// The gradient of y is a tensor of noise.
void seed_gradient(Gradients& gradients, const Op& op) {
  const auto target = gradients.into(op.inputs[0]);
  add_into(gradients.program(), op.inputs[1], target.tensor, target.accumulate);
}
const OpKind kSeed{.name = "seed", .gradient = seed_gradient, .forward_in_gradient = true};

Program block(const Size& size) {
  const auto [tokens, hidden, width, experts, slots] = size;
  Program program;
  const Tensor x = weight(program, "x", {tokens, hidden}, DType::bf16, DType::bf16);
  const Tensor residual = weight(program, "residual", {tokens, hidden}, DType::bf16, DType::bf16);
  const Tensor gate = weight(program, "gate", {experts, hidden}, DType::f32, DType::f32);
  const Tensor gate_up =
      weight(program, "gate_up", {experts, 2 * width, hidden}, DType::bf16, DType::f32);
  const Tensor down = weight(program, "down", {experts, hidden, width}, DType::bf16, DType::f32);
  const Tensor load = program.persistent("load", {experts}, DType::i32, Role::optimizer_state);
  const Tensor bias = program.persistent("bias", {experts}, DType::f32, Role::weight);
  const Tensor noise = program.persistent("noise", {tokens, hidden}, DType::bf16, Role::input);

  const Tensor logits = linear(program, x, gate, {.output_dtype = DType::f32});
  const Routing routing = route(program, logits, bias, {}, load,
                                {.experts = experts,
                                 .experts_per_token = slots,
                                 .groups = 4,
                                 .kept_groups = 2,
                                 .score = GateScore::sigmoid,
                                 .group_score = GroupScore::sum_of_top_two,
                                 .normalize = true,
                                 .balance = BalanceLoss::sequence,
                                 .batch = 4,
                                 .sequence = tokens / 4});
  const Dispatch sorted = dispatch(program, routing);
  const Tensor rows = permute(program, x, sorted);
  const Tensor weights = permute_weights(program, routing.weights, sorted);
  const Tensor h = swiglu(program, grouped_linear(program, rows, gate_up, sorted.offsets), weights,
                          sorted.row_count());
  const Tensor y =
      combine(program, grouped_linear(program, h, down, sorted.offsets), sorted, residual);
  program.append(kSeed, {y, noise}, {});
  differentiate(program);
  return program;
}

void fill_noise(Executor& executor, const Program& program) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (std::size_t id = 0; id < program.tensors().size(); ++id) {
    const TensorInfo& info = program.tensors()[id];
    if (info.lifetime != Lifetime::persistent || info.role == Role::gradient ||
        info.dtype == DType::i32 || info.name == "bias") {
      continue;
    }
    const float scale = info.role == Role::weight && info.name != "x" ? 0.04f : 1.0f;
    std::vector<std::byte> bytes(info.bytes());
    for (std::int64_t i = 0; i < info.shape.elements(); ++i) {
      const float value = normal(random) * scale;
      const std::uint16_t half = float_to_bf16(value);
      if (info.dtype == DType::f32) {
        std::memcpy(&bytes[i * 4], &value, 4);
      } else {
        std::memcpy(&bytes[i * 2], &half, 2);
      }
    }
    executor.write(program.whole(static_cast<int>(id)), bytes);
  }
}

void measure(const Size& size) {
  Program program = block(size);
  cpu::CpuBackend backend(cpu::default_threads(), kernels());
  BoundProgram bound(program, backend);
  const MemoryPlan plan = plan_memory(program, bound);
  Executor executor(program, std::move(bound), plan.placement, backend);
  fill_noise(executor, program);
  StepState state;
  set_slot(state, program, step_slot::kBalanceWeight, 1e-4);
  set_slot(state, program, step_slot::kSequences, 4);
  OpTimes times(executor);
  executor.set_observer(&times);
  for (int run = 0; run < 30; ++run) executor.run(Part::micro_step, state);
  times.collect();

  double total = 0, moving = 0;
  std::printf("\n%lld tokens, hidden %lld, width %lld, %lld of %lld experts; %s\n",
              static_cast<long long>(size.tokens), static_cast<long long>(size.hidden),
              static_cast<long long>(size.width), static_cast<long long>(size.slots),
              static_cast<long long>(size.experts), backend.traits().name.c_str());
  const std::span<const Op> ops = program.ops(Part::micro_step);
  for (const Op& op : ops) {
    const double seconds = times.fastest(&op - program.ops().data());
    const std::string kind(op.kind->name);
    std::printf("  %-22s %8.1f us", kind.c_str(), seconds * 1e6);
    if (op.flops > 0) std::printf(" %8.1f GFLOP/s", op.flops / seconds * 1e-9);
    std::printf(" %8.1f GB/s\n", op.bytes / seconds * 1e-9);
    if (kind == "add_into") continue;  // the seed, not the block's
    total += seconds;
    const bool product = kind.find("linear") != std::string::npos || kind.starts_with("swiglu");
    if (!product) moving += seconds;
  }
  std::printf("  block %.2f ms; route, dispatch, permute, combine and back %.2f ms: %.1f %%\n",
              total * 1e3, moving * 1e3, 100 * moving / total);
}

}  // namespace
}  // namespace ingot

int main(int argc, char** argv) {
  if (argc == 6) {
    const auto number = [&](int i) { return std::atoll(argv[i]); };
    ingot::measure({number(1), number(2), number(3), number(4), number(5)});
    return 0;
  }
  ingot::measure({2048, 512, 256, 16, 4});
  ingot::measure({2048, 512, 256, 64, 4});
}
