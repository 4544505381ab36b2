#include "ops/attention/attention_cpu.h"

#include <algorithm>
#include <string>

#include "ops/attention/flash_simd.h"

namespace ingot::cpu {
namespace {

// How many sums of the shared rotary key's gradient a sequence has at most: heads are split into so
// many parts, each summed on its own. More parts balance better, and each takes memory.
constexpr std::int64_t kRopeParts = 16;

struct Heads {
  std::int64_t offset, head_stride, size, row_stride;
};

// What forward and backward ops have in common.
struct Shape {
  Shape(const Program& program, const Op& op)
      : batch(op.attributes.integer("batch")),
        sequence(op.attributes.integer("sequence")),
        query_heads(op.attributes.integer("query_heads")),
        kv_heads(op.attributes.integer("key_value_heads")),
        group(query_heads / kv_heads),
        query(heads(program, op, 0, "query")),
        key(heads(program, op, 1, "key")),
        value(heads(program, op, 2, "value")),
        rope_size(op.inputs[3] ? op.inputs[3].columns : 0),
        rope_stride(op.inputs[3] ? program.row_stride(op.inputs[3]) : 0),
        scale(static_cast<float>(op.attributes.real("scale"))) {}

  static Heads heads(const Program& program, const Op& op, int input, const std::string& name) {
    const Attributes& a = op.attributes;
    return {a.integer(name + "_offset"), a.integer(name + "_stride"), a.integer(name + "_size"),
            program.row_stride(op.inputs[input])};
  }

  std::int64_t units() const { return (sequence + kFlashBlock - 1) / kFlashBlock * group; }
  std::int64_t output_columns() const { return query_heads * value.size; }
  FlashSizes sizes() const {
    return {.key_size = query.size, .value_size = value.size, .sequence = sequence};
  }

  template <class T>
  FlashKeys<T> keys(const KernelArguments& arguments, std::int64_t first_token,
                    std::int64_t kv_head) const {
    const T* rope = arguments.input<T>(3);
    return {.key = arguments.input<T>(1) + first_token * key.row_stride + key.offset +
                   kv_head * key.head_stride,
            .key_stride = key.row_stride,
            .key_size = key.size,
            .rope = rope == nullptr ? nullptr : rope + first_token * rope_stride,
            .rope_stride = rope_stride,
            .rope_size = rope_size,
            .value = arguments.input<T>(2) + first_token * value.row_stride + value.offset +
                     kv_head * value.head_stride,
            .value_stride = value.row_stride,
            .value_size = value.size};
  }

