#include "ops/embedding/embedding_simd.h"

#include "backends/cpu/simd.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

template <typename From, typename To>
void convert(const void* from, void* to, std::int64_t count) {
  const From* source = static_cast<const From*>(from);
  To* target = static_cast<To*>(to);
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int n = lanes_left(count - i);
    store_partial(target + i, load_partial(source + i, n), n);
  }
}

template <typename T>
void scatter_add(const ScatterAdd& task) {
  for (std::int64_t token = 0; token < task.tokens; ++token) {
    const std::int32_t id = task.ids[token];
    if (id < 0 || id >= task.vocabulary || (id & (task.buckets - 1)) != task.bucket) continue;
    const T* from = static_cast<const T*>(task.dy) + token * task.dy_stride;
    float* to = task.d_table + id * task.table_stride;
    for (std::int64_t i = 0; i < task.columns; i += kLanes) {
      const int n = lanes_left(task.columns - i);
      store_partial(to + i, load_partial(to + i, n) + load_partial(from + i, n), n);
    }
  }
}

}  // namespace

const EmbeddingKernels embedding_kernels = {
    .convert = {{convert<float, float>, convert<float, BFloat16>, convert<float, Half>},
                {convert<BFloat16, float>, convert<BFloat16, BFloat16>, convert<BFloat16, Half>},
                {convert<Half, float>, convert<Half, BFloat16>, convert<Half, Half>}},
    .scatter_add = {scatter_add<float>, scatter_add<BFloat16>, scatter_add<Half>},
};

}  // namespace ingot::cpu::INGOT_ISA
