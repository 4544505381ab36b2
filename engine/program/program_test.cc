#include "engine/program/program.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

namespace ingot {
namespace {

TEST(Attributes, IntegersAreWholeAndExactOrRefused) {
  constexpr double kMost = 1LL << 53;
  const auto integer = [](double value) { return Attributes{{"n", value}}.integer("n"); };
  EXPECT_EQ(integer(-3), -3);
  EXPECT_EQ(integer(kMost), std::int64_t{1} << 53);
  EXPECT_EQ(integer(-kMost), -(std::int64_t{1} << 53));
  for (const double wrong : {0.5, 2 * kMost, -2 * kMost, std::numeric_limits<double>::infinity(),
                             std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THROW(integer(wrong), std::logic_error) << wrong;
  }
}

TEST(Shape, CountsElementsUpToSixtyThreeBitsOrThrows) {
  constexpr std::int64_t kHalf = std::int64_t{1} << 31;
  EXPECT_EQ((Shape{kHalf, kHalf}.elements()), std::int64_t{1} << 62);
  EXPECT_THROW((Shape{kHalf, kHalf, 2}.elements()), std::logic_error);
  EXPECT_THROW((Shape{kHalf, kHalf, 4}.elements()), std::logic_error) << "0 in 64 bits";
  const TensorInfo info{.shape = {kHalf, kHalf}, .dtype = DType::f32};
  EXPECT_THROW(info.bytes(), std::logic_error);
}

const OpKind kKind{.name = "kind"};

TEST(At, IsWhereAnotherOpIsUntilItsEnd) {
  Program program;
  program.begin(Part::micro_step);
  const auto place = [](const Op& op) { return std::tuple(op.part, op.phase, op.layer, op.name); };
  Op other;
  {
    const Scope scope(program, "mlp", 3);
    other = program.append(kKind, {}, {});
  }
  program.begin(Part::update);
  {
    const Scope scope(program, "top");
    {
      const At beside(program, other, Phase::backward);
      const Scope inner(program, "more");
      EXPECT_EQ(place(program.append(kKind, {}, {})),
                std::tuple(Part::micro_step, Phase::backward, 3, "mlp.more"));
    }
    EXPECT_EQ(place(program.append(kKind, {}, {})),
              std::tuple(Part::update, Phase::update, -1, "top"));
  }
  const At beside(program, other);
  EXPECT_EQ(place(program.append(kKind, {}, {})), place(other));
}

}  // namespace
}  // namespace ingot
