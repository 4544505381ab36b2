#include "backends/cpu/matmul.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/base/error.h"

namespace ingot::cpu {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// `rows` x `columns` floats of some type in rows of `stride`; what lies between rows is NaN.
struct Matrix {
  DType type;
  std::int64_t rows, columns, stride;
  std::vector<std::byte> bytes;

  Matrix(DType dtype, std::int64_t row_count, std::int64_t column_count, std::int64_t row_stride)
      : type(dtype), rows(row_count), columns(column_count), stride(row_stride) {
    const std::int64_t count = rows == 0 ? 0 : (rows - 1) * stride + columns;  // no byte too many
    bytes.resize(count * size_of(type));
    for (std::int64_t i = 0; i < count; ++i) set_flat(i, kNan);
  }

  float get(std::int64_t i, std::int64_t j) const { return get_flat(i * stride + j); }
  void set(std::int64_t i, std::int64_t j, float value) { set_flat(i * stride + j, value); }

  float get_flat(std::int64_t i) const {
    if (type == DType::f32) {
      float value;
      std::memcpy(&value, bytes.data() + 4 * i, 4);
      return value;
    }
    std::uint16_t bits;
    std::memcpy(&bits, bytes.data() + 2 * i, 2);
    return type == DType::bf16 ? bf16_to_float(bits) : f16_to_float(bits);
  }
  void set_flat(std::int64_t i, float value) {
    if (type == DType::f32) {
      std::memcpy(bytes.data() + 4 * i, &value, 4);
      return;
    }
    const std::uint16_t bits = type == DType::bf16 ? float_to_bf16(value) : float_to_f16(value);
    std::memcpy(bytes.data() + 2 * i, &bits, 2);
  }
  template <typename Draw>
  void fill(Draw&& draw) {
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < columns; ++j) set(i, j, draw());
    }
  }
};

struct Workspace {
  explicit Workspace(std::int64_t size)
      : memory(static_cast<std::byte*>(std::aligned_alloc(64, size + 64)), std::free),
        bytes(memory.get(), size) {
    std::memset(memory.get(), 0xff, size);  // NaN in every type
  }
  std::unique_ptr<std::byte, void (*)(void*)> memory;
  std::span<std::byte> bytes;
};

// The operands of one product, of the types and strides of the spec.
struct Operands {
  Matrix a, b, c, residual;
  std::vector<float> bias;
  std::int64_t a_rows;
  std::vector<std::int32_t> offsets;

  Operands(const MatmulSpec& s, std::int64_t rows_now, std::vector<std::int32_t> group_offsets)
      : a(s.a, s.a_transposed ? s.depth : s.rows, s.a_transposed ? s.rows : s.depth, s.a_stride),
        b(s.b, (s.b_transposed ? s.columns : s.depth) * b_groups(s),
          s.b_transposed ? s.depth : s.columns, s.b_stride),
        c(s.c, s.rows * (s.a_transposed ? s.groups : 1), s.columns, s.c_stride),
        residual(s.c, s.rows, s.columns, s.residual_stride),
        bias(s.columns),
        a_rows(rows_now),
        offsets(std::move(group_offsets)) {}

  static int b_groups(const MatmulSpec& s) { return s.a_transposed ? 1 : s.groups; }

  template <typename Draw>
  void fill(Draw&& draw) {
    for (Matrix* matrix : {&a, &b, &c, &residual}) matrix->fill(draw);
    for (float& value : bias) value = draw();
  }
};

