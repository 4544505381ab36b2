// The sums of squares that products leave beside a weight's gradient.
#include "engine/execution/gradient_squares.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include "backends/cpu/int8_matmul.h"
#include "backends/cpu/matmul.h"
#include "engine/base/error.h"

namespace ingot::cpu {
namespace {

// dW [groups][rows, columns] (+)= dy^T x, with operands of f32.
struct Gradient {
  std::int64_t rows, columns, depth;
  std::vector<std::int32_t> offsets;  // none: one group
  bool accumulate = true;

  std::int64_t groups() const {
    return offsets.empty() ? 1 : static_cast<std::int64_t>(offsets.size()) - 1;
  }
  MatmulSpec spec(int threads) const {
    MatmulSpec spec{.rows = rows, .columns = columns, .depth = depth};
    spec.a_transposed = true;
    spec.accumulate = accumulate;
    spec.groups = static_cast<int>(groups());
    spec.threads = threads;
    return spec;
  }
};

struct Result {
  std::vector<float> c, squares;
};

std::vector<float> random_values(std::int64_t count, unsigned seed) {
  std::minstd_rand random(seed);  // fast: there are millions
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random()) * 0x1p-30f - 1;
  return values;
}

template <class Product>
Product make(const MatmulSpec& spec, Isa isa) {
  if constexpr (std::is_same_v<Product, Matmul>) {
    return Matmul(spec, isa);
  } else {
    return Int8Matmul({.product = spec, .block = 128, .stochastic = true}, isa);
  }
}

// bad: an element of what is in C before.
template <class Product>
Result run(const Gradient& gradient, Isa isa, int threads, bool squared = true, float bad = 0.0f) {
  const auto product = make<Product>(gradient.spec(threads), isa);
  const std::int64_t cells = cells_of(gradient.rows, gradient.columns) * gradient.groups();
  const std::vector<float> a = random_values(gradient.depth * gradient.rows, 1);
  const std::vector<float> b = random_values(gradient.depth * gradient.columns, 2);
  Result result{.c = random_values(gradient.groups() * gradient.rows * gradient.columns, 3),
                .squares = std::vector<float>(cells, -1.0f)};
  if (bad != 0) result.c[result.c.size() / 2] = bad;
  ThreadPool pool(threads);
  std::vector<std::byte> memory(product.workspace_bytes() + 64);
  const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
  const auto workspace =
      std::span(memory).subspan((64 - address % 64) % 64, product.workspace_bytes());
  float* squares = squared ? result.squares.data() : nullptr;
  product.run(pool, {.a = a.data(),
                     .b = b.data(),
                     .c = result.c.data(),
                     .workspace = workspace,
                     .a_rows = gradient.depth,
                     .offsets = gradient.offsets,
                     .key = 5,
                     .squares = squares});
  return result;
}

std::vector<double> squares_by_cell(const Gradient& gradient, const std::vector<float>& c) {
  const std::int64_t per_row = cells_in(gradient.columns, kCellColumns);
  const std::int64_t per_group = cells_of(gradient.rows, gradient.columns);
  std::vector<double> sums(per_group * gradient.groups());
  for (std::size_t i = 0; i < c.size(); ++i) {
    const auto element = static_cast<std::int64_t>(i);
    const std::int64_t row = element / gradient.columns, column = element % gradient.columns;
    const std::int64_t group = row / gradient.rows;
    sums[group * per_group + row % gradient.rows / kCellRows * per_row + column / kCellColumns] +=
        double{c[i]} * c[i];
  }
  return sums;
}

// A lane adds up to 96 squares, then there are 16 lanes of up to 4 parts: 107 roundings at most,
// each of 2^-24 of a sum of numbers that are not negative.
constexpr double kRounding = 107 * 0x1p-24;

template <class Product>
void expect_squares(const Gradient& gradient, Isa isa) {
  const Result one = run<Product>(gradient, isa, 1);
  EXPECT_EQ(one.c, run<Product>(gradient, isa, 1, /*squared=*/false).c) << "changes the gradient";
  const std::vector<double> expected = squares_by_cell(gradient, one.c);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(one.squares[i], expected[i], kRounding * expected[i])
        << "cell " << i << " " << isa_name(isa) << " " << gradient.rows << " x " << gradient.columns
        << " x " << gradient.depth;
  }
  for (const int threads : {2, 3, 7}) {
    EXPECT_EQ(run<Product>(gradient, isa, threads).squares, one.squares) << threads << " threads";
  }
}

