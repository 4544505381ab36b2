// What this machine can do at most, measured: the yardstick of "share of peak" in logs and
// benchmarks.
#pragma once

#include <cstddef>
#include <span>

#include "backends/cpu/isa.h"
#include "backends/cpu/thread_pool.h"
#include "engine/numbers/dtype.h"

namespace ingot::cpu {

// GFLOP/s of multiply-adds on registers, all threads of the pool, the best of several slices of
// some 50 ms in all. bf16: of its own instruction where the CPU has one, else, and for f16, what
// fp32 gives, since that is what it is computed in. i8: of bytes into 32-bit sums; 0 where the CPU
// has no instruction for that.
double measured_peak_gflops(DType type, ThreadPool& pool, Isa isa = cpu::isa());

// GB/s of reading `memory` with all threads, best of several times. More than the caches hold (say
// 256 MiB) measures the memory. size: at least 1 MiB; its contents must be written before.
double measured_read_gigabytes(std::span<const std::byte> memory, ThreadPool& pool,
                               Isa isa = cpu::isa());

// The same for reading and writing back in place, both counted: what an optimizer does. Memory that
// moves both ways at once can do more than when it is only read.
double measured_update_gigabytes(std::span<std::byte> memory, ThreadPool& pool,
                                 Isa isa = cpu::isa());

}  // namespace ingot::cpu
