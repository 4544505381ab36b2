#include "engine/program/schedule_queues.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace ingot {
namespace {

const OpKind kGet{.name = "get", .beside = QueueKind::copy_in};
const OpKind kUse{.name = "use"};
const OpKind kPut{.name = "put", .beside = QueueKind::copy_out};

// For each of `count` tensors of the second memory: fetched, used and stored again.
Program program_of(int count) {
  Program program;
  program.begin(Part::update);
  for (int i = 0; i < count; ++i) {
    const Tensor away = program.add_tensor(
        {.name = "away", .shape = {8}, .lifetime = Lifetime::persistent, .place = Place::offload});
    const Tensor here = program.activation("here", {8}, DType::f32);
    program.append(kGet, {away}, {here});
    program.append(kUse, {}, {here});
    program.append(kPut, {here}, {away});
  }
  return program;
}

std::string names_of(const Program& program) {
  std::string names;
  for (const Op& op : program.ops()) {
    names += (names.empty() ? "" : " ") + std::string(op.kind->name);
  }
  return names;
}

TEST(ScheduleQueues, NothingAheadLeavesTheListAsItIs) {
  Program program = program_of(2);
  schedule_queues(program, 0);
  EXPECT_EQ(names_of(program), "get use put get use put");
  for (const Op& op : program.ops()) EXPECT_EQ(op.queue, kCompute);
  check_program(program);
}

// The second copy starts before the first is used; each is waited for by its user, and copies back
// when the next but one starts, or at the end.
TEST(ScheduleQueues, CopiesStartAheadAndAreWaitedForWhereTheyAreNeeded) {
  Program program = program_of(3);
  schedule_queues(program, 1);
  EXPECT_EQ(names_of(program), "get get wait use put get wait use put wait use wait put wait wait");
  check_program(program);
}

TEST(ScheduleQueues, MoreAheadHoldsMoreAtOnceAndNeverMoreThanThat) {
  for (const int ahead : {1, 2, 4}) {
    Program program = program_of(12);
    schedule_queues(program, ahead);
    int open = 0, most = 0;
    for (const Op& op : program.ops()) {
      if (op.queue == kCopyIn) most = std::max(most, ++open);
      if (op.kind == &kWait && program.info(op.outputs[0]).place == Place::arena) --open;
    }
    EXPECT_EQ(most, ahead + 1);
  }
}

// Fetched, stored and fetched again: the second fetch reads what was stored.
TEST(ScheduleQueues, NothingMovesAboveWhatItDependsOn) {
  Program program = program_of(1);
  const Tensor away = program.ops()[0].inputs[0];
  const Tensor again = program.activation("again", {8}, DType::f32);
  program.append(kGet, {away}, {again});
  program.append(kUse, {again}, {again});
  schedule_queues(program, 4);
  EXPECT_EQ(names_of(program), "get wait use put wait get wait use");
  check_program(program);
}

TEST(CheckProgram, RefusesEveryWaitThatIsMissing) {
  Program program = program_of(6);
  schedule_queues(program, 2);
  int waits = 0;
  for (std::size_t i = 0; i < program.ops().size(); ++i) {
    if (program.ops()[i].kind != &kWait) continue;
    Program without = program;
    without.remove_ops(std::vector<std::size_t>{i});
    EXPECT_THROW(check_program(without), std::logic_error) << "wait " << i;
    ++waits;
  }
  EXPECT_EQ(waits, 12);
}

TEST(CheckProgram, RefusesTicketsThatDoNotAddUp) {
  const auto refused = [](auto spoil) {
    Program program = program_of(2);
    schedule_queues(program, 1);
    spoil(program);
    EXPECT_THROW(check_program(program), std::logic_error);
  };
  refused([](Program& p) { p.ops()[1].ticket = p.ops()[0].ticket; });  // two starts
  refused([](Program& p) { p.ops()[2].ticket = 7; });                  // a wait for nothing
  refused([](Program& p) { p.ops()[2].outputs.clear(); });             // other operands
  refused([](Program& p) { p.ops()[2].when = When::first; });          // other turns
  refused([](Program& p) { p.ops()[0].queue = kCopyOut; });            // where it may not run
  refused([](Program& p) { p.ops()[0].ticket = -1; });
}

TEST(CheckProgram, RefusesToReadWhatNobodyWrote) {
  Program program;
  program.begin(Part::update);
  const Tensor x = program.activation("x", {8}, DType::f32);
  program.append(kUse, {x}, {});
  EXPECT_THROW(check_program(program), std::logic_error);
}

constexpr Part kForward0{PartKind::forward, 0}, kForward1{PartKind::forward, 1};
constexpr Part kBackward1{PartKind::backward, 1}, kBackward0{PartKind::backward, 0};

Tensor frame(Program& program, const char* name) {
  return program.add_tensor({.name = name, .shape = {8}, .lifetime = Lifetime::frame});
}

TEST(CheckProgram, RefusesToReadFromAFrameWhatNobodyWroteForThisMicroBatch) {
  Program program;
  const Tensor x = frame(program, "x");
  program.begin(kForward0);
  program.append(kUse, {}, {x});
  program.begin(kForward1);
  program.append(kUse, {x}, {});
  check_program(program, Schedule{{kForward0, 0}, {kForward0, 1}, {kForward1, 0}, {kForward1, 1}});
  const Schedule too_early{{kForward0, 0}, {kForward1, 0}, {kForward1, 1}, {kForward0, 1}};
  EXPECT_THROW(check_program(program, too_early), std::logic_error);
}

// The gradient of a weight that two chunks have: chunk 1 begins the sum.
TEST(CheckProgram, RefusesToAddToAGradientBeforeItIsBegunOrToBeginItAgain) {
  Program program;
  const Tensor sum = program.persistent("sum", {8}, DType::f32, Role::gradient);
  program.begin(kBackward1);
  program.append(kUse, {}, {sum}, {{"first", 1}});
  program.begin(kBackward0);
  program.append(kUse, {}, {sum}, {{"first", 0}});
  const Action last{kBackward1, 0}, first{kBackward0, 0};
  check_program(program, Schedule{last, first, {kBackward1, 1}, {kBackward0, 1}});
  check_program(program, Schedule{last, {kBackward1, 1}, first, {kBackward0, 1}});
  EXPECT_THROW(check_program(program, Schedule{first, last}), std::logic_error);

  program.ops()[1].attributes.set("first", 1);
  EXPECT_THROW(check_program(program, Schedule{last, first}), std::logic_error);
}

TEST(CheckProgram, RefusesToAddToAGradientWhoseSquaresWereLeft) {
  const OpKind kLeaves{.name = "leaves",
                       .square_sums = [](const Shape&) { return std::int64_t{1}; }};
  Program program;
  const Tensor sum = program.persistent("sum", {8}, DType::f32, Role::gradient);
  const Tensor squares = program.add_tensor(
      {.name = "squares", .shape = {1}, .role = Role::gradient, .lifetime = Lifetime::parts});
  program.begin(kBackward1);
  program.append(kUse, {}, {sum}, {{"first", 1}});
  program.begin(kBackward0);
  program.append(kLeaves, {}, {sum, squares}, {{"first", 0}});
  const Action last{kBackward1, 0}, first{kBackward0, 0};
  check_program(program, Schedule{last, first, {kBackward1, 1}, {kBackward0, 1}});
  const Schedule too_late{last, first, {kBackward0, 1}, {kBackward1, 1}};
  EXPECT_THROW(check_program(program, too_late), std::logic_error);
}

}  // namespace
}  // namespace ingot
