// Simple passes over arrays of f32, bf16 or f16, on all threads, at memory bandwidth: fill, scale,
// add, convert, norm, finiteness. Arrays are contiguous; no alignment is asked for; nothing is
// allocated; the same bits for any number of threads. Types that are not floats throw Error(usage).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "backends/cpu/thread_pool.h"
#include "engine/numbers/dtype.h"

namespace ingot::cpu {

void zero(ThreadPool& pool, void* y, std::int64_t bytes);

// y[i] = value, rounded to y's type
void fill(ThreadPool& pool, DType type, void* y, std::int64_t count, float value);

// y[i] *= factor
void scale(ThreadPool& pool, DType type, void* y, std::int64_t count, float factor);

// y[i] += factor * x[i], in fp32, rounded once to y's type
void add(ThreadPool& pool, DType y_type, void* y, DType x_type, const void* x, std::int64_t count,
         float factor = 1.0f);

// y[i] = x[i], rounded to nearest even. y and x may be the same array if the types are equally
// wide, else they must not overlap.
void convert(ThreadPool& pool, DType y_type, void* y, DType x_type, const void* x,
             std::int64_t count);

// Sum of x[i]^2. `partial_sums` is scratch of sum_of_squares_blocks(count) doubles.
std::int64_t sum_of_squares_blocks(std::int64_t count);
double sum_of_squares(ThreadPool& pool, DType type, const void* x, std::int64_t count,
                      std::span<double> partial_sums);

// Whether no element is NaN or infinite.
bool all_finite(ThreadPool& pool, DType type, const void* x, std::int64_t count);

}  // namespace ingot::cpu