// The plainest loop, in double; `magnitude` gets the sum of the absolute values.
Matrix expected(const MatmulSpec& s, const Operands& o, std::vector<double>* magnitude = nullptr) {
  Matrix result = o.c;
  if (magnitude != nullptr) magnitude->assign(o.c.rows * o.c.columns, 0);
  for (int g = 0; g < s.groups; ++g) {
    const std::int64_t first = o.offsets.empty() ? 0 : o.offsets[g];
    const std::int64_t last = o.offsets.empty() ? o.a_rows : o.offsets[g + 1];
    const std::int64_t rows = s.a_transposed ? s.rows : last - first;
    const std::int64_t depth = s.a_transposed ? last - first : s.depth;
    // Where B's element (0, 0) of the group lies, in rows and columns as stored.
    std::int64_t b_row = 0, b_column = 0;
    if (s.a_transposed) {
      (s.b_transposed ? b_column : b_row) = first;
    } else {
      b_row = g * (s.b_transposed ? s.columns : s.depth);
    }
    std::vector<float> left(rows * depth), right(s.columns * depth);  // [row][k], [column][k]
    for (std::int64_t k = 0; k < depth; ++k) {
      for (std::int64_t i = 0; i < rows; ++i) {
        left[i * depth + k] = s.a_transposed ? o.a.get(first + k, i) : o.a.get(first + i, k);
      }
      for (std::int64_t j = 0; j < s.columns; ++j) {
        right[j * depth + k] =
            s.b_transposed ? o.b.get(b_row + j, b_column + k) : o.b.get(b_row + k, b_column + j);
      }
    }
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t row = s.a_transposed ? g * s.rows + i : first + i;
      for (std::int64_t j = 0; j < s.columns; ++j) {
        double sum = 0, absolute = 0;
        for (std::int64_t k = 0; k < depth; ++k) {
          const double product = double{left[i * depth + k]} * right[j * depth + k];
          sum += product;
          absolute += std::fabs(product);
        }
        if (s.bias) sum += o.bias[j];
        if (s.residual) sum += o.residual.get(row, j);
        if (s.accumulate) sum += o.c.get(row, j);
        result.set(row, j, static_cast<float>(sum));
        if (magnitude != nullptr) (*magnitude)[row * o.c.columns + j] = absolute + std::fabs(sum);
      }
    }
  }
  return result;
}

Matrix run(const MatmulSpec& spec, const Operands& o, Isa isa, int threads = 2) {
  MatmulSpec s = spec;
  s.threads = threads;
  ThreadPool pool(threads);
  Matrix c = o.c;
  std::vector<std::byte> packed;
  if (s.b_packed) {
    MatmulSpec plain = s;
    plain.b_packed = false;
    const Matmul packer(plain, isa);
    packed.resize(packer.packed_bytes());
    packer.pack(pool, o.b.bytes.data(), packed.data());
  }
  const Matmul matmul(s, isa);
  Workspace workspace(matmul.workspace_bytes());
  matmul.run(pool, {.a = o.a.bytes.data(),
                    .b = s.b_packed ? packed.data() : o.b.bytes.data(),
                    .c = c.bytes.data(),
                    .bias = s.bias ? o.bias.data() : nullptr,
                    .residual = s.residual ? o.residual.bytes.data() : nullptr,
                    .workspace = workspace.bytes,
                    .a_rows = o.a_rows,
                    .offsets = o.offsets});
  return c;
}

std::string describe(const MatmulSpec& s, const Operands& o, Isa isa) {
  std::string text = std::string(isa_name(isa)) + " " + std::string(name_of(s.a)) + "->" +
                     std::string(name_of(s.c)) + " rows " + std::to_string(s.rows) + " columns " +
                     std::to_string(s.columns) + " depth " + std::to_string(s.depth) + " now " +
                     std::to_string(o.a_rows);
  if (s.a_transposed) text += " a^T";
  if (s.b_transposed) text += " b^T";
  if (s.accumulate) text += " accumulate";
  if (s.bias) text += " bias";
  if (s.residual) text += " residual";
  if (s.b_packed) text += " packed";
  for (const std::int32_t offset : o.offsets) text += " " + std::to_string(offset);
  return text;
}

// Small whole numbers: every sum is exact in fp32, so the result has to be exact too.
void expect_exact(const MatmulSpec& spec, std::int64_t a_rows, std::vector<std::int32_t> offsets,
                  Isa isa, unsigned seed = 1) {
  const MatmulSpec s = Matmul(spec, isa).spec();  // with the strides filled in
  Operands o(s, a_rows, std::move(offsets));
  std::mt19937 random(seed);
  o.fill([&] { return static_cast<float>(static_cast<int>(random() % 7) - 3); });
  const Matrix want = expected(s, o);
  const Matrix got = run(s, o, isa);
  ASSERT_EQ(got.bytes.size(), want.bytes.size());
  for (std::int64_t i = 0; i < want.rows; ++i) {
    for (std::int64_t j = 0; j < want.columns; ++j) {
      ASSERT_EQ(got.get(i, j), want.get(i, j))
          << "at " << i << ", " << j << ": " << describe(s, o, isa);
    }
  }
  ASSERT_TRUE(got.bytes == want.bytes) << "wrote between rows: " << describe(s, o, isa);
}

