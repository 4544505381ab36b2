#include <algorithm>
#include <cmath>
#include <string_view>

#include "ops/attention/attention_kernels.h"

namespace ingot::cpu {
namespace {

// Of a sequence with a shared rotary key: each head part keeps a sum of that key's gradient, so
// more balance better, and take more memory.
constexpr std::int64_t kMostHeadParts = 16;
// With fewer head parts than this the queries are cut too, which takes memory for the keys' sums.
constexpr std::int64_t kLeastTiles = 8;

// What the backward op knows besides.
struct BackwardShape : FlashShape {
  BackwardShape(const Program& program, const Op& op)
      : FlashShape(program, op),
        output_gradient_stride(program.row_stride(op.inputs[6])),
        rope_gradient(op.outputs[3]),
        head_parts(rope_gradient ? std::min(kv_heads, kMostHeadParts) : kv_heads),
        query_parts(std::clamp<std::int64_t>(
            (kLeastTiles + batch * head_parts - 1) / (batch * head_parts), 1, units())) {
    constexpr std::string_view kAccumulate[] = {"query_accumulate", "key_accumulate",
                                                "value_accumulate", "rope_accumulate"};
    for (int i = 0; i < 4; ++i) {
      stride[i] = op.outputs[i] ? program.row_stride(op.outputs[i]) : 0;
      add[i] = op.attributes.flag(kAccumulate[i]);
    }
  }

  // The unit where a query part begins. Work grows with the position, so the parts, equal in work,
  // grow shorter.
  std::int64_t first_unit(std::int64_t part) const {
    const double share = static_cast<double>(part) / static_cast<double>(query_parts);
    return std::llround(std::sqrt(share) * static_cast<double>(units()));
  }
  std::int64_t key_sums() const { return sequence * FlashSums::columns(query.size); }
  std::int64_t sums() const {  // floats of a FlashSums
    return key_sums() + sequence * FlashSums::columns(value.size);
  }
  std::int64_t rope_elements() const { return rope_gradient ? sequence * rope_size : 0; }

  std::int64_t output_gradient_stride;
  bool rope_gradient;
  std::int64_t head_parts;   // of a sequence's key/value heads
  std::int64_t query_parts;  // of a sequence; then every head is a head part
  std::int64_t stride[4];    // of the rows of dq, dk, dv, d_key_rope
  bool add[4];
};

// Where the first element of a head's gradient lies; null when it is not wanted.
template <class T>
T* gradient_of(const BackwardShape& s, const KernelArguments& arguments, int output,
               const HeadPlaces& heads, std::int64_t token, std::int64_t head) {
  T* base = arguments.output<T>(output);
  return base == nullptr
             ? nullptr
             : base + token * s.stride[output] + heads.offset + head * heads.head_stride;
}

// A query part: the gradient of its queries, and sums for those of the keys and values.
template <class T>
void backward_query_part(const BackwardShape& s, const KernelArguments& arguments,
                         std::int64_t first_token, std::int64_t kv_head, std::int64_t part,
                         const FlashSums& sums, std::byte* workspace,
                         const FlashBackwardKernels<T>& kernels) {
  const std::int64_t head = kv_head * s.group;
  kernels.backward(
      {.keys = s.keys<T>(arguments, first_token, kv_head),
       .sequence = s.sequence,
       .group = s.group,
       .first_unit = s.first_unit(part),
       .last_unit = s.first_unit(part + 1),
       .query = arguments.input<T>(0) + s.query.at(first_token, head),
       .query_stride = s.query.row_stride,
       .query_head = s.query.head_stride,
       .output = arguments.input<T>(4) + first_token * s.output_columns() + head * s.value.size,
       .output_gradient =
           arguments.input<T>(6) + first_token * s.output_gradient_stride + head * s.value.size,
       .output_stride = s.output_columns(),
       .output_gradient_stride = s.output_gradient_stride,
       .output_head = s.value.size,
       .lse = arguments.input<float>(5) + first_token * s.query_heads + head,
       .lse_stride = s.query_heads,
       .scale = s.scale,
       .query_gradient = gradient_of<T>(s, arguments, 0, s.query, first_token, head),
       .query_gradient_stride = s.stride[0],
       .query_add = s.add[0],
       .sums = sums,
       .workspace = workspace});
}

// Rows [row, row + rows) of the gradients of one key/value head. sums, rope: of its sequence.
template <class T>
void write_keys(const BackwardShape& s, const KernelArguments& arguments, std::int64_t first_token,
                std::int64_t kv_head, std::int64_t row, std::int64_t rows, const FlashSums& sums,
                float* rope, const FlashBackwardKernels<T>& kernels) {
  const std::int64_t token = first_token + row;
  kernels.write_keys({.sums = {.key = sums.key + row * FlashSums::columns(s.query.size),
                               .value = sums.value + row * FlashSums::columns(s.value.size)},
                      .parts = s.query_parts,
                      .part_stride = s.sums(),
                      .rows = rows,
                      .key_size = s.key.size,
                      .rope_size = s.rope_size,
                      .value_size = s.value.size,
                      .scale = s.scale,
                      .key = gradient_of<T>(s, arguments, 1, s.key, token, kv_head),
                      .value = gradient_of<T>(s, arguments, 2, s.value, token, kv_head),
                      .key_stride = s.stride[1],
                      .value_stride = s.stride[2],
                      .key_add = s.add[1],
                      .value_add = s.add[2],
                      .rope = s.rope_gradient ? rope + row * s.rope_size : nullptr});
}

// Scratch memory of a backward op, in this order.
struct BackwardMemory {
  BackwardMemory(const BackwardShape& s, std::int64_t threads, std::int64_t thread_bytes)
      : thread_bytes(thread_bytes),
        sums_offset(threads * thread_bytes),
        rope_offset(sums_offset +
                    4 * s.sums() * (s.query_parts > 1 ? s.streams() * s.query_parts : threads)),
        bytes(rope_offset + 4 * s.rope_elements() * s.batch * s.head_parts) {}

