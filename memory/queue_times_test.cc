#include "memory/queue_times.h"

#include <gtest/gtest.h>

#include "engine/program/schedule_queues.h"
#include "ops/transfer/transfer.h"

namespace ingot {
namespace {

const OpKind kUse{.name = "use"};

// So many layers, each of which fetches 1 MB, works on it for `work` seconds and stores it back.
// Fetches take 1 s of a copy, stores 2.
class QueueTimesOf : public testing::Test {
 protected:
  QueueTimesOf() {
    costs_.add("use f32", {.flops = 1e9, .seconds = 1});
    costs_.add("fetch", {.bytes = 2e6, .seconds = 1});
    costs_.add("store", {.bytes = 2e6, .seconds = 2});
    costs_.set_disk({}, 1 << 30);
  }
  void add_layers(int layers, double work, bool stores = false) {
    program_.begin(Part::update);
    for (int layer = 0; layer < layers; ++layer) {
      const Tensor state = program_.add_tensor({.name = "m" + std::to_string(layer),
                                                .shape = {1000, 250},
                                                .dtype = DType::f32,
                                                .lifetime = Lifetime::persistent,
                                                .place = Place::offload});
      const Tensor here = fetch(program_, state);
      Op op{.kind = &kUse, .inputs = {here}, .outputs = {here}, .part = Part::update};
      op.flops = work * 1e9;
      program_.append(std::move(op));
      if (stores) store(program_, here, state);
    }
  }
  QueueTimes times(int ahead, int runs = 1) {
    schedule_queues(program_, ahead);
    return queue_times(program_, Schedule(runs, Action{Part::update}), costs_);
  }

  Program program_;
  CostModel costs_;
};

TEST_F(QueueTimesOf, OfOneQueueAreTheSumOfItsOps) {
  add_layers(3, 5, /*stores=*/true);
  const QueueTimes sum = times(0, 2);
  EXPECT_DOUBLE_EQ(sum.seconds, 2 * 3 * (1 + 5 + 2));
  EXPECT_DOUBLE_EQ(sum.busy[kCompute], sum.seconds);
  EXPECT_DOUBLE_EQ(sum.exposed[kCopyIn], 0);
}

TEST_F(QueueTimesOf, HideCopiesBehindWorkThatTakesLonger) {
  add_layers(4, 5);
  const QueueTimes hidden = times(1);
  EXPECT_DOUBLE_EQ(hidden.seconds, 1 + 4 * 5);  // the first copy has nothing to hide behind
  EXPECT_DOUBLE_EQ(hidden.busy[kCopyIn], 4);
  EXPECT_DOUBLE_EQ(hidden.exposed[kCopyIn], 1);
}

TEST_F(QueueTimesOf, AreThoseOfTheCopiesWhereWorkTakesLess) {
  add_layers(4, 0.25);
  const QueueTimes exposed = times(1);
  EXPECT_DOUBLE_EQ(exposed.seconds, 4 * 1 + 0.25);
  EXPECT_DOUBLE_EQ(exposed.exposed[kCopyIn], 4 - 3 * 0.25);
}

TEST_F(QueueTimesOf, WaitForStoresAtTheEndOfThePart) {
  add_layers(2, 5, /*stores=*/true);
  const QueueTimes all = times(1);
  EXPECT_DOUBLE_EQ(all.seconds, 1 + 2 * 5 + 2);
  EXPECT_DOUBLE_EQ(all.exposed[kCopyOut], 2);
}

TEST_F(QueueTimesOf, TakeFromComputeWhatACopyBesideItTakes) {
  costs_.set_copy_share(0.5);
  add_layers(4, 5);
  EXPECT_DOUBLE_EQ(times(1).seconds, 1 + 4 * 5 + 3 * 0.5);
}

// One disk for both ways: while it reads nothing is written.
TEST_F(QueueTimesOf, CountTheDiskOnceForAllQueues) {
  costs_.set_disk({.read_seconds_per_byte = 4e-6, .write_seconds_per_byte = 4e-6}, 0);
  add_layers(5, 0.5, /*stores=*/true);
  const QueueTimes bound = times(1);
  EXPECT_DOUBLE_EQ(bound.seconds, 10 * 4 + 0.5 - 0.5);
}

TEST_F(QueueTimesOf, LookAtTheTurnsOfOps) {
  add_layers(1, 5);
  Op op = program_.ops().back();
  op.when = When::first;
  program_.append(std::move(op));
  EXPECT_DOUBLE_EQ(times(0, 2).seconds, 2 * (1 + 5) + 5);
}

}  // namespace
}  // namespace ingot
