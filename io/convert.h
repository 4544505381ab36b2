// Values of tensors in files, as the dtype the caller wants, in slices of rows: loading a model
// never needs more memory than where the values go.
//
// Floats convert from F64, F32, BF16, F16, F8_E4M3 and F8_E5M2 to f32, bf16 and f16, rounding to
// nearest even once (F64 goes through f32). Integers convert from I32 and I64 to i32. Any type
// reads as itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/numbers/dtype.h"
#include "io/safetensors.h"

namespace ingot {

// A tensor in a file. Scaled fp8 weights come with a second tensor:
// value[i][j] = f8[i][j] * scales[i / block_rows][j / block_columns], last blocks may be partial.
// One scale a tensor or a row is a block of that size.
struct StoredTensor {
  const SafetensorsEntry* values = nullptr;
  // F32, BF16, F16 or F8_E8M0: ceil(rows / block_rows) * ceil(columns / block_columns) of them, row
  // by row; or none.
  const SafetensorsEntry* scales = nullptr;
  std::int64_t block_rows = 128, block_columns = 128;
};

// Slices are along the first dimension: [begin, end). A scalar has one row.
struct RowRange {
  std::int64_t begin = 0, end = 0;
};

std::int64_t rows_of(const TensorDeclaration& tensor);
std::int64_t elements_per_row(const TensorDeclaration& tensor);

// Error(data) when the scales do not fit the values, or are of a type that scales do not have.
void check_scales(const StoredTensor& tensor);

// Fills `out`, which must hold exactly (end - begin) * elements_per_row elements of dtype `to`; it
// needs no alignment. Error(data) for a type that does not convert and integers that do not fit;
// Error(usage) for a wrong range or size.
void read_rows(const StoredTensor& tensor, RowRange rows, DType to, std::span<std::byte> out);

// The whole tensor.
void read_tensor(const StoredTensor& tensor, DType to, std::span<std::byte> out);
void read_tensor(const StoredTensor& tensor, std::span<float> out);
void read_tensor(const StoredTensor& tensor, std::span<std::int32_t> out);

}  // namespace ingot
