#include <algorithm>

#include "ops/attention/attention_kernels.h"

namespace ingot::cpu {
namespace {

// Of the units of a stream blocks of queries run slowest, heads fastest, so that the units of a
// tile need nearly the same keys.
template <class T>
void forward_tile(const FlashShape& s, const KernelArguments& arguments, std::int64_t tile,
                  std::byte* workspace, void (*forward)(const FlashForward<T>&)) {
  const std::int64_t tiles = (s.units() + kFlashUnits - 1) / kFlashUnits;
  const std::int64_t chunk = tiles - 1 - tile / s.streams();  // the longest first
  const std::int64_t kv_head = tile % s.kv_heads;
  const std::int64_t first_token = tile % s.streams() / s.kv_heads * s.sequence;

  FlashQueries<T> units[kFlashUnits];
  const std::int64_t first_unit = chunk * kFlashUnits;
  const auto count = static_cast<int>(std::min(kFlashUnits, s.units() - first_unit));
  for (int u = 0; u < count; ++u) {
    FlashQueries<T>& unit = units[u];
    const std::int64_t head = kv_head * s.group + (first_unit + u) % s.group;
    const std::int64_t first = (first_unit + u) / s.group * kFlashBlock;
    const std::int64_t token = first_token + first;
    unit.query = arguments.input<T>(0) + s.query.at(token, head);
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
std::unique_ptr<Kernel> make_forward(const FlashShape& s, const Context& context,
                                     void (*forward)(const FlashForward<T>&)) {
  const std::int64_t scratch = flash_forward(context.isa).workspace(s.sizes());
  const std::int64_t tiles = s.streams() * ((s.units() + kFlashUnits - 1) / kFlashUnits);
  ThreadPool& pool = context.pool;
  return make_kernel(pool.threads() * scratch, [=, &pool](const KernelArguments& arguments,
                                                          const Turn&) {
    pool.parallel_for(tiles, [&](std::int64_t tile, int thread) {
      forward_tile<T>(s, arguments, tile, arguments.workspace.data() + thread * scratch, forward);
    });
  });
}

}  // namespace

std::unique_ptr<Kernel> make_attention(const Program& program, const Op& op,
                                       const Context& context) {
  const FlashShape shape(program, op);
  return by_dtype(program.dtype(op.inputs[0]), flash_forward(context.isa),
                  [&](const auto forward) { return make_forward(shape, context, forward); });
}

}  // namespace ingot::cpu
