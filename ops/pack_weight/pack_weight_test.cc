#include "ops/pack_weight/pack_weight.h"

#include <gtest/gtest.h>

#include <optional>

#include "backends/cpu/join_kernels.h"
#include "engine/program/rewrite_ops.h"
#include "ops/grouped_linear/grouped_linear.h"
#include "ops/grouped_linear/grouped_linear_cpu.h"
#include "ops/linear/linear.h"
#include "ops/linear/linear_cpu.h"
#include "ops/pack_weight/pack_weight_cpu.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

std::vector<cpu::KernelEntry> kernels() {
  return cpu::join_kernels({cpu::linear_cpu_kernels(), cpu::grouped_linear_cpu_kernels(),
                            cpu::pack_weight_cpu_kernels()});
}

// What becomes of every product with a weight.
struct Form {
  bool packed = false;                          // it gets the weight packed
  std::optional<std::int64_t> int8_block = {};  // it is computed in int8
};

void apply(const Form& form, Program& program) {
  rewrite_ops(program, [&](std::vector<Op>& ops, std::size_t i) {
    Op& op = ops[i];
    const bool forward = op.kind == &kLinear || op.kind == &kGroupedLinear;
    if (forward || op.kind == &kLinearDgrad || op.kind == &kGroupedLinearDgrad) {
      if (form.int8_block) {
        op.attributes.set("int8", 1);
        op.attributes.set("int8_block", static_cast<double>(*form.int8_block));
      }
      const PackedFor layout = forward ? PackedFor::forward : PackedFor::dgrad;
      if (form.packed) {
        use_packed_weight(op, pack_weight(program, op.inputs[1], layout, form.int8_block), 0);
      }
    }
    program.append(std::move(op));
  });
}

// In floats, and in int8 with scales of whole rows and of blocks.
const std::optional<std::int64_t> kBlocks[] = {std::nullopt, 0, 32};

struct Setting {
  DType dtype;
  cpu::Isa isa;
  int threads;
};

std::vector<Setting> settings() {
  std::vector<Setting> all;
  for (const cpu::Isa isa : cpu::kAllIsas) {
    if (!cpu::supports(isa)) continue;
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      all.push_back({dtype, isa, static_cast<int>(all.size() % 3) + 1});
    }
  }
  return all;
}

// Values and gradients, twice: the second micro-step finds the weights packed already.
std::vector<std::vector<double>> results(OpCheck& check, Tensor y, const Form& form) {
  check.transform([&form](Program& program) { apply(form, program); });
  check.output(y);
  check.run();
  std::vector<std::vector<double>> all;
  for (int micro_step = 0; micro_step < 2; ++micro_step) {
    if (micro_step > 0) check.run_again();
    all.insert(all.end(), {check.value(y), check.gradient("x"), check.gradient("weight")});
  }
  return all;
}

TEST(PackWeight, GivesLinearTheSameBits) {
  for (const auto& [dtype, isa, threads] : settings()) {
    for (const auto& [rows, in, out] :
         {std::tuple{70, 33, 70}, std::tuple{200, 70, 16}, std::tuple{33, 1, 1}}) {
      const auto of = [&](const Form& form) {
        OpCheck check(dtype, kernels(), threads, isa);
        const Tensor x = check.leaf("x", {rows, in});
        const Tensor weight = check.weight("weight", {out, in});
        const LinearOptions options{.bias = check.weight("bias", {out}, 1, DType::f32),
                                    .residual = check.leaf("residual", {rows, out})};
        return results(check, linear(check.program(), x, weight, options), form);
      };
      for (const auto& block : kBlocks) {
        EXPECT_EQ(of({.packed = true, .int8_block = block}), of({.int8_block = block}))
            << name_of(dtype) << " " << isa_name(isa) << " " << rows;
      }
    }
  }
}

// Those of few rows are summed up in another order: they take the weight as it lies.
TEST(PackWeight, GivesExpertsOfManyAndOfFewRowsTheSameBits) {
  const std::vector<std::int32_t> bounds = {0, 0, 5, 105, 138, 170, 203};
  for (const auto& [dtype, isa, threads] : settings()) {
    const auto of = [&](const Form& form) {
      OpCheck check(dtype, kernels(), threads, isa);
      const Tensor x = check.leaf("x", {210, 37});
      const Tensor weight = check.weight("weight", {6, 51, 37});
      const Tensor offsets = check.integers("offsets", {7}, bounds);
      return results(check, grouped_linear(check.program(), x, weight, offsets), form);
    };
    for (const auto& block : kBlocks) {
      EXPECT_EQ(of({.packed = true, .int8_block = block}), of({.int8_block = block}))
          << name_of(dtype) << " " << isa_name(isa);
    }
  }
}

TEST(PackWeight, IsDoneInTheFirstMicroStepOfEachStep) {
  Program program;
  const Shape shape{3, 40, 17};
  const Tensor weight = program.persistent("weight", shape, DType::f32, Role::weight);
  const Tensor packed = pack_weight(program, weight, PackedFor::dgrad);
  cpu::CpuBackend backend(2, cpu::pack_weight_cpu_kernels());
  BoundProgram bound(program, backend);
  EXPECT_GE(bound.bytes(packed.id), program.info(weight).bytes());
  Placement placement = separate_places(program, bound);
  Executor executor(program, std::move(bound), std::move(placement), backend);
  const auto run = [&](float value, bool first) {
    const std::vector<float> values(shape.elements(), value);
    executor.write(weight, std::as_bytes(std::span(values)));
    executor.run(Part::micro_step, {}, {.first = first});
    return executor.read_scalar(packed);
  };
  EXPECT_EQ(run(1, true), 1);
  EXPECT_EQ(run(2, false), 1);
  EXPECT_EQ(run(3, true), 3);
}

TEST(PackWeight, RefusesWhatIsNoMatrix) {
  Program program;
  const Tensor vector = program.persistent("gain", {8}, DType::f32, Role::weight);
  const Tensor codes = program.persistent("codes", {8, 8}, DType::i8, Role::weight);
  EXPECT_THROW(pack_weight(program, vector, PackedFor::forward), std::logic_error);
  EXPECT_THROW(pack_weight(program, codes, PackedFor::forward), std::logic_error);
}

}  // namespace
}  // namespace ingot
