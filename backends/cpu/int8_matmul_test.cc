#include "backends/cpu/int8_matmul.h"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <vector>

#include "engine/base/error.h"
#include "engine/numbers/quantizer.h"

namespace ingot::cpu {
namespace {

constexpr std::uint64_t kKey = 11;

std::vector<float> gaussian(std::int64_t count, std::uint64_t stream) {
  std::vector<float> values(count);
  for (std::int64_t i = 0; i < count; ++i) {
    values[i] = bf16_to_float(float_to_bf16(random_normal_pair(3, stream, i / 2)[i % 2]));
  }
  return values;
}

// The operands of one product in fp32; A [rows][depth] and B [depth][columns] in the maths, stored
// as the spec says.
struct Operands {
  Int8MatmulSpec spec;
  std::vector<float> a, b, c, bias, residual;

  explicit Operands(const Int8MatmulSpec& s) : spec(s) {
    MatmulSpec& p = spec.product;
    a = gaussian(p.rows * p.depth, 1);
    b = gaussian(p.groups * p.columns * p.depth, 2);
    c = gaussian((p.a_transposed ? p.groups : 1) * p.rows * p.columns, 3);
    if (p.bias) bias = gaussian(p.columns, 4);
    if (p.residual) residual = gaussian(p.rows * p.columns, 5);
  }

  std::int64_t a_rows() const {
    return spec.product.a_transposed ? spec.product.depth : spec.product.rows;
  }
  const float& at_a(std::int64_t i, std::int64_t k) const {
    const MatmulSpec& p = spec.product;
    return p.a_transposed ? a[k * p.rows + i] : a[i * p.depth + k];
  }
  const float& at_b(std::int64_t group, std::int64_t k, std::int64_t j) const {
    const MatmulSpec& p = spec.product;
    const float* from = b.data() + group * p.columns * p.depth;
    return p.b_transposed ? from[j * p.depth + k] : from[k * p.columns + j];
  }

  std::vector<float> run(int threads, Isa isa, std::span<const std::int32_t> offsets = {}) const {
    Int8MatmulSpec s = spec;
    s.product.threads = threads;
    const Int8Matmul matmul(s, isa);
    ThreadPool pool(threads);
    std::vector<std::byte> memory(matmul.workspace_bytes() + 64);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    std::vector<float> result = c;
    const Coded coded = s.b_coded ? coded_b() : s.a_coded ? coded_a() : Coded{};
    const void* left = s.a_coded ? static_cast<const void*>(coded.codes.data()) : a.data();
    const void* right = s.b_coded ? static_cast<const void*>(coded.codes.data()) : b.data();
    const std::span workspace = std::span(memory).subspan((64 - address % 64) % 64);
    std::vector<std::byte> packed;
    if (s.product.b_packed) {
      packed.resize(matmul.packed_bytes());
      matmul.pack(pool, b.data(), packed.data(), workspace);
      right = packed.data();
    }
    matmul.run(pool, {.a = left,
                      .b = right,
                      .c = result.data(),
                      .bias = bias.empty() ? nullptr : bias.data(),
                      .residual = residual.empty() ? nullptr : residual.data(),
                      .workspace = workspace,
                      .a_rows = a_rows(),
                      .offsets = offsets,
                      .key = kKey,
                      .scales = coded.scales.empty() ? nullptr : coded.scales.data()});
    return result;
  }

