#include "io/convert.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "io/test_folder.h"

namespace ingot {
namespace {

// A tensor that owns its bytes, placed at an odd address as in a file with an unpadded header.
template <class T>
struct InMemory {
  InMemory(StoredType type, std::vector<std::int64_t> shape, const std::vector<T>& values)
      : bytes(values.size() * sizeof(T) + 1) {
    if (!values.empty()) std::memcpy(bytes.data() + 1, values.data(), values.size() * sizeof(T));
    entry.name = "tensor";
    entry.type = type;
    entry.shape = std::move(shape);
    entry.bytes = std::span(bytes).subspan(1);
  }
  std::vector<std::byte> bytes;
  SafetensorsEntry entry;
};

std::vector<float> floats_of(const SafetensorsEntry& entry) {
  std::vector<float> out(entry.bytes.size() / static_cast<std::size_t>(size_of(entry.type)));
  read_tensor({&entry}, out);
  return out;
}

void expect_same_float(float a, float b, int bits) {
  if (std::isnan(b)) {
    EXPECT_TRUE(std::isnan(a)) << bits;
  } else {
    EXPECT_EQ(std::bit_cast<std::uint32_t>(a), std::bit_cast<std::uint32_t>(b)) << bits;
  }
}

TEST(Convert, AllSixteenBitPatternsMatchTheScalarConversions) {
  std::vector<std::uint16_t> all(65536);
  for (int i = 0; i < 65536; ++i) all[i] = static_cast<std::uint16_t>(i);
  const InMemory half(StoredType::f16, {256, 256}, all), brain(StoredType::bf16, {65536}, all);
  const std::vector<float> from_half = floats_of(half.entry), from_brain = floats_of(brain.entry);
  for (int i = 0; i < 65536; ++i) {
    expect_same_float(from_half[i], f16_to_float(all[i]), i);
    expect_same_float(from_brain[i], bf16_to_float(all[i]), i);
  }
}

// Around every f16 value and every rounding boundary, and a sweep over all exponents.
TEST(Convert, RoundingToHalfMatchesTheScalarConversion) {
  std::vector<float> values;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto word = std::bit_cast<std::uint32_t>(f16_to_float(static_cast<std::uint16_t>(bits)));
    for (const std::uint32_t offset : {0u, 1u, 0xfffu, 0x1000u, 0x1001u, 0x1fffu}) {
      values.push_back(std::bit_cast<float>(word + offset));
    }
  }
  for (std::uint32_t word = 0; word < 0xffff0000u; word += 0x3f01u) {
    values.push_back(std::bit_cast<float>(word));
  }
  // The smallest subnormal is 2^-24: ties around it.
  for (const float tie : {0x1p-25f, 0x1.000002p-25f, 0x1.8p-24f, 0x1p-26f, 0x1.ffcp-15f}) {
    values.push_back(tie);
  }
  const auto count = static_cast<std::int64_t>(values.size());
  const InMemory single(StoredType::f32, {count}, values);
  std::vector<std::uint16_t> half(values.size());
  read_tensor({&single.entry}, DType::f16, std::as_writable_bytes(std::span(half)));
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(half[i], float_to_f16(values[i])) << std::bit_cast<std::uint32_t>(values[i]);
  }
}

