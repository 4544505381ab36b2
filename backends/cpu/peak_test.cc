#include "backends/cpu/peak.h"

#include <gtest/gtest.h>

#include <vector>

namespace ingot::cpu {
namespace {

TEST(Peak, IsPlausibleAtEveryLevel) {
  ThreadPool pool(1);
  for (const Isa isa : kAllIsas) {
    if (!supports(isa)) continue;
    const double f32 = measured_peak_gflops(DType::f32, pool, isa);
    // A core: SSE2 at 1 GHz does some 8 GFLOP/s, less when shared; no core does 1000.
    EXPECT_GT(f32, 1) << isa_name(isa);
    EXPECT_LT(f32, 1000) << isa_name(isa);
    EXPECT_GT(measured_peak_gflops(DType::bf16, pool, isa), 1) << isa_name(isa);
    const double int8 = measured_peak_gflops(DType::i8, pool, isa);
    EXPECT_EQ(int8 > 0, isa >= Isa::v4_bf16) << isa_name(isa);
    EXPECT_LT(int8, isa == Isa::amx ? 40000 : 4000) << isa_name(isa);
  }
}

TEST(Peak, MemoryIsPlausibleAndKeepsItsContents) {
  ThreadPool pool(2);
  std::vector<std::byte> memory(8 << 20, std::byte{1});
  const std::vector<std::byte> before = memory;
  for (const double rate :
       {measured_read_gigabytes(memory, pool), measured_update_gigabytes(memory, pool)}) {
    EXPECT_GT(rate, 0.1);
    EXPECT_LT(rate, 5000);
  }
  EXPECT_TRUE(memory == before);
}

}  // namespace
}  // namespace ingot::cpu
