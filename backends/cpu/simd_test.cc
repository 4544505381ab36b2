#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "backends/cpu/simd_test_kernels.h"
#include "engine/numbers/dtype.h"

namespace ingot::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Each test runs at each level this CPU has.
class Simd : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (!supports(GetParam())) GTEST_SKIP() << "not on this CPU";
  }
  const SimdTestKernels& kernels() const { return simd_test_kernels(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Levels, Simd, testing::ValuesIn(kAllIsas),
                         [](const auto& info) { return std::string(isa_name(info.param)); });

// Distance from `expected` in units of the last place of a float of its size.
double ulps(float value, double expected) {
  if (std::isnan(expected)) return std::isnan(value) ? 0 : kInfinity;
  if (std::isinf(expected) || std::fabs(expected) > std::numeric_limits<float>::max()) {
    return value == static_cast<float>(expected) ? 0 : kInfinity;
  }
  const double size = std::max(std::fabs(expected), 0x1p-126);
  return std::fabs(value - expected) / std::ldexp(1.0, std::ilogb(size) - 23);
}

// Compares one function with double precision on `inputs`, in calls of 0..33 elements that start at
// odd addresses, and checks that nothing beyond the end is written.
template <typename Expected>
double worst_ulps(SimdTestKernels::Unary function, const std::vector<float>& inputs,
                  const Expected& expected) {
  double worst = 0;
  std::size_t start = 0;
  for (int count = 0; start + count <= inputs.size(); count = (count + 1) % 34) {
    std::vector<float> y(count + 18, -12345.0f);
    function(inputs.data() + start, y.data() + 1, count);
    EXPECT_EQ(y[0], -12345.0f);
    for (std::size_t i = count + 1; i < y.size(); ++i) EXPECT_EQ(y[i], -12345.0f);
    for (int i = 0; i < count; ++i) {
      const double error = ulps(y[i + 1], expected(double{inputs[start + i]}));
      if (error > worst) worst = error;
    }
    start += count;
  }
  return worst;
}

std::vector<float> range(float from, float to, int count) {
  std::vector<float> values;
  for (int i = 0; i <= count; ++i) values.push_back(from + (to - from) * (float(i) / count));
  return values;
}

// Floats of every size: random bits, all exponents.
std::vector<float> any_finite(int count, bool negative) {
  std::mt19937 random(7);
  std::vector<float> values;
  while (static_cast<int>(values.size()) < count) {
    const std::uint32_t bits = static_cast<std::uint32_t>(random()) & (negative ? ~0u : ~0u >> 1);
    float value;
    std::memcpy(&value, &bits, sizeof value);
    if (std::isfinite(value)) values.push_back(value);
  }
  return values;
}

TEST_P(Simd, ExpIsWithinTwoUlpWhereTheResultIsNormal) {
  const auto expected = [](double x) { return std::exp(x); };
  EXPECT_LE(worst_ulps(kernels().exp, range(-87.3f, 88.72f, 200000), expected), 2);
  EXPECT_LE(worst_ulps(kernels().exp, range(-1e-3f, 1e-3f, 1000), expected), 2);
}

TEST_P(Simd, ExpAtItsEnds) {
  const float x[] = {0, -0.0f, kInfinity, -kInfinity, kNan, 89, 1000, -104.5f, -1e30f, 3e38f};
  const float expected[] = {1, 1, kInfinity, 0, kNan, kInfinity, kInfinity, 0, 0, kInfinity};
  float y[10];
  kernels().exp(x, y, 10);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(ulps(y[i], expected[i]), 0) << x[i];
  // Subnormal results: right to a few of their last places.
  const float small[] = {-88, -95, -100, -103};
  kernels().exp(small, y, 4);
  for (int i = 0; i < 4; ++i) EXPECT_LE(ulps(y[i], std::exp(double{small[i]})), 2) << small[i];
}

TEST_P(Simd, LogIsWithinTwoUlpForEveryPositiveFloat) {
  const auto expected = [](double x) { return std::log(x); };
  EXPECT_LE(worst_ulps(kernels().log, any_finite(200000, false), expected), 2);
  EXPECT_LE(worst_ulps(kernels().log, range(0.5f, 2.0f, 100000), expected), 2);
  const float x[] = {0, -0.0f, -1, kInfinity, -kInfinity, kNan, 1};
  const float ends[] = {-kInfinity, -kInfinity, kNan, kInfinity, kNan, kNan, 0};
  float y[7];
  kernels().log(x, y, 7);
  for (int i = 0; i < 7; ++i) EXPECT_EQ(ulps(y[i], ends[i]), 0) << x[i];
}

TEST_P(Simd, SigmoidIsWithinFourUlp) {
  // exp (2), its sum with 1 and the quotient (1 each).
  const auto expected = [](double x) { return 1 / (1 + std::exp(-x)); };
  EXPECT_LE(worst_ulps(kernels().sigmoid, range(-87, 100, 100000), expected), 4);
  const float x[] = {kInfinity, -kInfinity, 0, kNan};
  const float ends[] = {1, 0, 0.5f, kNan};
  float y[4];
  kernels().sigmoid(x, y, 4);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(ulps(y[i], ends[i]), 0) << x[i];
}

TEST_P(Simd, TanhIsWithinThreeUlp) {
  const auto expected = [](double x) { return std::tanh(x); };
  EXPECT_LE(worst_ulps(kernels().tanh, range(-20, 20, 100000), expected), 3);
  EXPECT_LE(worst_ulps(kernels().tanh, range(-0.01f, 0.01f, 1000), expected), 3);
  const float x[] = {kInfinity, -kInfinity, 0, kNan};
  const float ends[] = {1, -1, 0, kNan};
  float y[4];
  kernels().tanh(x, y, 4);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(ulps(y[i], ends[i]), 0) << x[i];
}

TEST_P(Simd, RootsAreCorrectlyRoundedPerStep) {
  const std::vector<float> inputs = any_finite(20000, false);
  const auto root = [](double x) { return std::sqrt(x); };
  const auto inverse = [](double x) { return 1 / std::sqrt(x); };
  EXPECT_LE(worst_ulps(kernels().sqrt, inputs, root), 0.5);
  EXPECT_LE(worst_ulps(kernels().rsqrt, inputs, inverse), 1.5);  // half an ulp may count double
}

TEST_P(Simd, ExactUnaryFunctions) {
  const std::vector<float> inputs = any_finite(5000, true);
  const auto absolute = [](double x) { return std::fabs(x); };
  const auto negative = [](double x) { return -x; };
  EXPECT_EQ(worst_ulps(kernels().abs, inputs, absolute), 0);
  EXPECT_EQ(worst_ulps(kernels().negate, inputs, negative), 0);
  const auto nearest = [](double x) { return std::nearbyint(x); };
  EXPECT_EQ(worst_ulps(kernels().round, range(-40, 40, 320), nearest), 0);  // quarters: ties too
}

TEST_P(Simd, BinaryFunctionsAtEveryLength) {
  using Expected = float (*)(float, float);
  const std::pair<SimdTestKernels::Binary, Expected> functions[] = {
      {kernels().add, [](float a, float b) { return a + b; }},
      {kernels().subtract, [](float a, float b) { return a - b; }},
      {kernels().multiply, [](float a, float b) { return a * b; }},
      {kernels().divide, [](float a, float b) { return a / b; }},
      {kernels().min, [](float a, float b) { return a < b ? a : b; }},
      {kernels().max, [](float a, float b) { return a > b ? a : b; }},
      {kernels().less, [](float a, float b) { return a < b ? 1.0f : 0.0f; }},
      {kernels().less_equal, [](float a, float b) { return a <= b ? 1.0f : 0.0f; }},
      {kernels().equal, [](float a, float b) { return a == b ? 1.0f : 0.0f; }},
  };
  std::vector<float> a, b;
  for (int i = 0; i < 34; ++i) {
    a.push_back(static_cast<float>(i % 7) - 3.1f);
    b.push_back(i % 5 == 0 ? a[i] : static_cast<float>(i % 3) - 1.3f);
  }
  a[3] = kNan, b[6] = kNan, a[8] = b[8] = kNan, a[11] = kInfinity, b[12] = -kInfinity;
  for (const auto& [function, expected] : functions) {
    for (int count = 0; count <= 33; ++count) {
      std::vector<float> y(35, -12345.0f);
      function(a.data(), b.data(), y.data(), count);
      for (int i = 0; i < count; ++i) EXPECT_EQ(ulps(y[i], expected(a[i], b[i])), 0) << i;
      for (int i = count; i < 35; ++i) EXPECT_EQ(y[i], -12345.0f);
    }
  }
}

TEST_P(Simd, FmaRoundsOnceFromV3) {
  const float a[] = {1 + 0x1p-20f}, b[] = {1 - 0x1p-20f}, c[] = {-1};
  float y[1];
  kernels().fma(a, b, c, y, 1);
  EXPECT_EQ(y[0], GetParam() == Isa::base ? 0.0f : -0x1p-40f);
}

TEST_P(Simd, ReductionsUseOneOrderAtEveryLevel) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (int repeat = 0; repeat < 100; ++repeat) {
    float x[16], tree[16];
    for (int i = 0; i < 16; ++i) tree[i] = x[i] = normal(random) * std::exp(normal(random));
    for (int width = 8; width > 0; width /= 2) {
      for (int i = 0; i < width; ++i) tree[i] += tree[i + width];
    }
    EXPECT_EQ(kernels().horizontal_sum(x), tree[0]);
    const float largest = *std::max_element(x, x + 16);
    EXPECT_EQ(kernels().horizontal_max(x), largest);
    EXPECT_FALSE(kernels().any_greater(x, largest));
    EXPECT_TRUE(kernels().any_greater(x, std::nextafter(largest, -kInfinity)));
  }
}

