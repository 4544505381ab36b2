#include "backends/cpu/elementwise.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstring>
#include <string>

#include "backends/cpu/elementwise_simd.h"
#include "engine/base/error.h"

namespace ingot::cpu {
namespace {

// Elements of one tile: large enough to hide a tile's cost (< 0.1 us), small enough to share out.
constexpr std::int64_t kBlock = 1 << 15;

std::int64_t blocks(std::int64_t count) { return (count + kBlock - 1) / kBlock; }

// Calls body(first, count) for each block, on all threads.
template <typename Body>
void for_each_block(ThreadPool& pool, std::int64_t count, const Body& body) {
  pool.parallel_for(blocks(count), [&](std::int64_t block, int) {
    const std::int64_t first = block * kBlock;
    body(first, std::min(kBlock, count - first));
  });
}

const ElementwiseKernels& kernels() { return elementwise_kernels(isa()); }

// The type's place in the arrays of ElementwiseKernels.
int index_of(DType type) {
  if (!is_float(type)) {
    throw Error(ErrorCode::usage, "an element-wise pass over " + std::string(name_of(type)),
                "backends/cpu/elementwise", "use f32, bf16 or f16");
  }
  return type == DType::f32 ? 0 : type == DType::bf16 ? 1 : 2;
}

void* at(void* base, DType type, std::int64_t element) {
  return static_cast<std::byte*>(base) + element * size_of(type);
}
const void* at(const void* base, DType type, std::int64_t element) {
  return static_cast<const std::byte*>(base) + element * size_of(type);
}

}  // namespace

void zero(ThreadPool& pool, void* y, std::int64_t bytes) {
  for_each_block(pool, (bytes + 3) / 4, [&](std::int64_t first, std::int64_t count) {
    std::memset(static_cast<std::byte*>(y) + 4 * first, 0, std::min(4 * count, bytes - 4 * first));
  });
}

void fill(ThreadPool& pool, DType type, void* y, std::int64_t count, float value) {
  const auto kernel = kernels().fill[index_of(type)];
  for_each_block(pool, count,
                 [&](std::int64_t first, std::int64_t n) { kernel(at(y, type, first), value, n); });
}

void scale(ThreadPool& pool, DType type, void* y, std::int64_t count, float factor) {
  const auto kernel = kernels().scale[index_of(type)];
  for_each_block(pool, count, [&](std::int64_t first, std::int64_t n) {
    kernel(at(y, type, first), factor, n);
  });
}

void add(ThreadPool& pool, DType y_type, void* y, DType x_type, const void* x, std::int64_t count,
         float factor) {
  const auto kernel = kernels().add[index_of(y_type)][index_of(x_type)];
  for_each_block(pool, count, [&](std::int64_t first, std::int64_t n) {
    kernel(at(y, y_type, first), at(x, x_type, first), factor, n);
  });
}

void convert(ThreadPool& pool, DType y_type, void* y, DType x_type, const void* x,
             std::int64_t count) {
  const auto kernel = kernels().convert[index_of(y_type)][index_of(x_type)];
  for_each_block(pool, count, [&](std::int64_t first, std::int64_t n) {
    kernel(at(y, y_type, first), at(x, x_type, first), n);
  });
}

std::int64_t sum_of_squares_blocks(std::int64_t count) { return blocks(count); }

double sum_of_squares(ThreadPool& pool, DType type, const void* x, std::int64_t count,
                      std::span<double> partial_sums) {
  assert(std::ssize(partial_sums) >= blocks(count));
  const auto kernel = kernels().sum_of_squares[index_of(type)];
  for_each_block(pool, count, [&](std::int64_t first, std::int64_t n) {
    partial_sums[first / kBlock] = kernel(at(x, type, first), n);
  });
  double sum = 0;
  for (std::int64_t block = 0; block < blocks(count); ++block) sum += partial_sums[block];
  return sum;
}

bool all_finite(ThreadPool& pool, DType type, const void* x, std::int64_t count) {
  const auto kernel = kernels().all_finite[index_of(type)];
  std::atomic<bool> finite{true};
  for_each_block(pool, count, [&](std::int64_t first, std::int64_t n) {
    if (!kernel(at(x, type, first), n)) finite.store(false, std::memory_order_relaxed);
  });
  return finite;
}

}  // namespace ingot::cpu
