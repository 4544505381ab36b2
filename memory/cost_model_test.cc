#include "memory/cost_model.h"

#include <gtest/gtest.h>

#include "ops/transfer/transfer.h"

namespace ingot {
namespace {

const OpKind kProduct{.name = "product"};

// An op on `rows` rows of f32, with this work.
Op product(Program& program, std::int64_t rows, double flops, double bytes) {
  const Tensor t = program.add_tensor({.name = "x", .shape = {rows, 8}, .dtype = DType::f32});
  return {.kind = &kProduct, .inputs = {t}, .flops = flops, .bytes = bytes};
}

TEST(CostModel, AveragesTimingsOfAboutTheSameSizeByTheirWork) {
  CostModel costs;
  costs.add("product f32", {.rows = 128, .flops = 1e9, .seconds = 1});
  costs.add("product f32", {.rows = 150, .flops = 3e9, .seconds = 1});
  ASSERT_EQ(costs.timings().at("product f32").size(), 1u);
  Program program;
  EXPECT_DOUBLE_EQ(costs.seconds(program, product(program, 128, 2e9, 1)), 1.0);
}

TEST(CostModel, InterpolatesBetweenSizesAndKeepsTheLastBeyondThem) {
  CostModel costs;
  costs.add("product f32", {.rows = 1024, .flops = 1e9, .seconds = 1});
  costs.add("product f32", {.rows = 64, .flops = 1e9, .seconds = 3});
  Program program;
  const auto seconds = [&](std::int64_t rows) {
    return costs.seconds(program, product(program, rows, 1e9, 1));
  };
  EXPECT_DOUBLE_EQ(seconds(16), 3);
  EXPECT_DOUBLE_EQ(seconds(256), 2);  // half-way on a scale of doublings
  EXPECT_DOUBLE_EQ(seconds(4096), 1);
}

TEST(CostModel, TakesAnOpOfChunksForOneOfSoManyRows) {
  CostModel costs;
  costs.add("product f32", {.rows = 64, .flops = 1e9, .seconds = 3});
  costs.add("product f32", {.rows = 1024, .flops = 1e9, .seconds = 1});
  Program program;
  Op op = product(program, 4096, 1e9, 1);
  op.attributes.set("chunk_rows", 64);
  EXPECT_DOUBLE_EQ(costs.seconds(program, op), 3);
}

TEST(CostModel, KeepsTheFasterOfTwoTimesOfTheSameWork) {
  const Timing slow{.rows = 64, .flops = 1e9, .bytes = 1, .seconds = 7};
  Timing fast = slow, other_work = slow;
  fast.seconds = 1;
  other_work.flops = 2e9;
  const auto with = [](std::string key, const Timing& timing) {
    CostModel costs;
    costs.add(key, timing);
    return costs;
  };
  CostModel costs = with("product f32", slow);
  costs.keep_faster(with("sum f32", fast));
  costs.keep_faster(with("product f32", other_work));
  EXPECT_EQ(costs.timings().at("product f32").front(), slow);
  costs.keep_faster(with("product f32", fast));
  EXPECT_EQ(costs.timings().at("product f32").front(), fast);
  costs.keep_faster(with("product f32", slow));
  EXPECT_EQ(costs.timings().at("product f32").front(), fast);
  EXPECT_EQ(costs.timings().size(), 1u);
}

TEST(CostModel, TakesTheMostSimilarTimingOfAKindForOperandsThatWereNotTimed) {
  CostModel costs;
  costs.add("product bf16 int8", {.rows = 64, .flops = 1e9, .seconds = 3});
  costs.add("product f32 i8", {.rows = 64, .flops = 1e9, .seconds = 1});
  costs.add("product_backward f32", {.rows = 64, .flops = 1e9, .seconds = 7});
  Program program;
  Op op = product(program, 64, 1e9, 1);
  EXPECT_DOUBLE_EQ(costs.seconds(program, op), 1);
  op.attributes.set("int8", 1);
  EXPECT_DOUBLE_EQ(costs.seconds(program, op), 1);
  program.info(op.inputs[0]).dtype = DType::bf16;
  EXPECT_DOUBLE_EQ(costs.seconds(program, op), 3);
  // A kind without any: 50 GFLOP/s.
  const OpKind other{.name = "produce"};
  op.kind = &other;
  EXPECT_DOUBLE_EQ(costs.seconds(program, op), 1e9 / 5e10);
}

TEST(CostModel, CountsBytesWhereMemoryDecides) {
  CostModel costs;
  costs.add("product f32", {.rows = 64, .flops = 1e9, .bytes = 1e9, .seconds = 1});
  Program program;
  EXPECT_DOUBLE_EQ(costs.seconds(program, product(program, 64, 1e3, 2e9)), 2);
  EXPECT_DOUBLE_EQ(costs.seconds_of_bytes("product f32", 5e8), 0.5);
}

TEST(CostModel, WaitsForTheDiskOnlyWhereTheFilesPagesDoNotFitMemory) {
  Program program;
  program.begin(Part::update);
  const Tensor state = program.add_tensor({.name = "m",
                                           .shape = {1000, 1000},
                                           .dtype = DType::f32,
                                           .role = Role::optimizer_state,
                                           .lifetime = Lifetime::persistent,
                                           .place = Place::offload});
  store(program, fetch(program, state), state);
  const Op copy_in = program.ops()[0], copy_out = program.ops()[1];
  CostModel costs;
  costs.set_disk({.read_seconds_per_byte = 1e-8, .write_seconds_per_byte = 2e-8}, 4'000'000);
  EXPECT_FALSE(costs.waits_for_disk(program));
  costs.set_disk({.read_seconds_per_byte = 1e-8, .write_seconds_per_byte = 2e-8}, 3'999'999);
  EXPECT_TRUE(costs.waits_for_disk(program));
  EXPECT_DOUBLE_EQ(costs.disk_seconds(program, copy_in), 0.04);
  EXPECT_DOUBLE_EQ(costs.disk_seconds(program, copy_out), 0.08);
  EXPECT_DOUBLE_EQ(costs.disk_seconds(program, product(program, 64, 1e3, 2e9)), 0);
}

TEST(CostModel, KnowsCopiesByTheQueueTheyRunOn) {
  Program program;
  const Tensor state = program.add_tensor({.name = "m", .shape = {10}, .place = Place::offload});
  fetch(program, state);
  Op copy = program.ops()[0];
  EXPECT_EQ(CostModel::key_of(program, copy), "fetch");
  copy.queue = kCopyIn;
  EXPECT_EQ(CostModel::key_of(program, copy), "fetch copy in");
}

}  // namespace
}  // namespace ingot
