#include "backends/cpu/queue_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace ingot::cpu {
namespace {

// Notes its number when it runs; number -1 fails.
class Note final : public Kernel {
 public:
  Note(std::vector<int>& notes, int number) : notes_(notes), number_(number) {}
  void run(const KernelArguments&, const Turn&) override {
    if (number_ < 0) throw std::runtime_error("no more room");
    notes_.push_back(number_);
  }

 private:
  std::vector<int>& notes_;
  int number_;
};

TEST(QueueThread, RunsWhatItIsGivenInOrderHoweverLittleRoomThereIs) {
  for (const int most : {1, 2, 50}) {
    std::vector<int> notes;
    std::vector<Note> kernels;
    for (int i = 0; i < 200; ++i) kernels.emplace_back(notes, i);
    QueueThread thread(most);
    std::uint64_t last = 0;
    for (Note& kernel : kernels) last = thread.give(kernel, {}, {});
    EXPECT_EQ(last, 200u);
    thread.wait(last);
    ASSERT_EQ(notes.size(), 200u);
    for (int i = 0; i < 200; ++i) EXPECT_EQ(notes[i], i);
  }
}

// What was written on the thread is there for who waited for it.
TEST(QueueThread, AWaitIsForTheNumberThatWasGivenAndNotForMore) {
  std::vector<int> notes;
  Note first(notes, 1), second(notes, 2);
  QueueThread thread(2);
  const std::uint64_t one = thread.give(first, {}, {});
  thread.wait(one);
  EXPECT_EQ(notes, std::vector<int>{1});
  thread.wait(thread.give(second, {}, {}));
  EXPECT_EQ(notes, (std::vector<int>{1, 2}));
}

TEST(QueueThread, EndsAfterEverythingThatItWasGiven) {
  std::vector<int> notes;
  Note note(notes, 7);
  {
    QueueThread thread(3);
    for (int i = 0; i < 10; ++i) thread.give(note, {}, {});
  }
  EXPECT_EQ(notes.size(), 10u);
}

// Notes its number when it is told that it is next, and 100 more when it runs; waits for `go`.
class Prepared final : public Kernel {
 public:
  Prepared(std::vector<int>& notes, int number, const std::atomic<bool>& go)
      : notes_(notes), number_(number), go_(go) {}
  void prepare(const KernelArguments&) override { notes_.push_back(number_); }
  void run(const KernelArguments&, const Turn&) override {
    go_.wait(false);
    notes_.push_back(100 + number_);
  }

 private:
  std::vector<int>& notes_;
  int number_;
  const std::atomic<bool>& go_;
};

TEST(QueueThread, TellsTheNextKernelBeforeItBeginsOneMarksBetweenThemOrNot) {
  std::vector<int> notes;
  std::atomic<bool> go = false;
  std::vector<Prepared> kernels;
  for (int i = 0; i < 3; ++i) kernels.emplace_back(notes, i, go);
  Stamp stamp;
  QueueThread thread(5);
  thread.give(kernels[0], {}, {});
  thread.give(kernels[1], {}, {});
  thread.mark(stamp);
  thread.give(kernels[2], {}, {});
  go = true;
  go.notify_all();
  thread.wait(thread.given());
  // Whether the first found the second depends on how fast it came.
  std::erase(notes, 1);
  EXPECT_EQ(notes, (std::vector<int>{100, 2, 101, 102}));
  EXPECT_GT(stamp.begin, 0);
}

TEST(QueueThread, AFailureIsThrownByWhoWaitsAndNothingRunsAfterIt) {
  std::vector<int> notes;
  Note good(notes, 1), bad(notes, -1);
  QueueThread thread(4);
  thread.give(good, {}, {});
  thread.give(bad, {}, {});
  const std::uint64_t last = thread.give(good, {}, {});
  EXPECT_THROW(thread.wait(last), std::runtime_error);
  EXPECT_THROW(thread.wait(last), std::runtime_error);
  EXPECT_EQ(notes, std::vector<int>{1});
}

}  // namespace
}  // namespace ingot::cpu
