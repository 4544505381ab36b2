#include "backends/cpu/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "engine/base/error.h"

namespace ingot::cpu {
namespace {

constexpr DType kTypes[] = {DType::f32, DType::bf16, DType::f16};
// Empty, around the vector width, around a block, several blocks.
constexpr std::int64_t kCounts[] = {0, 1, 15, 16, 17, 33, 1000, 32767, 32768, 32769, 100003};

// An array of one of the float types, read and written as float.
struct Array {
  DType type;
  std::vector<std::byte> bytes;

  Array(DType dtype, std::int64_t count) : type(dtype), bytes(count * size_of(dtype)) {}
  float get(std::int64_t i) const {
    if (type == DType::f32) return reinterpret_cast<const float*>(bytes.data())[i];
    const auto bits = reinterpret_cast<const std::uint16_t*>(bytes.data())[i];
    return type == DType::bf16 ? bf16_to_float(bits) : f16_to_float(bits);
  }
  void set(std::int64_t i, float value) {
    if (type == DType::f32) {
      reinterpret_cast<float*>(bytes.data())[i] = value;
    } else {
      reinterpret_cast<std::uint16_t*>(bytes.data())[i] =
          type == DType::bf16 ? float_to_bf16(value) : float_to_f16(value);
    }
  }
};

float rounded(DType type, float value) {
  if (type == DType::bf16) return bf16_to_float(float_to_bf16(value));
  if (type == DType::f16) return f16_to_float(float_to_f16(value));
  return value;
}

Array random_array(DType type, std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Array array(type, count);
  for (std::int64_t i = 0; i < count; ++i) array.set(i, normal(random));
  return array;
}

TEST(Elementwise, FillZeroAndScale) {
  ThreadPool pool(2);
  for (const DType type : kTypes) {
    for (const std::int64_t count : kCounts) {
      Array y(type, count);
      fill(pool, type, y.bytes.data(), count, 1.7f);
      for (std::int64_t i = 0; i < count; ++i) ASSERT_EQ(y.get(i), rounded(type, 1.7f));
      scale(pool, type, y.bytes.data(), count, 0.3f);
      const float scaled = rounded(type, rounded(type, 1.7f) * 0.3f);
      for (std::int64_t i = 0; i < count; ++i) ASSERT_EQ(y.get(i), scaled);
      zero(pool, y.bytes.data(), static_cast<std::int64_t>(y.bytes.size()));
      for (std::int64_t i = 0; i < count; ++i) ASSERT_EQ(y.get(i), 0);
    }
  }
}

TEST(Elementwise, ZeroStopsAtTheLastByte) {
  ThreadPool pool(2);
  std::vector<std::uint8_t> bytes(300000, 7);
  zero(pool, bytes.data(), 299999);
  EXPECT_EQ(bytes[299998], 0);
  EXPECT_EQ(bytes[299999], 7);
}

TEST(Elementwise, ConvertRoundsOnce) {
  ThreadPool pool(2);
  for (const DType x_type : kTypes) {
    for (const DType y_type : kTypes) {
      for (const std::int64_t count : kCounts) {
        const Array x = random_array(x_type, count, 1);
        Array y(y_type, count);
        convert(pool, y_type, y.bytes.data(), x_type, x.bytes.data(), count);
        for (std::int64_t i = 0; i < count; ++i) ASSERT_EQ(y.get(i), rounded(y_type, x.get(i)));
      }
    }
  }
}

TEST(Elementwise, AddRoundsToTheTypeOfTheSum) {
  ThreadPool pool(2);
  for (const DType x_type : kTypes) {
    for (const DType y_type : kTypes) {
      for (const std::int64_t count : kCounts) {
        const Array x = random_array(x_type, count, 1);
        Array y = random_array(y_type, count, 2);
        const Array before = y;
        add(pool, y_type, y.bytes.data(), x_type, x.bytes.data(), count, 0.5f);
        for (std::int64_t i = 0; i < count; ++i) {  // half of x is exact: one rounding, any level
          ASSERT_EQ(y.get(i), rounded(y_type, before.get(i) + 0.5f * x.get(i)));
        }
      }
    }
  }
}

TEST(Elementwise, SumOfSquaresIsAccurateAndTheSameForAnyThreads) {
  for (const DType type : kTypes) {
    for (const std::int64_t count : kCounts) {
      const Array x = random_array(type, count, 3);
      double expected = 0;
      for (std::int64_t i = 0; i < count; ++i) expected += double{x.get(i)} * x.get(i);
      std::vector<double> partial(sum_of_squares_blocks(count));
      std::vector<double> sums;
      for (const int threads : {1, 2, 3}) {
        ThreadPool pool(threads);
        sums.push_back(sum_of_squares(pool, type, x.bytes.data(), count, partial));
      }
      EXPECT_EQ(sums[0], sums[1]);
      EXPECT_EQ(sums[0], sums[2]);
      // A lane adds at most 16 squares in float, the tree 4 more: 20 roundings of 2^-24.
      EXPECT_NEAR(sums[0], expected, expected * 20 * 0x1p-24);
    }
  }
}

TEST(Elementwise, AllFiniteFindsOneBadElementAnywhere) {
  ThreadPool pool(2);
  const float bad[] = {std::numeric_limits<float>::infinity(),
                       -std::numeric_limits<float>::infinity(),
                       std::numeric_limits<float>::quiet_NaN()};
  for (const DType type : kTypes) {
    for (const std::int64_t count : kCounts) {
      Array x = random_array(type, count, 4);
      EXPECT_TRUE(all_finite(pool, type, x.bytes.data(), count));
      if (count == 0) continue;
      for (const std::int64_t place : {std::int64_t{0}, count / 2, count - 1}) {
        const float good = x.get(place);
        x.set(place, bad[(count + place) % 3]);
        EXPECT_FALSE(all_finite(pool, type, x.bytes.data(), count)) << place << " of " << count;
        x.set(place, good);
      }
    }
  }
}

TEST(Elementwise, RefusesIntegers) {
  ThreadPool pool(1);
  float y = 0;
  EXPECT_THROW(scale(pool, DType::i32, &y, 1, 2), Error);
}

}  // namespace
}  // namespace ingot::cpu