TEST(Convert, EveryFp8ValueIsThatOfItsDefinition) {
  std::vector<std::uint8_t> all(256);
  for (int i = 0; i < 256; ++i) all[i] = static_cast<std::uint8_t>(i);
  const std::vector<float> e4m3 = floats_of(InMemory(StoredType::f8_e4m3, {256}, all).entry);
  const std::vector<float> e5m2 = floats_of(InMemory(StoredType::f8_e5m2, {256}, all).entry);
  const auto value = [](int bits, int mantissa_bits, int bias) {  // finite numbers
    const int exponent = (bits & 127) >> mantissa_bits,
              mantissa = bits & ((1 << mantissa_bits) - 1);
    const double fraction = std::ldexp(mantissa, -mantissa_bits);
    const double magnitude =
        exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias);
    return static_cast<float>(bits & 128 ? -magnitude : magnitude);
  };
  for (int i = 0; i < 256; ++i) {
    if ((i & 127) == 127) {
      EXPECT_TRUE(std::isnan(e4m3[i]));
    } else {
      expect_same_float(e4m3[i], value(i, 3, 7), i);
    }
    if ((i & 127) == 0x7c) {
      EXPECT_EQ(e5m2[i], i & 128 ? -INFINITY : INFINITY);
    } else if ((i & 127) > 0x7c) {
      EXPECT_TRUE(std::isnan(e5m2[i]));
    } else {
      expect_same_float(e5m2[i], value(i, 2, 15), i);
    }
  }
  EXPECT_EQ(e4m3[0x7e], 448.f);
  EXPECT_EQ(e4m3[0x58], 16.f);
}

TEST(Convert, AnyFloatTypeReadsAsAnyOther) {
  const std::vector<float> values = {0.f, -0.f, 1.f, -1.5f, 65504.f, 1e-8f, 3.14159274f, 1e30f};
  std::vector<double> doubles(values.begin(), values.end());
  doubles[7] = 1e300;
  const InMemory single(StoredType::f32, {8}, values);
  const InMemory wide(StoredType::f64, {8}, doubles);
  std::vector<std::uint16_t> brain(8), half(8);
  read_tensor({&single.entry}, DType::bf16, std::as_writable_bytes(std::span(brain)));
  read_tensor({&single.entry}, DType::f16, std::as_writable_bytes(std::span(half)));
  const std::vector<float> from_wide = floats_of(wide.entry);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(brain[i], float_to_bf16(values[i]));
    EXPECT_EQ(half[i], float_to_f16(values[i]));
    EXPECT_EQ(from_wide[i], i == 7 ? INFINITY : values[i]);
  }
}

// The definition of spec section 7.2, with blocks that end in the middle of rows and columns.
void check_block_scales(std::int64_t rows, std::int64_t columns, std::int64_t block_rows,
                        std::int64_t block_columns) {
  SCOPED_TRACE(std::to_string(rows) + "x" + std::to_string(columns));
  std::vector<std::uint8_t> codes(rows * columns);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint8_t>(i * 37 % 127);
  const std::int64_t scale_rows = (rows + block_rows - 1) / block_rows;
  const std::int64_t scale_columns = (columns + block_columns - 1) / block_columns;
  std::vector<float> scales(scale_rows * scale_columns);
  for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = 0.1f + 0.37f * static_cast<float>(i);
  const InMemory values(StoredType::f8_e4m3, {rows, columns}, codes);
  const InMemory scale(StoredType::f32, {scale_rows, scale_columns}, scales);
  const StoredTensor tensor{&values.entry, &scale.entry, block_rows, block_columns};
  const std::vector<float> plain = floats_of(values.entry);
  std::vector<float> got(rows * columns);
  read_tensor(tensor, got);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      const float factor = scales[i / block_rows * scale_columns + j / block_columns];
      ASSERT_EQ(got[i * columns + j], plain[i * columns + j] * factor) << i << "," << j;
    }
  }
  // Any slice of rows gives the same values, also as bf16.
  const RowRange slice{rows / 3, rows - rows / 4};
  std::vector<std::uint16_t> part((slice.end - slice.begin) * columns);
  read_rows(tensor, slice, DType::bf16, std::as_writable_bytes(std::span(part)));
  for (std::size_t i = 0; i < part.size(); ++i) {
    ASSERT_EQ(part[i], float_to_bf16(got[slice.begin * columns + i]));
  }
}