  std::int64_t batch, sequence, query_heads, kv_heads, group;
  Heads query, key, value;
  std::int64_t rope_size, rope_stride;
  float scale;
};

// Tile: kFlashUnits units of one key/value head. Units are the 64 queries of a block of one query
// head; blocks run slowest, so that the units of a tile need nearly the same keys.
template <class T>
void forward_tile(const Shape& s, const KernelArguments& arguments, std::int64_t tile,
                  std::byte* workspace, void (*forward)(const FlashForward<T>&)) {
  const std::int64_t streams = s.batch * s.kv_heads;
  const std::int64_t tiles = (s.units() + kFlashUnits - 1) / kFlashUnits;
  const std::int64_t chunk = tiles - 1 - tile / streams;  // the longest first
  const std::int64_t kv_head = tile % s.kv_heads;
  const std::int64_t first_token = tile % streams / s.kv_heads * s.sequence;

  FlashQueries<T> units[kFlashUnits];
  const std::int64_t first_unit = chunk * kFlashUnits;
  const auto count = static_cast<int>(std::min(kFlashUnits, s.units() - first_unit));
  for (int u = 0; u < count; ++u) {
    FlashQueries<T>& unit = units[u];
    const std::int64_t head = kv_head * s.group + (first_unit + u) % s.group;
    const std::int64_t first = (first_unit + u) / s.group * kFlashBlock;
    const std::int64_t token = first_token + first;
    unit.query = arguments.input<T>(0) + token * s.query.row_stride + s.query.offset +
                 head * s.query.head_stride;
    unit.query_stride = s.query.row_stride;
    unit.count = static_cast<int>(std::min(kFlashBlock, s.sequence - first));
    for (int i = 0; i < unit.count; ++i) unit.visible[i] = static_cast<std::int32_t>(first + i + 1);
    unit.output = arguments.output<T>(0) + token * s.output_columns() + head * s.value.size;
    unit.partial = nullptr;
    unit.output_stride = s.output_columns();
    unit.lse = arguments.output<float>(1) + token * s.query_heads + head;
    unit.lse_stride = s.query_heads;
  }
  forward({.keys = s.keys<T>(arguments, first_token, kv_head),
           .first_key = 0,
           .last_key = s.sequence,
           .units = units,
           .unit_count = count,
           .scale = s.scale,
           .workspace = workspace});
}

template <class T>
std::unique_ptr<Kernel> make_forward(const Shape& s, const Context& context,
                                     void (*forward)(const FlashForward<T>&)) {
  const std::int64_t scratch = flash_forward(context.isa).workspace(s.sizes());
  const std::int64_t tiles = s.batch * s.kv_heads * ((s.units() + kFlashUnits - 1) / kFlashUnits);
  ThreadPool& pool = context.pool;
  return make_kernel(pool.threads() * scratch, [=, &pool](const KernelArguments& arguments,
                                                          const StepState&) {
    pool.parallel_for(tiles, [&](std::int64_t tile, int thread) {
      forward_tile<T>(s, arguments, tile, arguments.workspace.data() + thread * scratch, forward);
    });
  });
}

std::unique_ptr<Kernel> make_attention(const Program& program, const Op& op,
                                       const Context& context) {
  const Shape shape(program, op);
  const FlashForwardTable& table = flash_forward(context.isa);
  switch (program.dtype(op.inputs[0])) {
    case DType::bf16:
      return make_forward(shape, context, table.bf16);
    case DType::f16:
      return make_forward(shape, context, table.f16);
    default:
      return make_forward(shape, context, table.f32);
  }
}

// What the backward op knows besides.
struct BackwardShape : Shape {
  BackwardShape(const Program& program, const Op& op)
      : Shape(program, op),
        output_gradient_stride(program.row_stride(op.inputs[6])),
        rope_parts(rope_size == 0 ? kv_heads : std::min(kv_heads, kRopeParts)),
        rope_gradient(op.outputs[3]) {
    constexpr std::string_view kAccumulate[] = {"query_accumulate", "key_accumulate",
                                                "value_accumulate", "rope_accumulate"};
    for (int i = 0; i < 4; ++i) {
      stride[i] = op.outputs[i] ? program.row_stride(op.outputs[i]) : 0;
      add[i] = op.attributes.flag(kAccumulate[i]);
    }
  }

  std::int64_t rope_elements() const { return rope_gradient ? sequence * rope_size : 0; }