TEST_P(Simd, Integers) {
  std::int32_t numbers[16];
  kernels().lane_numbers(numbers);
  for (int i = 0; i < 16; ++i) EXPECT_EQ(numbers[i], i);
  std::mt19937 random(5);
  for (int repeat = 0; repeat < 100; ++repeat) {
    std::int32_t x[16], y[16];
    for (std::int32_t& value : x) value = static_cast<std::int32_t>(random()) >> (random() % 31);
    kernels().integers(x, y);
    for (int i = 0; i < 16; ++i) {
      const std::int32_t a = x[i];
      const std::uint32_t word = static_cast<std::uint32_t>(a);
      const std::int32_t b = static_cast<std::int32_t>(
          ((word * 3) << 2) - static_cast<std::uint32_t>(a >> 3) + (word >> 5));
      const std::int32_t c = (a & 0xff) | (~b ^ a);
      EXPECT_EQ(y[i], a > b ? b : a < c ? c : a == c ? a : b) << a;
    }
  }
}

TEST_P(Simd, EverySixteenBitFloatIsReadExactly) {
  std::vector<std::uint16_t> bits(1 << 16);
  for (int i = 0; i < 1 << 16; ++i) bits[i] = static_cast<std::uint16_t>(i);
  std::vector<float> y(1 << 16);
  for (int type = 0; type < 2; ++type) {
    kernels().from_16_bits[type](bits.data(), y.data(), 1 << 16);
    for (int i = 0; i < 1 << 16; ++i) {
      const float expected = type == 0 ? bf16_to_float(bits[i]) : f16_to_float(bits[i]);
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(y[i])) << i;
      } else {
        ASSERT_EQ(y[i], expected) << i;
        ASSERT_EQ(std::signbit(y[i]), std::signbit(expected)) << i;
      }
    }
  }
}