template <class Product>
class SquareSumsOf : public testing::Test {};
using Products = testing::Types<Matmul, Int8Matmul>;
TYPED_TEST_SUITE(SquareSumsOf, Products);

TYPED_TEST(SquareSumsOf, EveryCellWhateverTheThreadsAreTilesOfOneProduct) {
  for (const Isa isa : kAllIsas) {
    if (!supports(isa)) continue;
    for (const auto& [rows, columns, depth] : {std::array<std::int64_t, 3>{1, 1, 1},
                                               {24, 64, 8},
                                               {25, 65, 40},
                                               {110, 270, 300},
                                               {500, 130, 90},
                                               {7, 700, 33},
                                               {97, 48, 700}}) {
      for (const bool accumulate : {false, true}) {
        expect_squares<TypeParam>({rows, columns, depth, {}, accumulate}, isa);
        if (this->HasFatalFailure()) return;
      }
    }
  }
}

// An expert without tokens still has the gradient of micro-steps before: its squares count.
TYPED_TEST(SquareSumsOf, GroupsWithoutRowsAreThoseOfWhatIsThere) {
  const std::vector<std::int32_t> offsets = {0, 40, 40, 41, 300, 300};
  for (const Isa isa : kAllIsas) {
    if (!supports(isa)) continue;
    for (const bool accumulate : {false, true}) {
      const Gradient gradient{50, 130, 300, offsets, accumulate};
      expect_squares<TypeParam>(gradient, isa);
      const Result result = run<TypeParam>(gradient, isa, 2);
      const std::int64_t cells = cells_of(50, 130);
      EXPECT_EQ(result.squares[cells] > 0, accumulate) << "group 1, first cell";
    }
  }
  // More groups than a batch holds, none with rows but the last.
  std::vector<std::int32_t> last(150, 0);
  last.push_back(9);
  expect_squares<TypeParam>({30, 70, 9, last}, isa());
}

// Groups of many tokens, some of which pack their own part of B; and a B that is packed in portions
// because it is larger than the workspace.
TYPED_TEST(SquareSumsOf, PortionsAreMadeOfWholeCells) {
  expect_squares<TypeParam>({200, 600, 1400, {0, 1100, 1110, 1160, 1160, 1400}}, isa());
  for (const Isa isa : {Isa::v3, cpu::isa()}) {
    if (supports(isa)) expect_squares<TypeParam>({26, 2900, 3000, {}}, isa);
  }
}

TYPED_TEST(SquareSumsOf, ACellWithANanOrInfinityIsNotFinite) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity(), 1e30f}) {
    const Gradient gradient{60, 150, 20, {}};
    const Result result = run<TypeParam>(gradient, isa(), 2, true, bad);
    const auto is_bad = [](float sum) { return !std::isfinite(sum); };
    EXPECT_EQ(std::ranges::count_if(result.squares, is_bad), 1) << bad;
    EXPECT_EQ(std::isnan(*std::ranges::find_if(result.squares, is_bad)), std::isnan(bad));
  }
}

TEST(SquareSums, AreOfGradientsOfWeightsOnly) {
  MatmulSpec forward{.rows = 4, .columns = 4, .depth = 4};
  const Matmul matmul(forward);
  std::vector<float> values(16);
  alignas(64) std::byte workspace[1 << 16];
  ThreadPool pool(1);
  ASSERT_LE(matmul.workspace_bytes(), std::ssize(workspace));
  EXPECT_THROW(matmul.run(pool, {.a = values.data(),
                                 .b = values.data(),
                                 .c = values.data(),
                                 .workspace = workspace,
                                 .a_rows = 4,
                                 .squares = values.data()}),
               Error);
}

TEST(SquareSums, AreLeftInTheLastMicroStepIfAskedFor) {
  Op op;
  op.outputs.resize(2);
  float sums = 0;
  std::byte* outputs[] = {nullptr, reinterpret_cast<std::byte*>(&sums), nullptr};
  const KernelArguments arguments{.outputs = outputs};
  for (const bool last : {false, true}) {
    const Turn turn{.first = false, .last = last};
    EXPECT_EQ(SquareSums(op, 1)(arguments, turn), last ? &sums : nullptr);
    EXPECT_EQ(SquareSums(op, 2)(arguments, turn), nullptr);
  }
}

}  // namespace
}  // namespace ingot::cpu
