// malloc counts its calls in this program, hence a test of its own.
#include <gtest/gtest.h>

#include <vector>

#include "backends/cpu/elementwise.h"
#include "backends/cpu/matmul.h"
#include "tests/counted_allocations.h"

namespace ingot::cpu {
namespace {

TEST(Allocation, IsCounted) {
  const std::int64_t before = heap_allocations;
  std::vector<int> something(10);
  EXPECT_EQ(something[3], 0);
  EXPECT_EQ(heap_allocations, before + 1);
}

TEST(Allocation, MatmulAndElementwiseDoNone) {
  ThreadPool pool(2);
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    for (const bool transposed : {false, true}) {
      for (const std::int64_t rows : {4, 200}) {
        MatmulSpec spec{.rows = rows, .columns = 300, .depth = 200, .a = type, .b = type};
        spec.a_transposed = transposed;
        spec.groups = 2;
        spec.threads = 2;
        const Matmul matmul(spec);
        std::vector<float> a(rows * 200), b(2 * 200 * 300), c(2 * 200 * 300);
        std::vector<std::byte> workspace(matmul.workspace_bytes() + 64);
        const auto address = reinterpret_cast<std::uintptr_t>(workspace.data());
        const std::span<std::byte> aligned(workspace.data() + (64 - address % 64) % 64,
                                           matmul.workspace_bytes());
        const std::int32_t offsets[] = {0, 1, 4};
        std::vector<double> partial(sum_of_squares_blocks(100000));
        const std::int64_t before = heap_allocations;
        for (int i = 0; i < 3; ++i) {
          matmul.run(pool, {.a = a.data(),
                            .b = b.data(),
                            .c = c.data(),
                            .workspace = aligned,
                            .a_rows = transposed ? 200 : rows,
                            .offsets = offsets});
          add(pool, type, c.data(), type, b.data(), 100000);
          sum_of_squares(pool, type, c.data(), 100000, partial);
        }
        EXPECT_EQ(heap_allocations, before);
      }
    }
  }
}

}  // namespace
}  // namespace ingot::cpu
