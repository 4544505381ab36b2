#include "engine/program/order.h"

#include <gtest/gtest.h>

namespace ingot {
namespace {

const Tensor kA{.id = 1, .column = 0, .columns = 8}, kB{.id = 2, .column = 0, .columns = 8};

TEST(Overlap, NeedsOneTensorAndACommonColumn) {
  EXPECT_TRUE(overlap(kA, kA.slice(7, 1)));
  EXPECT_TRUE(overlap(kA.slice(2, 4), kA.slice(5, 3)));
  EXPECT_FALSE(overlap(kA.slice(0, 4), kA.slice(4, 4)));
  EXPECT_FALSE(overlap(kA, kB));
  EXPECT_FALSE(overlap(Tensor{}, Tensor{}));
}

TEST(Depends, OnWhatIsWrittenByEitherOfTwoOps) {
  const Op reads_a{.inputs = {kA}}, writes_a{.outputs = {kA}}, writes_b{.outputs = {kB}};
  EXPECT_TRUE(depends(reads_a, writes_a)) << "a value is read after it is made";
  EXPECT_TRUE(depends(writes_a, reads_a)) << "a value is overwritten after it was read";
  EXPECT_TRUE(depends(writes_a, writes_a)) << "the last of two writes is what stays";
  EXPECT_FALSE(depends(reads_a, reads_a));
  EXPECT_FALSE(depends(reads_a, writes_b));
}

TEST(Depends, OnCommonColumnsOnlyAndNotOnMissingOperands) {
  const Op left{.outputs = {kA.slice(0, 4)}}, right{.inputs = {kA.slice(4, 4)}};
  EXPECT_FALSE(depends(right, left));
  EXPECT_TRUE(depends(Op{.inputs = {kA.slice(3, 2)}}, left));
  const Op none{.inputs = {Tensor{}}, .outputs = {Tensor{}}};
  EXPECT_FALSE(depends(none, none));
}

}  // namespace
}  // namespace ingot
