#include "io/stored_type.h"

#include <array>

namespace ingot {
namespace {

struct TypeRow {
  std::string_view name;
  std::int64_t size;
};

// In the order of StoredType.
constexpr std::array<TypeRow, 16> kTypes = {{{"BOOL", 1},
                                             {"U8", 1},
                                             {"I8", 1},
                                             {"F8_E5M2", 1},
                                             {"F8_E4M3", 1},
                                             {"F8_E8M0", 1},
                                             {"I16", 2},
                                             {"U16", 2},
                                             {"F16", 2},
                                             {"BF16", 2},
                                             {"I32", 4},
                                             {"U32", 4},
                                             {"F32", 4},
                                             {"F64", 8},
                                             {"I64", 8},
                                             {"U64", 8}}};
static_assert(static_cast<std::size_t>(StoredType::u64) + 1 == kTypes.size());

const TypeRow& row_of(StoredType type) { return kTypes[static_cast<std::size_t>(type)]; }

}  // namespace

std::int64_t size_of(StoredType type) { return row_of(type).size; }

std::string_view name_of(StoredType type) { return row_of(type).name; }

std::optional<StoredType> stored_type_named(std::string_view name) {
  for (std::size_t i = 0; i < kTypes.size(); ++i) {
    if (kTypes[i].name == name) return static_cast<StoredType>(i);
  }
  return std::nullopt;
}

StoredType stored_type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return StoredType::f32;
    case DType::bf16:
      return StoredType::bf16;
    case DType::f16:
      return StoredType::f16;
    case DType::i8:
      return StoredType::i8;
    case DType::u8:
      return StoredType::u8;
    case DType::i32:
      return StoredType::i32;
    case DType::i64:
      return StoredType::i64;
    case DType::f64:
      return StoredType::f64;
    case DType::f8_e4m3:
      return StoredType::f8_e4m3;
    case DType::f8_e5m2:
      return StoredType::f8_e5m2;
  }
  return StoredType::f32;
}

std::optional<DType> dtype_of(StoredType type) {
  for (const DType dtype :
       {DType::f32, DType::bf16, DType::f16, DType::i8, DType::u8, DType::i32, DType::i64}) {
    if (stored_type_of(dtype) == type) return dtype;
  }
  return std::nullopt;
}

std::optional<std::int64_t> checked_product(const std::vector<std::int64_t>& shape,
                                            std::int64_t element_size) {
  std::int64_t product = element_size;
  for (const std::int64_t dimension : shape) {
    if (dimension < 0 || __builtin_mul_overflow(product, dimension, &product)) return std::nullopt;
  }
  return product;
}

std::string describe(const TensorDeclaration& tensor) {
  std::string text = std::string(name_of(tensor.type)) + " [";
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(tensor.shape[i]);
  }
  return text + "]";
}

std::string quoted_name(std::string_view name) {
  constexpr std::size_t kLongest = 200;
  const bool is_long = name.size() > kLongest;
  return '"' + std::string(name.substr(0, kLongest)) + (is_long ? "...\"" : "\"");
}

}  // namespace ingot