std::vector<Isa> levels() {
  std::vector<Isa> all;
  for (const Isa isa : kAllIsas) {
    if (supports(isa)) all.push_back(isa);
  }
  return all;
}

// Types that go together: {a and b, c}.
constexpr std::pair<DType, DType> kTypes[] = {{DType::f32, DType::f32},
                                              {DType::bf16, DType::bf16},
                                              {DType::bf16, DType::f32},
                                              {DType::f16, DType::f16},
                                              {DType::f16, DType::f32}};

TEST(Matmul, RandomShapesStridesAndFlagsAreExact) {
  std::mt19937 random(42);
  const auto pick = [&](int from, int to) {
    return from + static_cast<int>(random() % (to - from + 1));
  };
  const std::vector<Isa> isas = levels();
  for (int round = 0; round < 1000; ++round) {
    MatmulSpec s;
    const bool large = round % 8 == 0;
    s.rows = large ? pick(1, 250) : pick(1, 50);
    s.columns = large ? pick(1, 400) : pick(1, 90);
    s.depth = large ? pick(1, 130) : pick(1, 70);
    const auto [in, out] = kTypes[pick(0, 4)];
    s.a = s.b = in;
    s.c = out;
    s.a_transposed = pick(0, 2) == 0;
    s.b_transposed = pick(0, 1) == 0;
    s.accumulate = pick(0, 1) == 0;
    s.bias = pick(0, 3) == 0;
    s.residual = !s.a_transposed && pick(0, 3) == 0;
    s.b_packed = !s.a_transposed && pick(0, 3) == 0;
    if (pick(0, 1) == 0) {
      s.a_stride = (s.a_transposed ? s.rows : s.depth) + pick(0, 9);
      s.b_stride = (s.b_transposed ? s.depth : s.columns) + pick(0, 9);
      s.c_stride = s.columns + pick(0, 9);
      s.residual_stride = s.columns + pick(0, 9);
    }
    const std::int64_t most = s.a_transposed ? s.depth : s.rows;
    std::int64_t now = pick(0, 2) == 0 ? pick(0, static_cast<int>(most)) : most;
    std::vector<std::int32_t> offsets;
    if (pick(0, 2) == 0) {
      s.groups = pick(1, 6);
      offsets.push_back(0);
      for (int g = 1; g <= s.groups; ++g) offsets.push_back(pick(0, static_cast<int>(now)));
      std::sort(offsets.begin(), offsets.end());
    }
    expect_exact(s, now, offsets, isas[round % isas.size()], round);
    if (HasFatalFailure()) return;
  }
}

TEST(Matmul, DeepSumsAreCutAndStayExact) {
  for (const Isa isa : levels()) {
    for (const auto& [in, out] : kTypes) {
      for (const std::int64_t depth : {1025, 3001}) {
        MatmulSpec s{.rows = 13, .columns = 35, .depth = depth, .a = in, .b = in, .c = out};
        s.accumulate = true;
        expect_exact({s}, 13, {}, isa);
        s.rows = 40;  // too many for the path of few rows
        s.b_transposed = true;
        expect_exact({s}, 40, {}, isa);
        s.a_transposed = true;
        s.b_transposed = false;
        expect_exact({s}, depth, {}, isa);
        if (HasFatalFailure()) return;
      }
    }
  }
}