TEST(Convert, Fp8BlockScalesMultiplyWithRaggedEdges) {
  check_block_scales(300, 2500, 128, 128);  // rows longer than a chunk
  check_block_scales(128, 128, 128, 128);
  check_block_scales(1, 1, 128, 128);
  check_block_scales(37, 65, 32, 16);
}

TEST(Convert, ScalesThatDoNotFitAreRefused) {
  const InMemory values(StoredType::f8_e4m3, {200, 100}, std::vector<std::uint8_t>(20000));
  std::vector<float> out(20000);
  const auto refused = [&](const SafetensorsEntry& scales, std::int64_t block) {
    expect_error(
        ErrorCode::data,
        [&] {
          read_tensor({&values.entry, &scales, block, block}, out);
        },
        "do not fit", "weight_block_size");
  };
  const InMemory right(StoredType::f32, {2, 1}, std::vector<float>(2));
  read_tensor({&values.entry, &right.entry}, out);
  refused(right.entry, 64);
  refused(right.entry, 0);
  refused(right.entry, -128);
  refused(right.entry, std::numeric_limits<std::int64_t>::max());
  refused(InMemory(StoredType::f32, {2}, std::vector<float>(2)).entry, 128);
  refused(InMemory(StoredType::f32, {1, 2}, std::vector<float>(2)).entry, 128);
  const InMemory halves(StoredType::bf16, {2, 1}, std::vector<std::uint16_t>(2));
  read_tensor({&values.entry, &halves.entry}, out);
  const InMemory whole(StoredType::i32, {2, 1}, std::vector<std::int32_t>(2));
  expect_error(
      ErrorCode::data,
      [&] {
        read_tensor({&values.entry, &whole.entry}, out);
      },
      "scales are I32", "F8_E8M0");
}

TEST(Convert, IntegersReadAs32BitsOrAreRefused) {
  const std::vector<std::int64_t> values = {0, -1, INT32_MAX, INT32_MIN};
  InMemory wide(StoredType::i64, {4}, values);
  std::vector<std::int32_t> out(4);
  read_tensor({&wide.entry}, out);
  EXPECT_EQ(out, (std::vector<std::int32_t>{0, -1, INT32_MAX, INT32_MIN}));
  const InMemory narrow(StoredType::i32, {4}, out);
  std::vector<std::int32_t> again(4);
  read_tensor({&narrow.entry}, again);
  EXPECT_EQ(again, out);
  const InMemory large(StoredType::i64, {1}, std::vector<std::int64_t>{1ll << 31});
  out.resize(1);
  expect_error(
      ErrorCode::data, [&] { read_tensor({&large.entry}, out); }, "2147483648", "tensor");
}

TEST(Convert, WrongTypesRangesAndSizesAreErrors) {
  const InMemory values(StoredType::f32, {4, 3}, std::vector<float>(12, 1.f));
  std::vector<float> out(12);
  std::vector<std::int32_t> integers(12);
  const auto bytes = std::as_writable_bytes(std::span(out));
  expect_error(
      ErrorCode::data, [&] { read_tensor({&values.entry}, integers); }, "F32", "i32");
  for (const RowRange rows : {RowRange{-1, 1}, {0, 5}, {3, 2}, {5, 5}}) {
    expect_error(ErrorCode::usage, [&] { read_rows({&values.entry}, rows, DType::f32, bytes); });
  }
  expect_error(ErrorCode::usage, [&] { read_rows({&values.entry}, {0, 3}, DType::f32, bytes); });
  read_rows({&values.entry}, {2, 4}, DType::f32, bytes.first(24));
  read_rows({&values.entry}, {4, 4}, DType::f32, {});
  const InMemory none(StoredType::f32, {0, 1ll << 62}, std::vector<float>());
  read_tensor({&none.entry}, std::span<float>());
  const InMemory scalar(StoredType::f32, {}, std::vector<float>{7});
  EXPECT_EQ(floats_of(scalar.entry), std::vector<float>{7});
}

}  // namespace
}  // namespace ingot
