// Element types that occur in safetensors files, more than ingot computes with
// (engine/numbers/dtype.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/numbers/dtype.h"

namespace ingot {

enum class StoredType : std::uint8_t {
  boolean,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,  // "FN": no infinities, 0x7f and 0xff are NaN
  f8_e8m0,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  f64,
  i64,
  u64,
};

// Bytes per element.
std::int64_t size_of(StoredType type);
// As the file spells it: "BF16", "F8_E4M3", ...
std::string_view name_of(StoredType type);
std::optional<StoredType> stored_type_named(std::string_view name);

StoredType stored_type_of(DType dtype);
// Nothing for types ingot does not compute with.
std::optional<DType> dtype_of(StoredType type);

// What a tensor in a file is, without its values. Row-major, little-endian; shape [] is a scalar.
struct TensorDeclaration {
  std::string name;
  StoredType type = StoredType::f32;
  std::vector<std::int64_t> shape;
};

// The product of the dimensions times `element_size`, or nothing when one is negative or it
// overflows.
std::optional<std::int64_t> checked_product(const std::vector<std::int64_t>& shape,
                                            std::int64_t element_size = 1);

// "F32 [3, 4]", for messages.
std::string describe(const TensorDeclaration& tensor);

// A name from a file between quotes, shortened: it may be megabytes long.
std::string quoted_name(std::string_view name);

}  // namespace ingot
