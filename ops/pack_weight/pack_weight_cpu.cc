#include "ops/pack_weight/pack_weight_cpu.h"

#include "backends/cpu/int8_matmul.h"
#include "backends/cpu/matmul.h"

namespace ingot::cpu {
namespace {

class PackWeight final : public Kernel {
 public:
  PackWeight(const MatmulSpec& spec, const Context& context)
      : matmul_(spec, context.isa), pool_(context.pool) {}

  std::int64_t output_bytes() const override { return matmul_.packed_bytes(); }
  void run(const KernelArguments& arguments, const Turn&) override {
    matmul_.pack(pool_, arguments.inputs[0], arguments.outputs[0]);
  }

 private:
  Matmul matmul_;
  ThreadPool& pool_;
};

class PackInt8Weight final : public Kernel {
 public:
  PackInt8Weight(const Int8MatmulSpec& spec, const Context& context)
      : matmul_(spec, context.isa), pool_(context.pool) {}

  std::int64_t workspace_bytes() const override { return matmul_.workspace_bytes(); }
  std::int64_t output_bytes() const override { return matmul_.packed_bytes(); }
  void run(const KernelArguments& arguments, const Turn&) override {
    matmul_.pack(pool_, arguments.inputs[0], arguments.outputs[0], arguments.workspace);
  }

 private:
  Int8Matmul matmul_;
  ThreadPool& pool_;
};

// The layout depends on the weight alone, not on how many rows it is multiplied with.
std::unique_ptr<Kernel> make_pack(const Program& program, const Op& op, const Context& context) {
  const Shape& shape = program.info(op.inputs[0]).shape;
  const DType dtype = program.dtype(op.inputs[0]);
  const bool dgrad = op.attributes.flag("dgrad"), experts = shape.rank() == 3;
  const std::int64_t out = shape[shape.rank() - 2], in = shape.last();
  const MatmulSpec spec{.rows = 1,
                        .columns = dgrad ? in : out,
                        .depth = dgrad ? out : in,
                        .a = dtype,
                        .b = dtype,
                        .c = dtype,
                        .b_transposed = !dgrad,
                        .groups = experts ? static_cast<int>(shape[0]) : 1,
                        .b_packed = true,
                        .threads = context.pool.threads()};
  if (op.attributes.flag("int8")) {
    return std::make_unique<PackInt8Weight>(
        Int8MatmulSpec{.product = spec, .block = op.attributes.integer("int8_block")}, context);
  }
  return std::make_unique<PackWeight>(spec, context);
}

}  // namespace

std::span<const KernelEntry> pack_weight_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"pack_weight", make_pack}};
  return kEntries;
}

}  // namespace ingot::cpu
