// X <- the nearest orthogonal matrix, nearly: Newton-Schulz of ops/muon/muon.h on one matrix.
#pragma once

#include <cstdint>
#include <span>

#include "backends/cpu/matmul.h"
#include "backends/cpu/thread_pool.h"

namespace ingot::cpu {

class NewtonSchulz {
 public:
  NewtonSchulz(std::int64_t rows, std::int64_t columns, int threads, Isa isa);

  // X [rows, columns] bf16, Frobenius norm at most 1; replaced. The same bits for any threads.
  void run(ThreadPool& pool, std::uint16_t* x, std::span<std::byte> workspace) const;
  std::int64_t workspace_bytes() const;

 private:
  std::int64_t rows_, columns_, side_;
  Matmul gram_;     // A [side, side] = X X^T, or X^T X
  Matmul square_;   // A A
  Matmul product_;  // P X, or X P
};

}  // namespace ingot::cpu