  FlashSums sums(const BackwardShape& s, const KernelArguments& arguments,
                 std::int64_t index) const {
    auto* first = reinterpret_cast<float*>(arguments.workspace.data() + sums_offset);
    first += index * s.sums();
    return {.key = first, .value = first + s.key_sums()};
  }
  // [sequence, rope size]: the part of the shared rotary key's gradient from some heads.
  float* rope(const BackwardShape& s, const KernelArguments& arguments, std::int64_t index) const {
    return reinterpret_cast<float*>(arguments.workspace.data() + rope_offset) +
           index * s.rope_elements();
  }

  std::int64_t thread_bytes, sums_offset, rope_offset, bytes;
};

// Tile: a head part, all queries.
template <class T>
void backward_heads(const BackwardShape& s, const KernelArguments& arguments,
                    const BackwardMemory& memory, std::int64_t tile, int thread,
                    const FlashBackwardKernels<T>& kernels) {
  const std::int64_t first_token = tile / s.head_parts * s.sequence;
  const std::int64_t part = tile % s.head_parts;
  const FlashSums sums = memory.sums(s, arguments, thread);
  float* rope = memory.rope(s, arguments, tile);
  std::fill_n(rope, s.rope_elements(), 0.0f);
  const std::int64_t last = s.kv_heads * (part + 1) / s.head_parts;
  for (std::int64_t kv_head = s.kv_heads * part / s.head_parts; kv_head < last; ++kv_head) {
    backward_query_part(s, arguments, first_token, kv_head, 0, sums,
                        arguments.workspace.data() + thread * memory.thread_bytes, kernels);
    write_keys(s, arguments, first_token, kv_head, 0, s.sequence, sums, rope, kernels);
  }
}

// The same for few sequences and heads. Tile: a query part, then 64 tokens of the keys of a stream.
template <class T>
void backward_queries(const BackwardShape& s, const KernelArguments& arguments,
                      const BackwardMemory& memory, ThreadPool& pool,
                      const FlashBackwardKernels<T>& kernels) {
  pool.parallel_for(s.streams() * s.query_parts, [&](std::int64_t tile, int thread) {
    const std::int64_t stream = tile / s.query_parts;
    backward_query_part(s, arguments, stream / s.kv_heads * s.sequence, stream % s.kv_heads,
                        tile % s.query_parts, memory.sums(s, arguments, tile),
                        arguments.workspace.data() + thread * memory.thread_bytes, kernels);
  });
  const std::int64_t blocks = (s.sequence + kFlashBlock - 1) / kFlashBlock;
  pool.parallel_for(s.streams() * blocks, [&](std::int64_t tile, int) {
    const std::int64_t stream = tile / blocks, row = tile % blocks * kFlashBlock;
    const std::int64_t rows = std::min(kFlashBlock, s.sequence - row);
    float* rope = memory.rope(s, arguments, stream);
    if (s.rope_gradient) std::fill_n(rope + row * s.rope_size, rows * s.rope_size, 0.0f);
    write_keys(s, arguments, stream / s.kv_heads * s.sequence, stream % s.kv_heads, row, rows,
               memory.sums(s, arguments, stream * s.query_parts), rope, kernels);
  });
}

// The gradient of the shared rotary key is the sum over all head parts. Tile: 64 tokens.
template <class T>
void write_rope(const BackwardShape& s, const KernelArguments& arguments,
                const BackwardMemory& memory, std::int64_t tile,
                const FlashBackwardKernels<T>& kernels) {
  const std::int64_t last = std::min((tile + 1) * kFlashBlock, s.batch * s.sequence);
  for (std::int64_t token = tile * kFlashBlock; token < last; ++token) {
    const float* first = memory.rope(s, arguments, token / s.sequence * s.head_parts) +
                         token % s.sequence * s.rope_size;
    kernels.sum_parts(first, s.rope_elements(), s.head_parts, s.rope_size, s.scale,
                      arguments.output<T>(3) + token * s.stride[3], s.add[3]);
  }
}

template <class T>
std::unique_ptr<Kernel> make_backward(const BackwardShape& s, const Context& context,
                                      const FlashBackwardKernels<T>& kernels) {
  ThreadPool& pool = context.pool;
  const BackwardMemory memory(s, pool.threads(), flash_backward(context.isa).workspace(s.sizes()));
  const std::int64_t rope_tiles = (s.batch * s.sequence + kFlashBlock - 1) / kFlashBlock;
  return make_kernel(memory.bytes, [=, &pool](const KernelArguments& arguments, const Turn&) {
    if (s.query_parts > 1) {
      backward_queries(s, arguments, memory, pool, kernels);
    } else {
      pool.parallel_for(s.batch * s.head_parts, [&](std::int64_t tile, int thread) {
        backward_heads(s, arguments, memory, tile, thread, kernels);
      });
    }
    if (!s.rope_gradient) return;
    pool.parallel_for(rope_tiles, [&](std::int64_t tile, int) {
      write_rope(s, arguments, memory, tile, kernels);
    });
  });
}

}  // namespace

std::unique_ptr<Kernel> make_attention_backward(const Program& program, const Op& op,
                                                const Context& context) {
  const BackwardShape shape(program, op);
  return by_dtype(program.dtype(op.inputs[0]), flash_backward(context.isa),
                  [&](const auto& kernels) { return make_backward(shape, context, kernels); });
}

}  // namespace ingot::cpu
