#include "engine/numbers/quantizer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "backends/cpu/quantizer_simd.h"
#include "engine/numbers/dtype.h"

namespace ingot {
namespace {

constexpr std::uint64_t kKey = 42;

struct Quantized {
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
  bool operator==(const Quantized& other) const {  // bit by bit: NaN scales are equal too
    return codes == other.codes && scales.size() == other.scales.size() &&
           std::memcmp(scales.data(), other.scales.data(), scales.size() * sizeof(float)) == 0;
  }
};

Quantized sized(std::size_t columns, std::int64_t group) {
  return {std::vector<std::int8_t>(columns),
          std::vector<float>(quantizer_groups(static_cast<std::int64_t>(columns), group))};
}

// The scalar definition, one row.
Quantized reference(const std::vector<float>& x, std::int64_t group, bool stochastic) {
  Quantized q = sized(x.size(), group);
  for (std::size_t g = 0; g < q.scales.size(); ++g) {
    const std::size_t first = g * group, last = std::min<std::size_t>(x.size(), first + group);
    float amax = 0;
    for (std::size_t i = first; i < last; ++i) {
      amax = std::isfinite(x[i]) ? std::fmax(amax, std::fabs(x[i])) : NAN;
      if (std::isnan(amax)) break;
    }
    const QuantizerScale scale = quantizer_scale(amax);
    q.scales[g] = scale.scale;
    for (std::size_t i = first; i < last; ++i) {
      const auto column = static_cast<std::uint32_t>(i);
      q.codes[i] = stochastic
                       ? quantize_stochastic(x[i], scale.inverse, rounding_bits(kKey, column))
                       : quantize_nearest(x[i], scale.inverse);
    }
  }
  return q;
}

Quantized by_kernel(cpu::Isa isa, const std::vector<float>& x, std::int64_t group,
                    bool stochastic) {
  Quantized q = sized(x.size(), group);
  const cpu::QuantizerKernels& kernels = cpu::quantizer_kernels(isa);
  const auto columns = static_cast<std::int64_t>(x.size());
  if (stochastic) {
    kernels.quantize_stochastic[0](x.data(), columns, group, q.codes.data(), q.scales.data(), kKey);
  } else {
    kernels.quantize[0](x.data(), columns, group, q.codes.data(), q.scales.data());
  }
  return q;
}

std::vector<float> gaussian(std::size_t count) {
  std::vector<float> x(count);
  for (std::size_t i = 0; i < count; ++i) x[i] = random_normal_pair(7, 1, i / 2)[i % 2];
  return x;
}

double relative_rms_error(const std::vector<float>& x, const Quantized& q, std::int64_t group) {
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double difference = q.codes[i] * q.scales[i / group] - x[i];
    error += difference * difference;
    norm += static_cast<double>(x[i]) * x[i];
  }
  return std::sqrt(error / norm);
}

// memory.md A1: error of Gaussian values by group size, in percent; two digits are given there.
TEST(Quantizer, ErrorOfGaussianValuesIsAsTheoryHasIt) {
  const std::vector<float> x = gaussian(1 << 18);
  for (const auto& [group, percent] : {std::pair{32, 0.53}, {128, 0.65}, {256, 0.70}}) {
    EXPECT_NEAR(100 * relative_rms_error(x, reference(x, group, false), group), percent, 0.01);
  }
  EXPECT_NEAR(100 * relative_rms_error(x, reference(x, 128, true), 128), 0.91, 0.015);
}

// Lengths around the vector width and the group, values of all magnitudes.
TEST(Quantizer, EveryLevelGivesTheBitsOfTheScalarDefinition) {
  for (const cpu::Isa isa : cpu::kAllIsas) {
    if (!cpu::supports(isa)) continue;
    for (const std::size_t count :
         {1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 300, 1000}) {
      std::vector<float> x = gaussian(count);
      for (std::size_t i = 0; i < count; i += 3) x[i] = std::ldexp(x[i], static_cast<int>(i) - 99);
      for (const std::int64_t group : {32, 96, 128, 4096}) {
        for (const bool stochastic : {false, true}) {
          EXPECT_TRUE(by_kernel(isa, x, group, stochastic) == reference(x, group, stochastic))
              << cpu::isa_name(isa) << " count " << count << " group " << group;
        }
      }
    }
  }
}

TEST(Quantizer, TiesGoToEvenAndTheLargestValueHasCode127) {
  const std::vector<float> x = {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, -127};
  for (const cpu::Isa isa : cpu::kAllIsas) {
    if (!cpu::supports(isa)) continue;
    const Quantized q = by_kernel(isa, x, 128, false);
    EXPECT_EQ(q.codes, (std::vector<std::int8_t>{127, 0, 2, 2, 0, -2, -2, -127}));
    EXPECT_EQ(q.scales, std::vector<float>{1});
  }
}

// 127 / amax is rounded, so amax times it may exceed 127: the code must not.
TEST(Quantizer, NeverGivesMinus128) {
  for (const cpu::Isa isa : cpu::kAllIsas) {
    if (!cpu::supports(isa)) continue;
    for (std::uint64_t i = 0; i < 2000; ++i) {
      const std::vector<float> x(100, -1 - static_cast<float>(random_uniform(1, 2, i)));
      for (const bool stochastic : {false, true}) {
        for (const std::int8_t code : by_kernel(isa, x, 128, stochastic).codes) {
          ASSERT_EQ(code, -127);
        }
      }
    }
  }
}

// The mean of n draws of a code with fraction f has a deviation of sqrt(f (1 - f) / n); five of
// them, over 41 values. Nearest rounding would be off by up to half a code.
TEST(Quantizer, StochasticRoundingIsUnbiased) {
  constexpr int kDraws = 20000;
  std::vector<float> x = {1};
  for (int i = -20; i <= 20; ++i) x.push_back(static_cast<float>(i) / 20 / 127 * 3.3f);
  std::vector<double> sum(x.size());
  for (int draw = 0; draw < kDraws; ++draw) {
    const std::uint64_t key = rounding_row_key(rounding_key(1, 2, 3, 4), draw);
    for (std::size_t i = 0; i < x.size(); ++i) {
      sum[i] += quantize_stochastic(x[i], 127, rounding_bits(key, static_cast<std::uint32_t>(i)));
    }
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double scaled = 127.0 * x[i], fraction = scaled - std::floor(scaled);
    const double deviation = std::sqrt(fraction * (1 - fraction) / kDraws);
    EXPECT_NEAR(sum[i] / kDraws, scaled, 5 * deviation + 1e-4) << x[i];
  }
}

// Draws of neighbours in column, row, step and tensor don't follow each other: their correlation
// over n pairs has a deviation of 1 / sqrt(n).
TEST(Quantizer, DrawsOfNeighboursAreIndependent) {
  constexpr int kPairs = 100000;
  const auto uniform = [](std::uint64_t row_key, int column) {
    return (rounding_bits(row_key, static_cast<std::uint32_t>(column)) + 0.5) / 65536 - 0.5;
  };
  const std::uint64_t key = rounding_key(1, 0, 0, 5), row = rounding_row_key(key, 9);
  const std::uint64_t others[] = {row,
                                  rounding_row_key(key, 10),
                                  rounding_row_key(rounding_key(1, 1, 0, 5), 9),
                                  rounding_row_key(rounding_key(1, 0, 1, 5), 9),
                                  rounding_row_key(rounding_key(1, 0, 0, 6), 9),
                                  rounding_row_key(rounding_key(2, 0, 0, 5), 9)};
  for (const std::uint64_t other : others) {
    double sum = 0, squares = 0, mean = 0;
    for (int i = 0; i < kPairs; ++i) {
      const double a = uniform(row, i), b = uniform(other, i + 1);
      sum += a * b;
      squares += a * a;
      mean += a;
    }
    EXPECT_NEAR(mean / kPairs, 0, 5 * std::sqrt(1.0 / 12 / kPairs));
    EXPECT_NEAR(squares / kPairs, 1.0 / 12, 0.001);
    EXPECT_NEAR(12 * sum / kPairs, 0, 5 / std::sqrt(kPairs));
  }
}

TEST(Quantizer, ZeroAndVanishingGroupsHaveScaleZero) {
  const std::vector<float> x = {0, -0.0f, 1e-37f, -1e-37f, 1e-40f};
  for (const cpu::Isa isa : cpu::kAllIsas) {
    if (!cpu::supports(isa)) continue;
    for (const bool stochastic : {false, true}) {
      const Quantized q = by_kernel(isa, x, 32, stochastic);
      EXPECT_EQ(q.codes, std::vector<std::int8_t>(5, 0));
      EXPECT_EQ(q.scales, std::vector<float>(1, 0));
    }
  }
}

TEST(Quantizer, NonFiniteValuesMakeTheirGroupNanAndNoOther) {
  for (const float bad : {NAN, INFINITY, -INFINITY, -NAN}) {
    std::vector<float> x = gaussian(300);
    x[140] = bad;
    for (const cpu::Isa isa : cpu::kAllIsas) {
      if (!cpu::supports(isa)) continue;
      for (const bool stochastic : {false, true}) {
        const Quantized q = by_kernel(isa, x, 128, stochastic);
        EXPECT_TRUE(q == reference(x, 128, stochastic));
        EXPECT_TRUE(std::isnan(q.scales[1]));
        EXPECT_TRUE(std::isfinite(q.scales[0]) && std::isfinite(q.scales[2]));
        for (const std::int8_t code : q.codes) EXPECT_NE(code, -128);
        std::vector<float> back(300);
        cpu::quantizer_kernels(isa).dequantize[0](q.codes.data(), q.scales.data(), 300, 128,
                                                  back.data());
        for (int i = 0; i < 300; ++i) EXPECT_EQ(std::isnan(back[i]), i / 128 == 1) << i;
      }
    }
  }
}

// 16-bit values are widened exactly; the dequantized value is rounded once, to nearest even.
TEST(Quantizer, SixteenBitValuesGiveTheCodesOfTheirFloats) {
  const std::vector<float> exact = gaussian(333);
  for (const DType dtype : {DType::bf16, DType::f16}) {
    const auto narrow = dtype == DType::bf16 ? float_to_bf16 : float_to_f16;
    const auto wide = dtype == DType::bf16 ? bf16_to_float : f16_to_float;
    std::vector<std::uint16_t> halves;
    std::vector<float> x;
    for (const float value : exact) {
      halves.push_back(narrow(value));
      x.push_back(wide(halves.back()));
    }
    const Quantized expected = reference(x, 32, false);
    for (const cpu::Isa isa : cpu::kAllIsas) {
      if (!cpu::supports(isa)) continue;
      const cpu::QuantizerKernels& kernels = cpu::quantizer_kernels(isa);
      const int type = dtype == DType::bf16 ? 1 : 2;
      Quantized q = sized(x.size(), 32);
      kernels.quantize[type](halves.data(), 333, 32, q.codes.data(), q.scales.data());
      EXPECT_TRUE(q == expected);
      std::vector<std::uint16_t> back(333);
      kernels.dequantize[type](q.codes.data(), q.scales.data(), 333, 32, back.data());
      for (int i = 0; i < 333; ++i) EXPECT_EQ(back[i], narrow(q.codes[i] * q.scales[i / 32])) << i;
    }
  }
}

}  // namespace
}  // namespace ingot
