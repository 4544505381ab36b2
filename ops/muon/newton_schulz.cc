#include "ops/muon/newton_schulz.h"

#include <algorithm>
#include <cstring>

#include "engine/numbers/dtype.h"

namespace ingot::cpu {
namespace {

constexpr int kIterations = 5;
constexpr float kA = 3.4445f, kB = -4.7750f, kC = 2.0315f;

std::int64_t aligned(std::int64_t bytes) { return (bytes + 63) / 64 * 64; }

MatmulSpec bf16_product(std::int64_t rows, std::int64_t columns, std::int64_t depth, int threads) {
  return {.rows = rows,
          .columns = columns,
          .depth = depth,
          .a = DType::bf16,
          .b = DType::bf16,
          .c = DType::bf16,
          .threads = threads};
}

MatmulSpec gram_spec(std::int64_t rows, std::int64_t columns, int threads) {
  if (rows > columns) {
    MatmulSpec spec = bf16_product(columns, columns, rows, threads);
    spec.a_transposed = true;
    return spec;
  }
  MatmulSpec spec = bf16_product(rows, rows, columns, threads);
  spec.b_transposed = true;
  return spec;
}

}  // namespace

NewtonSchulz::NewtonSchulz(std::int64_t rows, std::int64_t columns, int threads, Isa isa)
    : rows_(rows),
      columns_(columns),
      side_(std::min(rows, columns)),
      gram_(gram_spec(rows, columns, threads), isa),
      square_(bf16_product(side_, side_, side_, threads), isa),
      product_(bf16_product(rows, columns, side_, threads), isa) {}

std::int64_t NewtonSchulz::workspace_bytes() const {
  return aligned(2 * rows_ * columns_) + 2 * aligned(2 * side_ * side_) +
         std::max({gram_.workspace_bytes(), square_.workspace_bytes(), product_.workspace_bytes()});
}

void NewtonSchulz::run(ThreadPool& pool, std::uint16_t* x, std::span<std::byte> workspace) const {
  std::byte* place = workspace.data();
  const auto take = [&](std::int64_t bytes) {
    std::byte* taken = place;
    place += aligned(bytes);
    return reinterpret_cast<std::uint16_t*>(taken);
  };
  std::uint16_t* next = take(2 * rows_ * columns_);
  std::uint16_t* a = take(2 * side_ * side_);
  std::uint16_t* p = take(2 * side_ * side_);
  const std::span<std::byte> rest(place, workspace.data() + workspace.size());
  std::uint16_t* const result = x;
  for (int iteration = 0; iteration < kIterations; ++iteration) {
    gram_.run(pool, {.a = x, .b = x, .c = a, .workspace = rest, .a_rows = rows_});
    square_.run(pool, {.a = a, .b = a, .c = p, .workspace = rest, .a_rows = side_});
    // P = a I + b A + c A^2
    pool.parallel_for(side_, [&](std::int64_t row, int) {
      for (std::int64_t i = row * side_; i < (row + 1) * side_; ++i) {
        p[i] = float_to_bf16(kB * bf16_to_float(a[i]) + kC * bf16_to_float(p[i]) +
                             (i == row * side_ + row ? kA : 0.0f));
      }
    });
    if (rows_ > columns_) {
      product_.run(pool, {.a = x, .b = p, .c = next, .workspace = rest, .a_rows = rows_});
    } else {
      product_.run(pool, {.a = p, .b = x, .c = next, .workspace = rest, .a_rows = rows_});
    }
    std::swap(x, next);
  }
  if (x != result) std::memcpy(result, x, 2 * rows_ * columns_);
}

}  // namespace ingot::cpu
