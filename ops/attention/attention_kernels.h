// What both kernels of attention are made with. Words:
//   stream      a key/value head of one sequence, and the query heads that read it
//   unit        kFlashBlock queries of one head: what the inner loops have in registers and caches
//   tile        what a thread takes from the pool at a time. Forward: up to kFlashUnits units of a
//               stream, which share the packing of its keys. Backward: a head part, or a query part
//   head part   some streams of one sequence, done one after the other by one thread, who sums
//   their
//               gradients of a shared rotary key in one place
//   query part  some units of one stream, whose gradients of keys and values are summed in one
//   place
#pragma once

#include "ops/attention/attention_attributes.h"
#include "ops/attention/attention_cpu.h"
#include "ops/attention/flash_simd.h"

namespace ingot::cpu {

// What forward and backward ops have in common.
struct FlashShape : AttentionShape {
  FlashShape(const Program& program, const Op& op)
      : AttentionShape(program, op),
        rope_size(op.inputs[3] ? op.inputs[3].columns : 0),
        rope_stride(op.inputs[3] ? program.row_stride(op.inputs[3]) : 0) {}

  std::int64_t streams() const { return batch * kv_heads; }
  std::int64_t units() const { return (sequence + kFlashBlock - 1) / kFlashBlock * group; }
  FlashSizes sizes() const { return {.key_size = query.size, .value_size = value.size}; }

  template <class T>
  FlashKeys<T> keys(const KernelArguments& arguments, std::int64_t first_token,
                    std::int64_t kv_head) const {
    const T* rope = arguments.input<T>(3);
    return {.key = arguments.input<T>(1) + key.at(first_token, kv_head),
            .key_stride = key.row_stride,
            .key_size = key.size,
            .rope = rope == nullptr ? nullptr : rope + first_token * rope_stride,
            .rope_stride = rope_stride,
            .rope_size = rope_size,
            .value = arguments.input<T>(2) + value.at(first_token, kv_head),
            .value_stride = value.row_stride,
            .value_size = value.size};
  }

  std::int64_t rope_size, rope_stride;
};

// make(the kernels of a table that are for this storage type)
template <class Table, class Make>
std::unique_ptr<Kernel> by_dtype(DType dtype, const Table& table, const Make& make) {
  switch (dtype) {
    case DType::bf16:
      return make(table.bf16);
    case DType::f16:
      return make(table.f16);
    default:
      return make(table.f32);
  }
}

std::unique_ptr<Kernel> make_attention(const Program& program, const Op& op,
                                       const Context& context);
std::unique_ptr<Kernel> make_attention_backward(const Program& program, const Op& op,
                                                const Context& context);

}  // namespace ingot::cpu