  struct Coded {
    std::vector<std::int8_t> codes;
    std::vector<float> scales;
  };
  Coded coded_b() const {
    const std::int64_t depth = spec.product.depth;
    return coded_rows(b, depth, spec.block == 0 ? depth : spec.block);
  }
  Coded coded_a() const {
    const std::int64_t columns = static_cast<std::int64_t>(a.size()) / a_rows();
    return coded_rows(a, columns, columns);
  }
  // Rows by the scalar definition.
  static Coded coded_rows(std::span<const float> values, std::int64_t columns, std::int64_t block) {
    Coded coded;
    for (; !values.empty(); values = values.subspan(columns)) {
      for (std::int64_t first = 0; first < columns; first += block) {
        const std::span group = values.subspan(first, std::min(block, columns - first));
        float amax = 0;
        for (const float value : group) amax = std::fmax(amax, std::fabs(value));
        const QuantizerScale scale = quantizer_scale(amax);
        coded.scales.push_back(scale.scale);
        for (const float value : group) {
          coded.codes.push_back(quantize_nearest(value, scale.inverse));
        }
      }
    }
    return coded;
  }
};

// Codes and scale of `count` values, by the scalar definition. row_column(k): where value k is.
struct Codes {
  std::vector<int> codes;
  double scale;
};
template <class Value, class RowColumn>
Codes codes_of(std::int64_t first, std::int64_t last, bool stochastic, const Value& value,
               const RowColumn& row_column) {
  float amax = 0;
  for (std::int64_t k = first; k < last; ++k) amax = std::fmax(amax, std::fabs(value(k)));
  const QuantizerScale scale = quantizer_scale(amax);
  Codes result{{}, scale.scale};
  for (std::int64_t k = first; k < last; ++k) {
    if (!stochastic) {
      result.codes.push_back(quantize_nearest(value(k), scale.inverse));
      continue;
    }
    const auto [row, column] = row_column(k);
    const std::uint64_t row_key = rounding_row_key(kKey, row);
    const std::int32_t bits = rounding_bits(row_key, static_cast<std::uint32_t>(column));
    result.codes.push_back(quantize_stochastic(value(k), scale.inverse, bits));
  }
  return result;
}

// One group: its rows [first_row, last_row) of the stored A.
void reference_group(const Operands& o, std::int64_t group, std::int64_t first_row,
                     std::int64_t last_row, std::vector<double>& c) {
  const MatmulSpec& p = o.spec.product;
  const bool transposed = p.a_transposed;
  const std::int64_t k_first = transposed ? first_row : 0;
  const std::int64_t k_last = transposed ? last_row : p.depth;
  const std::int64_t i_first = transposed ? 0 : first_row, i_last = transposed ? p.rows : last_row;
  const std::int64_t block = o.spec.block == 0 ? k_last : o.spec.block;
  const std::int64_t b_group = transposed ? 0 : group, c_group = transposed ? group : 0;
  for (std::int64_t i = i_first; i < i_last; ++i) {
    for (std::int64_t j = 0; j < p.columns; ++j) {
      double& to = c[(c_group * p.rows + i) * p.columns + j];
      to = (p.accumulate ? to : 0) + (p.bias ? o.bias[j] : 0) +
           (p.residual ? o.residual[i * p.columns + j] : 0);
    }
  }
  for (std::int64_t k = k_first; k < k_last; k += block) {
    const std::int64_t last = std::min(k_last, k + block);
    std::vector<Codes> b;
    for (std::int64_t j = 0; j < p.columns; ++j) {
      b.push_back(codes_of(
          k, last, false, [&](std::int64_t n) { return o.at_b(b_group, n, j); },
          [](std::int64_t n) { return std::pair(n, n); }));
    }
    for (std::int64_t i = i_first; i < i_last; ++i) {
      const Codes a = codes_of(
          k, last, o.spec.stochastic, [&](std::int64_t n) { return o.at_a(i, n); },
          [&](std::int64_t n) { return transposed ? std::pair(n, i) : std::pair(i, n); });
      for (std::int64_t j = 0; j < p.columns; ++j) {
        double sum = 0;
        for (std::size_t n = 0; n < a.codes.size(); ++n) sum += a.codes[n] * b[j].codes[n];
        c[(c_group * p.rows + i) * p.columns + j] += sum * a.scale * b[j].scale;
      }
    }
  }
}

std::vector<double> reference(const Operands& o, std::vector<std::int32_t> offsets = {}) {
  if (offsets.empty()) offsets = {0, static_cast<std::int32_t>(o.a_rows())};
  std::vector<double> c(o.c.begin(), o.c.end());
  for (std::size_t group = 0; group + 1 < offsets.size(); ++group) {
    reference_group(o, static_cast<std::int64_t>(group), offsets[group], offsets[group + 1], c);
  }
  return c;
}

// Integer sums are exact; scales and a few sums of blocks are rounded to 24 bits.
void expect_near(const std::vector<float>& actual, const std::vector<double>& expected) {
  double most = 0;
  for (const double value : expected) most = std::fmax(most, std::fabs(value));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(actual[i], expected[i], 2e-6 * most) << "element " << i;
  }
}

Int8MatmulSpec forward(std::int64_t rows, std::int64_t columns, std::int64_t depth,
                       std::int64_t block) {
  Int8MatmulSpec spec{.product = {.rows = rows, .columns = columns, .depth = depth},
                      .block = block};
  spec.product.b_transposed = true;
  return spec;
}

Int8MatmulSpec weight_gradient(std::int64_t out, std::int64_t in, std::int64_t tokens,
                               std::int64_t block) {
  Int8MatmulSpec spec{.product = {.rows = out, .columns = in, .depth = tokens}, .block = block};
  spec.product.a_transposed = true;
  return spec;
}

template <class Check>
void for_each_level(const Check& check) {
  for (const Isa isa : kAllIsas) {
    if (supports(isa)) check(isa);
  }
}

struct Size {
  std::int64_t rows, columns, depth;
};
constexpr Size kSizes[] = {{1, 1, 1},    {7, 17, 3},     {6, 64, 32},   {97, 65, 130},
                           {13, 47, 64}, {100, 131, 97}, {5, 200, 257}, {193, 33, 31}};

TEST(Int8Matmul, EveryLayoutGivesTheExactProductOfTheCodes) {
  for_each_level([](Isa isa) {
    for (const auto& [rows, columns, depth] : kSizes) {
      for (const std::int64_t block : {0, 32, 128}) {
        for (const bool stochastic : {false, true}) {
          Int8MatmulSpec spec = forward(rows, columns, depth, block);
          spec.stochastic = stochastic;
          for (const int layout : {0, 1, 2}) {
            if (layout == 1) spec.product.b_transposed = false;
            if (layout == 2) spec.product.a_transposed = true;
            const Operands operands(spec);
            expect_near(operands.run(2, isa), reference(operands));
            if (testing::Test::HasFatalFailure()) {
              FAIL() << isa_name(isa) << " layout " << layout << ": " << rows << " x " << columns
                     << " x " << depth << " block " << block;
            }
          }
        }
      }
    }
  });
}

TEST(Int8Matmul, AddsBiasResidualAndWhatIsThere) {
  for_each_level([](Isa isa) {
    Int8MatmulSpec spec = forward(50, 70, 90, 32);
    spec.product.accumulate = spec.product.bias = spec.product.residual = true;
    const Operands operands(spec);
    expect_near(operands.run(2, isa), reference(operands));
  });
}

TEST(Int8Matmul, GroupsAreProductsOfTheirOwn) {
  const std::vector<std::int32_t> offsets = {0, 40, 40, 41, 150};
  for_each_level([&](Isa isa) {
    for (const int layout : {0, 1, 2}) {
      Int8MatmulSpec spec =
          layout == 2 ? weight_gradient(33, 50, 150, 32) : forward(150, 33, 50, 0);
      if (layout == 1) spec.product.b_transposed = false;
      spec.product.groups = 4;
      spec.product.accumulate = layout == 2;
      spec.stochastic = true;
      const Operands operands(spec);
      expect_near(operands.run(2, isa, offsets), reference(operands, offsets));
    }
  });
}

// dx from coded rows of dy is what their floats give: the codes are the same.
TEST(Int8Matmul, ACodedAGivesWhatItsFloatsGive) {
  for_each_level([](Isa isa) {
    for (const auto& [rows, columns, depth] : kSizes) {
      Int8MatmulSpec spec = forward(rows, columns, depth * 4, 0);
      spec.product.accumulate = true;
      spec.a_coded = true;
      for (const bool b_transposed : {true, false}) {
        spec.product.b_transposed = b_transposed;
        const Operands operands(spec);
        expect_near(operands.run(2, isa), reference(operands));
        if (testing::Test::HasFatalFailure()) {
          FAIL() << isa_name(isa) << ": " << rows << " x " << columns << " x " << 4 * depth;
        }
      }
    }
  });
}

// dW from coded rows of dy: that of their integers and of x, each row multiplied by dy's scale.
TEST(Int8Matmul, ACodedTransposedAHandsItsScalesToB) {
  const auto expect_it = [](Isa isa, Int8MatmulSpec spec, std::vector<std::int32_t> offsets) {
    spec.a_coded = true;
    const Operands operands(spec);
    const Operands::Coded coded = operands.coded_a();
    Operands expected = operands;
    const MatmulSpec& p = spec.product;
    std::vector<double> c(operands.c.begin(), operands.c.end());
    if (offsets.empty()) offsets = {0, static_cast<std::int32_t>(p.depth)};
    for (std::int64_t k = 0; k < p.depth; ++k) {
      for (std::int64_t j = 0; j < p.columns; ++j) {
        expected.b[k * p.columns + j] = operands.b[k * p.columns + j] * coded.scales[k];
      }
    }
    for (std::size_t group = 0; group + 1 < offsets.size(); ++group) {
      const std::int64_t first = offsets[group], end = offsets[group + 1];
      const std::int64_t block = spec.block == 0 ? std::max<std::int64_t>(1, end) : spec.block;
      for (std::int64_t k = first; k < end; k += block) {
        const std::int64_t last = std::min(end, k + block);
        for (std::int64_t j = 0; j < p.columns; ++j) {
          const Codes b = codes_of(
              k, last, false, [&](std::int64_t n) { return expected.at_b(0, n, j); },
              [](std::int64_t n) { return std::pair(n, n); });
          for (std::int64_t i = 0; i < p.rows; ++i) {
            double sum = 0;
            for (std::int64_t n = k; n < last; ++n) {
              sum += coded.codes[n * p.rows + i] * b.codes[n - k];
            }
            const std::int64_t to = (static_cast<std::int64_t>(group) * p.rows + i) * p.columns + j;
            c[to] += sum * b.scale;
          }
        }
      }
    }
    expect_near(operands.run(2, isa, p.groups > 1 ? offsets : std::vector<std::int32_t>{}), c);
  };
  for_each_level([&](Isa isa) {
    for (const auto& [rows, columns, depth] : kSizes) {
      for (const std::int64_t block : {0, 32, 128}) {
        Int8MatmulSpec spec = weight_gradient(rows, columns, depth, block);
        spec.product.accumulate = true;
        expect_it(isa, spec, {});
        if (testing::Test::HasFatalFailure()) {
          FAIL() << isa_name(isa) << ": " << rows << " x " << columns << " x " << depth;
        }
      }
    }
    Int8MatmulSpec grouped = weight_gradient(33, 50, 150, 32);
    grouped.product.groups = 4;
    grouped.product.accumulate = true;
    expect_it(isa, grouped, {0, 40, 40, 41, 150});
  });
}

TEST(Int8Matmul, ACodedBGivesWhatItsFloatsGive) {
  for_each_level([](Isa isa) {
    for (const auto& [rows, columns, depth] : kSizes) {
      for (const std::int64_t block : {0, 32, 128}) {
        Int8MatmulSpec spec = forward(rows, columns, depth, block);
        spec.product.bias = spec.product.residual = true;
        spec.b_coded = true;
        const Operands operands(spec);
        expect_near(operands.run(2, isa), reference(operands));
        if (testing::Test::HasFatalFailure()) {
          FAIL() << isa_name(isa) << ": " << rows << " x " << columns << " x " << depth << " block "
                 << block;
        }
      }
    }
  });
}

// Groups without rows, with few (that read B where it lies) and with many.
TEST(Int8Matmul, GroupsOfACodedBAreProductsOfTheirOwn) {
  const std::vector<std::int32_t> offsets = {0, 40, 40, 41, 48, 150};
  for_each_level([&](Isa isa) {
    Int8MatmulSpec spec = forward(150, 133, 300, 128);
    spec.product.groups = 5;
    spec.b_coded = true;
    const Operands operands(spec);
    const std::vector<float> c = operands.run(2, isa, offsets);
    expect_near(c, reference(operands, offsets));
    EXPECT_EQ(operands.run(3, isa, offsets), c);
  });
}

TEST(Int8Matmul, TilesOfAmxGiveTheBitsOfVectors) {
  if (!supports(Isa::amx)) GTEST_SKIP() << "not on this CPU";
  for (const auto& [rows, columns, depth] : kSizes) {
    for (const std::int64_t block : {0, 32, 96, 128}) {
      for (int layout = 0; layout < 3; ++layout) {
        Int8MatmulSpec spec = layout == 2 ? weight_gradient(rows, columns, depth, block)
                                          : forward(rows, columns, depth, block);
        spec.product.b_transposed = layout == 0;
        spec.product.accumulate = depth % 2 == 0;
        spec.product.bias = layout < 2;
        const Operands operands(spec);
        for (const int threads : {1, 3}) {
          EXPECT_EQ(operands.run(threads, Isa::amx), operands.run(2, Isa::v4_bf16))
              << rows << " x " << columns << " x " << depth << ", blocks of " << block;
        }
      }
    }
  }
}

// More than one portion of A (4 MiB) and of B (8 MiB), and more groups than one batch takes.
TEST(Int8Matmul, APackedBGivesTheSameBits) {
  const std::vector<std::int32_t> bounds = {0, 3, 3, 70};
  for (const Isa isa : kAllIsas) {
    if (!supports(isa)) continue;
    for (const bool b_transposed : {false, true}) {
      for (const std::int64_t block : {0, 32}) {
        for (const bool a_coded : {false, true}) {
          for (const int groups : {1, 3}) {
            if (a_coded && block != 0) continue;
            Operands operands({.product = {.rows = 70,
                                           .columns = 83,
                                           .depth = 100,
                                           .b_transposed = b_transposed,
                                           .accumulate = true,
                                           .groups = groups},
                               .block = block,
                               .a_coded = a_coded});
            const auto offsets = groups > 1 ? std::span(bounds) : std::span<const std::int32_t>();
            const std::vector<float> plain = operands.run(2, isa, offsets);
            operands.spec.product.b_packed = true;
            EXPECT_EQ(operands.run(1, isa, offsets), plain);
            EXPECT_EQ(operands.run(3, isa, offsets), plain);
          }
        }
      }
    }
  }
}

TEST(Int8Matmul, PortionsDoNotChangeTheResult) {
  const Operands large(forward(1500, 3300, 2900, 0));
  const std::vector<float> c = large.run(2, isa());
  for (const std::int64_t row : {0, 1499}) {  // rows of A one by one
    Operands one(forward(1, 3300, 2900, 0));
    std::copy_n(large.a.begin() + row * 2900, 2900, one.a.begin());
    one.b = large.b;
    const std::vector<float> expected = one.run(1, isa());
    for (int j = 0; j < 3300; ++j) ASSERT_EQ(c[row * 3300 + j], expected[j]) << row << " " << j;
  }
  Int8MatmulSpec many = forward(200, 20, 40, 0);
  many.product.groups = 100;
  std::vector<std::int32_t> offsets;
  for (int g = 0; g <= 100; ++g) offsets.push_back(2 * g);
  const Operands operands(many);
  expect_near(operands.run(2, isa(), offsets), reference(operands, offsets));
}

TEST(Int8Matmul, BitsDoNotDependOnTheNumberOfThreads) {
  for (Int8MatmulSpec spec : {forward(300, 200, 150, 32), weight_gradient(130, 140, 700, 128)}) {
    spec.stochastic = true;
    const Operands operands(spec);
    const std::vector<float> expected = operands.run(1, isa());
    for (const int threads : {2, 3}) EXPECT_EQ(operands.run(threads, isa()), expected);
  }
}

// The largest codes of both signs along the longest block: vpmaddubsw would saturate, and the u8
// form of A goes beyond int32 before it is corrected.
TEST(Int8Matmul, LongestSumOfLargestCodesIsExact) {
  for_each_level([](Isa isa) {
    for (const float sign : {1.0f, -1.0f}) {
      Operands operands(forward(2, 3, 65536, 0));
      std::fill(operands.a.begin(), operands.a.end(), 127.0f);
      std::fill(operands.b.begin(), operands.b.end(), 127.0f * sign);
      for (const float value : operands.run(2, isa)) {
        EXPECT_EQ(value, sign * 127.0f * 127.0f * 65536.0f) << isa_name(isa);
      }
    }
  });
}

// memory.md A1: 0.7 % for each operand of Gaussians; along 512 products errors average like values.
TEST(Int8Matmul, ErrorAgainstTheFloatProductIsAboutOnePercent) {
  for (const std::int64_t block : {0, 128}) {
    const Operands operands(forward(64, 64, 512, block));
    const std::vector<float> c = operands.run(2, isa());
    double error = 0, norm = 0;
    for (int i = 0; i < 64; ++i) {
      for (int j = 0; j < 64; ++j) {
        double sum = 0;
        for (int k = 0; k < 512; ++k) sum += operands.at_a(i, k) * operands.at_b(0, k, j);
        error += (c[i * 64 + j] - sum) * (c[i * 64 + j] - sum);
        norm += sum * sum;
      }
    }
    EXPECT_LT(std::sqrt(error / norm), 0.012);
    EXPECT_GT(std::sqrt(error / norm), 0.007);
  }
}

TEST(Int8Matmul, NonFiniteInputsMakeNanOfTheirRowOrColumnOnly) {
  for_each_level([](Isa isa) {
    Operands operands(forward(20, 40, 64, 0));
    operands.a[5 * 64 + 3] = INFINITY;
    operands.b[7 * 64 + 60] = NAN;
    const std::vector<float> c = operands.run(2, isa);
    for (int i = 0; i < 20; ++i) {
      for (int j = 0; j < 40; ++j) EXPECT_EQ(std::isnan(c[i * 40 + j]), i == 5 || j == 7);
    }
    Operands gradient(weight_gradient(20, 40, 64, 32));
    gradient.a[3 * 20 + 5] = INFINITY;
    gradient.b[60 * 40 + 7] = NAN;
    const std::vector<float> dw = gradient.run(2, isa);
    for (int i = 0; i < 20; ++i) {
      for (int j = 0; j < 40; ++j) EXPECT_EQ(std::isnan(dw[i * 40 + j]), i == 5 || j == 7);
    }
  });
}

TEST(Int8Matmul, OverwritingLeavesNothingOfWhatWasThere) {
  Int8MatmulSpec spec = weight_gradient(10, 20, 0 + 32, 32);
  spec.product.accumulate = true;
  spec.product.groups = 2;
  const Int8Matmul starting = Int8Matmul(spec).overwriting();
  Operands operands(spec);
  std::fill(operands.c.begin(), operands.c.end(), NAN);
  ThreadPool pool(1);
  std::vector<std::byte> memory(starting.workspace_bytes() + 64);
  const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
  const std::vector<std::int32_t> offsets = {0, 32, 32};  // the second group has no rows: zeros
  starting.run(pool, {.a = operands.a.data(),
                      .b = operands.b.data(),
                      .c = operands.c.data(),
                      .workspace = std::span(memory).subspan((64 - address % 64) % 64),
                      .a_rows = 32,
                      .offsets = offsets});
  for (int i = 0; i < 200; ++i) EXPECT_TRUE(std::isfinite(operands.c[i]));
  for (int i = 200; i < 400; ++i) EXPECT_EQ(operands.c[i], 0.0f);
}

TEST(Int8Matmul, RefusesWhatMakesNoSense) {
  EXPECT_THROW(Int8Matmul(forward(1, 1, 1, 33)), Error);
  EXPECT_THROW(Int8Matmul(forward(1, 1, 1, -32)), Error);
  EXPECT_THROW(Int8Matmul(forward(1, 1, 1, 1 << 17)), Error);
  EXPECT_THROW(Int8Matmul(forward(0, 1, 1, 0)), Error);
  Int8MatmulSpec coded = forward(8, 8, 8, 0);
  coded.b_coded = true;
  EXPECT_NO_THROW(Int8Matmul{coded});
  coded.product.b_transposed = false;
  EXPECT_THROW(Int8Matmul{coded}, Error);
  for (const bool transposed : {false, true}) {
    Int8MatmulSpec a_coded = transposed ? weight_gradient(8, 8, 8, 32) : forward(8, 8, 8, 0);
    a_coded.a_coded = true;
    EXPECT_NO_THROW(Int8Matmul{a_coded});
    a_coded.stochastic = true;
    EXPECT_THROW(Int8Matmul{a_coded}, Error);
  }
  for (Int8MatmulSpec rows : {forward(8, 8, 10, 0), forward(8, 8, 64, 32)}) {
    rows.a_coded = true;
    EXPECT_THROW(Int8Matmul{rows}, Error);
  }
  Int8MatmulSpec packed = forward(8, 8, 8, 0);
  ThreadPool pool(1);
  EXPECT_THROW(Int8Matmul(packed).pack(pool, nullptr, nullptr, {}), Error);
  packed.product.b_packed = true;
  EXPECT_NO_THROW(Int8Matmul{packed});
  EXPECT_THROW(Int8Matmul(packed).pack(pool, nullptr, nullptr, {}), Error);
  packed.b_coded = true;
  EXPECT_THROW(Int8Matmul{packed}, Error);
  Int8MatmulSpec gradient = weight_gradient(8, 8, 8, 0);
  gradient.product.b_packed = true;
  EXPECT_THROW(Int8Matmul{gradient}, Error);
}

}  // namespace
}  // namespace ingot::cpu