  std::int64_t output_gradient_stride;
  std::int64_t rope_parts;  // of the key/value heads; each is a tile
  bool rope_gradient;
  std::int64_t stride[4];  // of the rows of dq, dk, dv, d_key_rope
  bool add[4];
};

// Tile: some of the key/value heads of one sequence, one after the other.
template <class T>
void backward_tile(const BackwardShape& s, const KernelArguments& arguments, std::int64_t tile,
                   float* rope_gradient, std::byte* workspace,
                   void (*backward)(const FlashBackward<T>&)) {
  const std::int64_t first_token = tile / s.rope_parts * s.sequence;
  const std::int64_t part = tile % s.rope_parts;
  std::fill_n(rope_gradient, s.rope_elements(), 0.0f);
  const auto gradient = [&](int i, const Heads& heads, std::int64_t head) -> T* {
    T* base = arguments.output<T>(i);
    if (base == nullptr) return nullptr;
    return base + first_token * s.stride[i] + heads.offset + head * heads.head_stride;
  };
  const std::int64_t last_head = s.kv_heads * (part + 1) / s.rope_parts;
  for (std::int64_t kv = s.kv_heads * part / s.rope_parts; kv < last_head; ++kv) {
    const std::int64_t head = kv * s.group;
    backward(
        {.keys = s.keys<T>(arguments, first_token, kv),
         .sequence = s.sequence,
         .group = s.group,
         .query = arguments.input<T>(0) + first_token * s.query.row_stride + s.query.offset +
                  head * s.query.head_stride,
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
         .query_gradient = gradient(0, s.query, head),
         .key_gradient = gradient(1, s.key, kv),
         .value_gradient = gradient(2, s.value, kv),
         .query_gradient_stride = s.stride[0],
         .key_gradient_stride = s.stride[1],
         .value_gradient_stride = s.stride[2],
         .query_add = s.add[0],
         .key_add = s.add[1],
         .value_add = s.add[2],
         .rope_gradient = s.rope_gradient ? rope_gradient : nullptr,
         .workspace = workspace});
  }
}

// The gradient of the shared rotary key is the sum over all parts, 64 tokens a tile.
template <class T>
void rope_tile(const BackwardShape& s, const KernelArguments& arguments, std::int64_t tile,
               const float* parts, const FlashBackwardKernels<T>& kernels) {
  const std::int64_t last = std::min((tile + 1) * kFlashBlock, s.batch * s.sequence);
  for (std::int64_t token = tile * kFlashBlock; token < last; ++token) {
    const float* first = parts + token / s.sequence * s.rope_parts * s.rope_elements() +
                         token % s.sequence * s.rope_size;
    kernels.sum_parts(first, s.rope_elements(), s.rope_parts, s.rope_size, s.scale,
                      arguments.output<T>(3) + token * s.stride[3], s.add[3]);
  }
}

template <class T>
std::unique_ptr<Kernel> make_backward(const BackwardShape& s, const Context& context,
                                      const FlashBackwardKernels<T>& kernels) {
  const std::int64_t scratch = flash_backward(context.isa).workspace(s.sizes());
  const std::int64_t all_scratch = context.pool.threads() * scratch;
  const std::int64_t tiles = s.batch * s.rope_parts;
  const std::int64_t rope_tiles = (s.batch * s.sequence + kFlashBlock - 1) / kFlashBlock;
  ThreadPool& pool = context.pool;
  return make_kernel(all_scratch + tiles * s.rope_elements() * 4,
                     [=, &pool](const KernelArguments& arguments, const StepState&) {
                       std::byte* memory = arguments.workspace.data();
                       auto* parts = reinterpret_cast<float*>(memory + all_scratch);
                       pool.parallel_for(tiles, [&](std::int64_t tile, int thread) {
                         backward_tile<T>(s, arguments, tile, parts + tile * s.rope_elements(),
                                          memory + thread * scratch, kernels.backward);
                       });
                       if (!s.rope_gradient) return;
                       pool.parallel_for(rope_tiles, [&](std::int64_t tile, int) {
                         rope_tile(s, arguments, tile, parts, kernels);
                       });
                     });
}

std::unique_ptr<Kernel> make_attention_backward(const Program& program, const Op& op,
                                                const Context& context) {
  const BackwardShape shape(program, op);
  const FlashBackwardTable& table = flash_backward(context.isa);
  switch (program.dtype(op.inputs[0])) {
    case DType::bf16:
      return make_backward(shape, context, table.bf16);
    case DType::f16:
      return make_backward(shape, context, table.f16);
    default:
      return make_backward(shape, context, table.f32);
  }
}

}  // namespace

std::span<const KernelEntry> attention_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"attention", make_attention},
                                             {"attention_backward", make_attention_backward}};
  return kEntries;
}

}  // namespace ingot::cpu
