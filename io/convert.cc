#include "io/convert.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "engine/base/error.h"

namespace ingot {
namespace {

// Values pass through a buffer of floats that stays in the first-level cache.
constexpr std::int64_t kChunk = 2048;

template <class T>
T load(const std::byte* source, std::int64_t i) {
  T value;
  std::memcpy(&value, source + i * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  return value;
}

template <class T>
void store(std::byte* target, std::int64_t i, T value) {
  std::memcpy(target + i * static_cast<std::int64_t>(sizeof(T)), &value, sizeof(T));
}

// As f16_to_float, without a branch or a call, so that the loop becomes vector code. Shifted into
// place, the exponent is 112 too small; the multiplication mends that and normalises subnormals.
float f16_value(std::uint16_t bits) {
  const std::uint32_t magnitude = (bits & 0x7fffu) << 13;
  const std::uint32_t sign = (bits & 0x8000u) << 16;
  const auto word = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f);
  const std::uint32_t special = magnitude >= 0x0f800000u ? 0x7f800000u : 0u;  // infinities, NaNs
  return std::bit_cast<float>(word | sign | special);
}

// As float_to_f16, for the same reason. All three results are computed and one is chosen.
std::uint16_t f16_bits(float value) {
  constexpr float kHalf =
      0.5f;  // adding it leaves a subnormal's 10 bits at the end of the fraction
  constexpr std::uint32_t kHalfBits = 126u << 23;
  const auto word = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = word & 0x7fffffffu;
  const auto small = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + kHalf);
  const std::uint32_t normal =
      (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13 & 0xffffu;
  const std::uint32_t special = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  std::uint32_t bits = magnitude < 0x38800000u ? small - kHalfBits : normal;  // below 2^-14
  bits = magnitude >= 0x477ff000u ? special : bits;                           // from 65520
  return static_cast<std::uint16_t>(bits | (word >> 16 & 0x8000u));
}

float f8_e4m3_value(std::uint8_t bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                  : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  if ((bits & 0x7f) == 0x7f) magnitude = std::numeric_limits<float>::quiet_NaN();
  return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

using F8Table = std::array<float, 256>;

const F8Table& f8_table(StoredType type) {
  static const auto tables = [] {
    std::array<F8Table, 2> both;
    for (int bits = 0; bits < 256; ++bits) {
      both[0][bits] = f8_e4m3_value(static_cast<std::uint8_t>(bits));
      both[1][bits] = f16_value(static_cast<std::uint16_t>(bits << 8));  // e5m2 is half an f16
    }
    return both;
  }();
  return tables[type == StoredType::f8_e4m3 ? 0 : 1];
}

bool is_float(StoredType type) {
  switch (type) {
    case StoredType::f64:
    case StoredType::f32:
    case StoredType::bf16:
    case StoredType::f16:
    case StoredType::f8_e4m3:
    case StoredType::f8_e5m2:
      return true;
    default:
      return false;
  }
}

// `source` points at the first of `count` elements of type `type`.
void to_floats(StoredType type, const std::byte* source, std::int64_t count, float* out) {
  switch (type) {
    case StoredType::f64:
      for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(load<double>(source, i));
      return;
    case StoredType::f32:
      std::memcpy(out, source, static_cast<std::size_t>(count) * sizeof(float));
      return;
    case StoredType::bf16:
      for (std::int64_t i = 0; i < count; ++i) {
        out[i] = bf16_to_float(load<std::uint16_t>(source, i));
      }
      return;
    case StoredType::f16:
      for (std::int64_t i = 0; i < count; ++i) out[i] = f16_value(load<std::uint16_t>(source, i));
      return;
    default: {
      const F8Table& table = f8_table(type);
      for (std::int64_t i = 0; i < count; ++i) out[i] = table[load<std::uint8_t>(source, i)];
    }
  }
}

void from_floats(DType type, const float* values, std::int64_t count, std::byte* out) {
  if (type == DType::f32) {
    std::memcpy(out, values, static_cast<std::size_t>(count) * sizeof(float));
  } else if (type == DType::bf16) {
    for (std::int64_t i = 0; i < count; ++i) store(out, i, float_to_bf16(values[i]));
  } else {
    for (std::int64_t i = 0; i < count; ++i) store(out, i, f16_bits(values[i]));
  }
}

std::int64_t blocks(std::int64_t size, std::int64_t block) {
  return size / block + (size % block != 0);
}

bool is_scale(StoredType type) {
  return type == StoredType::f32 || type == StoredType::bf16 || type == StoredType::f16 ||
         type == StoredType::f8_e8m0;
}

float scale_at(const SafetensorsEntry& scales, std::int64_t i) {
  const std::byte* bytes = scales.bytes.data();
  switch (scales.type) {
    case StoredType::bf16:
      return bf16_to_float(load<std::uint16_t>(bytes, i));
    case StoredType::f16:
      return f16_value(load<std::uint16_t>(bytes, i));
    case StoredType::f8_e8m0: {  // an exponent alone; 255 is no number
      const auto exponent = load<std::uint8_t>(bytes, i);
      return exponent == 255 ? std::numeric_limits<float>::quiet_NaN()
                             : std::ldexp(1.0f, exponent - 127);
    }
    default:
      return load<float>(bytes, i);
  }
}

// [rows of blocks, columns of blocks]; a list for one a row, anything of one element for one a
// tensor.
bool has_shape_of_scales(const StoredTensor& tensor) {
  const std::vector<std::int64_t> grid = {blocks(tensor.values->shape[0], tensor.block_rows),
                                          blocks(tensor.values->shape[1], tensor.block_columns)};
  const auto& shape = tensor.scales->shape;
  if (shape == grid) return true;
  if (grid == std::vector<std::int64_t>{1, 1}) return checked_product(shape) == 1;
  return tensor.block_rows == 1 && grid[1] == 1 && shape == std::vector{grid[0]};
}

// Multiplies `count` values of row `row`, starting at column `column`, by the scale of their block.
void apply_scales(const StoredTensor& tensor, std::int64_t row, std::int64_t column,
                  std::int64_t count, float* values) {
  const std::int64_t columns = elements_per_row(*tensor.values);
  const std::int64_t scale_columns = blocks(columns, tensor.block_columns);
  for (std::int64_t i = 0; i < count;) {
    const std::int64_t block = (column + i) / tensor.block_columns;
    const std::int64_t end = std::min(count, (block + 1) * tensor.block_columns - column);
    const float scale = scale_at(*tensor.scales, row / tensor.block_rows * scale_columns + block);
    for (; i < end; ++i) values[i] *= scale;
  }
}

void read_floats(const StoredTensor& tensor, RowRange rows, DType to, std::byte* out) {
  const SafetensorsEntry& entry = *tensor.values;
  const std::int64_t columns = elements_per_row(entry), element = size_of(entry.type);
  // Without scales rows do not matter: one long row has fewer, longer chunks.
  const std::int64_t lines = tensor.scales ? rows.end - rows.begin : 1;
  const std::int64_t length = tensor.scales ? columns : (rows.end - rows.begin) * columns;
  const std::byte* source = entry.bytes.data() + rows.begin * columns * element;
  float values[kChunk];
  for (std::int64_t line = 0; line < lines; ++line) {
    for (std::int64_t i = 0; i < length; i += kChunk) {
      const std::int64_t count = std::min(kChunk, length - i);
      to_floats(entry.type, source, count, values);
      if (tensor.scales) apply_scales(tensor, rows.begin + line, i, count, values);
      from_floats(to, values, count, out);
      source += count * element;
      out += count * size_of(to);
    }
  }
}

void read_small_integers(const SafetensorsEntry& entry, std::int64_t first, std::int64_t count,
                         std::byte* out) {
  for (std::int64_t i = 0; i < count; ++i) {
    const auto value = load<std::int64_t>(entry.bytes.data(), first + i);
    if (value != static_cast<std::int32_t>(value)) {
      throw Error(ErrorCode::data, "holds " + std::to_string(value) + ", too large for 32 bits",
                  entry.name);
    }
    store(out, i, static_cast<std::int32_t>(value));
  }
}

}  // namespace

std::int64_t rows_of(const TensorDeclaration& tensor) {
  return tensor.shape.empty() ? 1 : tensor.shape[0];
}

std::int64_t elements_per_row(const TensorDeclaration& tensor) {
  // Not bytes / rows: [0, 5] has five elements a row. No overflow: checked when it was opened,
  // except behind a first dimension of 0, where nothing is read.
  if (rows_of(tensor) == 0) return 0;
  return checked_product(tensor.shape).value_or(0) / rows_of(tensor);
}

void check_scales(const StoredTensor& tensor) {
  if (!tensor.scales) return;
  const SafetensorsEntry &values = *tensor.values, &scales = *tensor.scales;
  if (!is_scale(scales.type)) {
    throw Error(ErrorCode::data,
                "scales are " + std::string(name_of(scales.type)) +
                    ": those of F32, BF16, F16 and F8_E8M0 are read",
                scales.name, "convert the model to one of these");
  }
  const bool fits = tensor.block_rows > 0 && tensor.block_columns > 0 && values.shape.size() == 2 &&
                    is_float(values.type) && has_shape_of_scales(tensor);
  if (fits) return;
  throw Error(ErrorCode::data,
              "the scales " + describe(scales) + " do not fit " + describe(values) +
                  " in blocks of " + std::to_string(tensor.block_rows) + " x " +
                  std::to_string(tensor.block_columns),
              scales.name, "check quantization_config.weight_block_size in config.json");
}

void read_rows(const StoredTensor& tensor, RowRange rows, DType to, std::span<std::byte> out) {
  const SafetensorsEntry& entry = *tensor.values;
  const std::int64_t columns = elements_per_row(entry);
  const std::int64_t first = rows.begin * columns;
  if (rows.begin < 0 || rows.end < rows.begin || rows.end > rows_of(entry)) {
    throw Error(ErrorCode::usage, "rows outside the tensor are asked for", entry.name);
  }
  const std::int64_t count = (rows.end - rows.begin) * columns;
  if (out.size() != static_cast<std::uint64_t>(count) * static_cast<std::uint64_t>(size_of(to))) {
    throw Error(ErrorCode::usage, "the place for a tensor's values has the wrong size", entry.name);
  }
  check_scales(tensor);
  if (count == 0) return;
  if (entry.type == stored_type_of(to) && !tensor.scales) {
    std::memcpy(out.data(), entry.bytes.data() + first * size_of(entry.type), out.size());
  } else if (is_float(entry.type) && ingot::is_float(to)) {
    read_floats(tensor, rows, to, out.data());
  } else if (entry.type == StoredType::i64 && to == DType::i32) {
    read_small_integers(entry, first, count, out.data());
  } else {
    throw Error(ErrorCode::data,
                "is " + std::string(name_of(entry.type)) + " and cannot be read as " +
                    std::string(name_of(to)),
                entry.name);
  }
}

void read_tensor(const StoredTensor& tensor, DType to, std::span<std::byte> out) {
  read_rows(tensor, {0, rows_of(*tensor.values)}, to, out);
}

void read_tensor(const StoredTensor& tensor, std::span<float> out) {
  read_tensor(tensor, DType::f32, std::as_writable_bytes(out));
}

void read_tensor(const StoredTensor& tensor, std::span<std::int32_t> out) {
  read_tensor(tensor, DType::i32, std::as_writable_bytes(out));
}

}  // namespace ingot
