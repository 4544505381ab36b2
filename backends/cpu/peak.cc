#include "backends/cpu/peak.h"

#include <algorithm>
#include <cstdint>

#include "backends/cpu/kernel_clock.h"
#include "backends/cpu/peak_amx.h"
#include "backends/cpu/peak_simd.h"

namespace ingot::cpu {
namespace {

// GB/s of the best of several passes over `size` bytes, `pass(first, bytes)` for each block.
template <class Pass>
double best_gigabytes(std::size_t size, ThreadPool& pool, const Pass& pass) {
  constexpr std::int64_t kBlock = 256 << 10;
  const std::int64_t blocks = static_cast<std::int64_t>(size) / kBlock;
  const KernelClock clock(pool.threads());
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const double start = clock.seconds();
    pool.parallel_for(blocks, [&](std::int64_t block, int) { pass(block * kBlock, kBlock); });
    best = std::max(best, static_cast<double>(blocks * kBlock) / (clock.seconds() - start));
  }
  return best * 1e-9;
}

using MultiplyAdd = double (*)(std::int64_t);

MultiplyAdd multiply_add(DType type, Isa isa) {
  if (isa == Isa::amx && type == DType::bf16) return amx::peak_amx.multiply_add_bf16;
  if (isa == Isa::amx && type == DType::i8) return amx::peak_amx.multiply_add_int8;
  const PeakKernels& kernels = peak_kernels(isa);
  if (type == DType::i8) return kernels.multiply_add_int8;
  const bool bf16 = type == DType::bf16 && kernels.multiply_add_bf16 != nullptr;
  return bf16 ? kernels.multiply_add_bf16 : kernels.multiply_add_f32;
}

}  // namespace

double measured_peak_gflops(DType type, ThreadPool& pool, Isa isa) {
  const auto kernel = multiply_add(type, isa);
  if (kernel == nullptr) return 0;
  constexpr int kSlices = 20;
  const bool tiles_of_amx = isa == Isa::amx && type != DType::f32 && type != DType::f16;
  const std::int64_t iterations = tiles_of_amx ? 2000 : 20000;  // some 0.1 ms
  const std::int64_t tiles = 24L * pool.threads();
  const double flops = kernel(1) * iterations * static_cast<double>(tiles);
  const KernelClock clock(pool.threads());
  double best = 0;
  for (int slice = 0; slice < kSlices; ++slice) {
    const double start = clock.seconds();
    pool.parallel_for(tiles, [&](std::int64_t, int) { kernel(iterations); });
    best = std::max(best, flops / (clock.seconds() - start));
  }
  return best * 1e-9;
}

double measured_read_gigabytes(std::span<const std::byte> memory, ThreadPool& pool, Isa isa) {
  const auto kernel = peak_kernels(isa).read;
  return best_gigabytes(memory.size(), pool, [=](std::int64_t first, std::int64_t bytes) {
    const float sum = kernel(reinterpret_cast<const float*>(memory.data() + first), bytes);
    asm volatile("" : : "r"(&sum) : "memory");  // the sum is used, the reads stay
  });
}

double measured_update_gigabytes(std::span<std::byte> memory, ThreadPool& pool, Isa isa) {
  const auto kernel = peak_kernels(isa).update;
  return 2 * best_gigabytes(memory.size(), pool, [=](std::int64_t first, std::int64_t bytes) {
           kernel(reinterpret_cast<float*>(memory.data() + first), bytes, 1);
         });
}

}  // namespace ingot::cpu