// Groups of many and of few rows pack their own parts of B, those of fewer read it as it is; where
// the tokens are split, those of many share a packed B.
TEST(Matmul, GroupsOfAllSizesStandSideBySide) {
  const std::vector<std::int32_t> offsets = {0, 1100, 1110, 1160, 1160, 1400};
  for (const Isa isa : levels()) {
    for (const DType type : {DType::f32, DType::bf16}) {
      MatmulSpec s{.rows = 1400, .columns = 150, .depth = 70, .a = type, .b = type};
      s.groups = 5;
      s.b_transposed = true;
      s.threads = 2;
      expect_exact(s, 1400, offsets, isa);
      MatmulSpec gradient{.rows = 100, .columns = 150, .depth = 1400, .a = type, .b = type};
      gradient.groups = 5;
      gradient.a_transposed = gradient.accumulate = true;
      gradient.threads = 2;
      expect_exact(gradient, 1400, offsets, isa);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Matmul, ManyGroupsAreCutIntoBatches) {
  // 150 groups: more than a batch holds; sizes 0, 1, 2, ... 40, 0, ...
  std::vector<std::int32_t> offsets = {0};
  for (int g = 0; g < 150; ++g) offsets.push_back(offsets.back() + g % 41);
  for (const DType type : {DType::f32, DType::bf16}) {
    MatmulSpec s{.rows = offsets.back(), .columns = 33, .depth = 24, .a = type, .b = type};
    s.groups = 150;
    s.b_transposed = true;
    expect_exact(s, offsets.back(), offsets, isa());
    MatmulSpec gradient{.rows = 33, .columns = 24, .depth = offsets.back(), .a = type, .b = type};
    gradient.groups = 150;
    gradient.a_transposed = true;
    expect_exact(gradient, offsets.back(), offsets, isa());
    gradient.accumulate = true;
    expect_exact(gradient, offsets.back(), offsets, isa());
  }
}

TEST(Matmul, BLargerThanTheWorkspaceIsPackedInPortions) {
  MatmulSpec s{.rows = 33, .columns = 3000, .depth = 1100};  // 13 MB of fp32
  s.b_transposed = true;
  EXPECT_LE(Matmul(s).workspace_bytes(), 9 << 20);
  expect_exact(s, 33, {}, isa());
}

TEST(Matmul, ResidualMayBeTheOutput) {
  MatmulSpec s{.rows = 40, .columns = 70, .depth = 20};
  s.residual = true;
  s = Matmul(s).spec();
  Operands o(s, 40, {});
  o.fill([i = 0]() mutable { return static_cast<float>(++i % 5); });
  o.residual = o.c;
  const Matrix want = expected(s, o);
  const Matmul matmul(s);
  ThreadPool pool(1);
  Workspace workspace(matmul.workspace_bytes());
  matmul.run(pool, {.a = o.a.bytes.data(),
                    .b = o.b.bytes.data(),
                    .c = o.c.bytes.data(),
                    .residual = o.c.bytes.data(),
                    .workspace = workspace.bytes,
                    .a_rows = 40});
  EXPECT_TRUE(o.c.bytes == want.bytes);
}

// Products of normal numbers, against double: bound by the roundings of a sum in fp32.
TEST(Matmul, RealNumbersAreWithinTheBoundOfSums) {
  for (const Isa isa : levels()) {
    for (const auto& [in, out] : kTypes) {
      for (const int shape : {0, 1, 2}) {
        MatmulSpec s{.rows = 100, .columns = 70, .depth = 300, .a = in, .b = in, .c = out};
        s.a_transposed = shape == 2;
        s.b_transposed = shape == 0;
        s = Matmul(s, isa).spec();
        Operands o(s, s.a_transposed ? 300 : 100, {});
        std::mt19937 random(9);
        std::normal_distribution<float> normal;
        o.fill([&] { return normal(random); });
        std::vector<double> magnitude;
        const Matrix want = expected(s, o, &magnitude);
        const Matrix got = run(s, o, isa);
        for (std::int64_t i = 0; i < s.rows; ++i) {
          for (std::int64_t j = 0; j < s.columns; ++j) {
            // 300 products added one by one: 300 roundings of at most 2^-24 of the sum of absolute
            // values; in practice they cancel to sqrt(300) = 17 of them; then one to C's type.
            const double sums = 17 * 4 * 0x1p-24 * magnitude[i * s.columns + j];
            const double last = out == DType::f32 ? 0x1p-24 : out == DType::bf16 ? 0x1p-8 : 0x1p-11;
            ASSERT_NEAR(got.get(i, j), want.get(i, j),
                        sums + last * std::fabs(want.get(i, j)) * (out == DType::f32 ? 1 : 2));
          }
        }
      }
    }
  }
}

TEST(Matmul, AnyNumberOfThreadsGivesTheSameBits) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  for (const auto& [in, out] : kTypes) {
    for (int shape = 0; shape < 6; ++shape) {
      MatmulSpec s{.rows = 110, .columns = 270, .depth = 90, .a = in, .b = in, .c = out};
      s.a_transposed = shape == 2 || shape == 5;
      s.b_transposed = shape == 0 || shape == 3;
      if (shape == 4) s.rows = 5;
      if (shape == 5) s.depth = 1500;
      std::vector<std::int32_t> offsets;
      if (shape >= 3) offsets = {0, 2, 2, static_cast<std::int32_t>(s.a_transposed ? 900 : 5)};
      s.groups = shape >= 3 ? 3 : 1;
      s = Matmul(s).spec();
      Operands o(s, s.a_transposed ? s.depth : s.rows, offsets);
      o.fill([&] { return normal(random); });
      const Matrix one = run(s, o, isa(), 1);
      for (const int threads : {2, 3, 16}) {
        EXPECT_TRUE(run(s, o, isa(), threads).bytes == one.bytes)
            << threads << " threads, " << describe(s, o, isa());
      }
    }
  }
}

TEST(Matmul, ANanStaysInItsRowOrColumn) {
  for (const Isa isa : levels()) {
    for (const std::int64_t depth : {7, 8}) {  // pairs of bf16: padded, and not
      MatmulSpec s{.rows = 50, .columns = 20, .depth = depth, .a = DType::bf16, .b = DType::bf16};
      s = Matmul(s, isa).spec();
      Operands o(s, 50, {});
      o.fill([] { return 1.0f; });
      o.a.set(4, 6, kNan);
      o.b.set(3, 9, std::numeric_limits<float>::infinity());
      const Matrix c = run(s, o, isa);
      for (std::int64_t i = 0; i < 50; ++i) {
        for (std::int64_t j = 0; j < 20; ++j) {
          const float value = c.get(i, j);
          EXPECT_EQ(std::isnan(value), i == 4) << i << ", " << j;
          EXPECT_EQ(std::isinf(value), i != 4 && j == 9) << i << ", " << j;
        }
      }
    }
  }
}

TEST(Matmul, RefusesWhatMakesNoSense) {
  const MatmulSpec good{.rows = 4, .columns = 5, .depth = 6};
  const auto refused = [](MatmulSpec spec) { EXPECT_THROW(Matmul{spec}, Error); };
  MatmulSpec s = good;
  s.depth = 0, refused(s), s = good;
  s.a = DType::bf16, refused(s), s = good;
  s.c = DType::bf16, refused(s), s = good;
  s.a = s.b = s.c = DType::i8, refused(s), s = good;
  s.a_stride = 5, refused(s), s = good;
  s.a_transposed = s.residual = true, refused(s), s = good;
  s.groups = 0, refused(s);

  s = good;
  s.groups = 2;
  const Matmul matmul(s);
  ThreadPool pool(1), two(2);
  Workspace workspace(matmul.workspace_bytes());
  std::vector<float> memory(200);
  const auto refused_run = [&](ThreadPool& threads, std::span<std::byte> bytes, std::int64_t rows,
                               std::vector<std::int32_t> offsets) {
    EXPECT_THROW(matmul.run(threads, {.a = memory.data(),
                                      .b = memory.data(),
                                      .c = memory.data(),
                                      .workspace = bytes,
                                      .a_rows = rows,
                                      .offsets = offsets}),
                 Error);
  };
  refused_run(pool, workspace.bytes, 4, {});
  refused_run(pool, workspace.bytes, 4, {0, 4});
  refused_run(pool, workspace.bytes, 4, {0, 3, 2});
  refused_run(pool, workspace.bytes, 4, {0, 3, 5});
  refused_run(pool, workspace.bytes, 4, {-1, 3, 4});
  refused_run(pool, workspace.bytes, 5, {0, 3, 4});
  refused_run(two, workspace.bytes, 4, {0, 3, 4});
  refused_run(pool, workspace.bytes.first(0), 4, {0, 3, 4});
}

}  // namespace
}  // namespace ingot::cpu