TEST_P(Simd, RoundsToSixteenBitsAsTheHostDoes) {
  std::vector<float> inputs = any_finite(100000, true);
  for (int bits = 0; bits < 1 << 16; ++bits) {  // every half, and the midpoint above it
    const float low = f16_to_float(static_cast<std::uint16_t>(bits));
    const float high = f16_to_float(static_cast<std::uint16_t>(bits + 1));
    inputs.push_back(low);
    inputs.push_back((low + high) / 2);
    inputs.push_back(std::nextafter((low + high) / 2, low));
    const std::uint32_t tie = static_cast<std::uint32_t>(bits) << 16 | 0x8000u;  // between two bf16
    float middle;
    std::memcpy(&middle, &tie, sizeof middle);
    inputs.push_back(middle);
  }
  inputs.insert(inputs.end(), {kInfinity, -kInfinity, kNan, -kNan, 65519.9f, 65520.0f, -0.0f});
  const std::int64_t count = static_cast<std::int64_t>(inputs.size());
  std::vector<std::uint16_t> y(inputs.size());
  for (int type = 0; type < 2; ++type) {
    kernels().to_16_bits[type](inputs.data(), y.data(), count);
    for (std::int64_t i = 0; i < count; ++i) {
      std::uint16_t expected = type == 0 ? float_to_bf16(inputs[i]) : float_to_f16(inputs[i]);
      // The CPU's bf16 instruction makes zeros of subnormals.
      const bool flushed = type == 0 && GetParam() >= Isa::v4_bf16 &&
                           std::fabs(inputs[i]) < std::numeric_limits<float>::min();
      if (flushed) expected &= 0x8000u;
      if (std::isnan(inputs[i])) {
        EXPECT_TRUE(std::isnan(type == 0 ? bf16_to_float(y[i]) : f16_to_float(y[i])));
      } else {
        ASSERT_EQ(y[i], expected) << inputs[i] << " " << type;
      }
    }
  }
}

TEST_P(Simd, SixteenBitTailsTouchNothingElse) {
  for (int type = 0; type < 2; ++type) {
    for (int count = 0; count <= 33; ++count) {
      // Heap blocks of the exact size: the address sanitizer sees a step too far.
      std::vector<float> x(count, 1.5f), back(count);
      std::vector<std::uint16_t> y(count), guarded(count + 20, 0xabcd);
      kernels().to_16_bits[type](x.data(), y.data(), count);
      kernels().from_16_bits[type](y.data(), back.data(), count);
      EXPECT_EQ(back, x);
      kernels().to_16_bits[type](x.data(), guarded.data(), count);
      for (std::size_t i = count; i < guarded.size(); ++i) EXPECT_EQ(guarded[i], 0xabcd);
    }
  }
}

}  // namespace
}  // namespace ingot::cpu
