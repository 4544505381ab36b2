// A backend whose queues are run as late, as early or as mixed up as their order allows: what is
// given to it is kept, and one ready piece of work after the other is done in seeded order, only
// when the host waits. Whatever a program forgets to wait for goes wrong with some seed.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "backends/cpu/queue_thread.h"
#include "memory/lifetimes.h"
#include "tests/forwarding_backend.h"

namespace ingot {

enum class Shuffle { any, others_last, others_first };

class ShuffledQueues final : public Queues {
 public:
  ShuffledQueues(std::size_t queues, Shuffle policy, unsigned seed)
      : queues_(queues), policy_(policy), random_(seed) {}

  Ticket enqueue(Queue queue, Kernel& kernel, const KernelArguments& arguments,
                 const Turn& turn) override {
    return add(queue, [&kernel, arguments, turn] { kernel.run(arguments, turn); });
  }
  void upload(Range to, std::span<const std::byte> bytes) override {
    do_on_compute([to, copy = std::vector<std::byte>(bytes.begin(), bytes.end())] {
      std::ranges::copy(copy, to.memory->address() + to.offset);
    });
  }
  void await(Ticket ticket) override {
    add(kCompute, [] {});
    queues_[kCompute].work.back().after = ticket;
  }
  void synchronize() override {
    while (run_one()) {
    }
  }
  void reserve_marks(std::size_t count) override { marks_.assign(count, 0); }
  void mark(Queue queue, std::size_t slot) override {
    add(queue, [this, slot] { marks_[slot] = cpu::Stamp::now(); });
  }
  double seconds(std::size_t from, std::size_t to) const override {
    return marks_[to] - marks_[from];
  }
  bool quiet(std::size_t, std::size_t) const override { return true; }
  // In order with what compute is given.
  void do_on_compute(std::function<void()> action) { add(kCompute, std::move(action)); }

 private:
  struct Work {
    std::function<void()> run;
    Ticket after;  // what must be done before
  };
  struct Line {
    std::deque<Work> work;
    std::uint64_t given = 0, done = 0;
  };

  Ticket add(Queue queue, std::function<void()> run) {
    const Ticket after{kCompute, queue == kCompute ? 0 : queues_[kCompute].given};
    queues_[queue].work.push_back({std::move(run), after});
    return {queue, ++queues_[queue].given};
  }

  bool run_one() {
    std::vector<std::size_t> ready, others;
    bool any = false;
    for (std::size_t i = 0; i < queues_.size(); ++i) {
      if (queues_[i].work.empty()) continue;
      any = true;
      const Ticket after = queues_[i].work.front().after;
      if (queues_[after.queue].done < after.number) continue;
      (i == kCompute ? ready : others).push_back(i);
    }
    if (!any) return false;
    if (policy_ == Shuffle::others_first && !others.empty()) ready.clear();
    if (policy_ != Shuffle::others_last || ready.empty()) {
      ready.insert(ready.end(), others.begin(), others.end());
    }
    if (ready.empty()) throw std::logic_error("no queue can go on");
    Line& line = queues_[ready[random_() % ready.size()]];
    const Work next = std::move(line.work.front());
    line.work.pop_front();
    next.run();
    ++line.done;
    return true;
  }

  std::vector<Line> queues_;
  std::vector<double> marks_;
  Shuffle policy_;
  std::minstd_rand random_;
};

class ShuffledBackend final : public ForwardingBackend {
 public:
  ShuffledBackend(Shuffle policy, unsigned seed)
      : ForwardingBackend(1), policy_(policy), seed_(seed) {}

  std::unique_ptr<Queues> open(std::span<const int> starts) override {
    auto queues = std::make_unique<ShuffledQueues>(starts.size(), policy_, seed_);
    queues_ = queues.get();
    return queues;
  }
  ShuffledQueues& queues() { return *queues_; }

 private:
  Shuffle policy_;
  unsigned seed_;
  ShuffledQueues* queues_ = nullptr;
};

// Fills memory that no tensor lives in with NaN as compute passes the op at which it dies: what an
// op on another queue still reads or writes then is spoilt.
class PoisonBetweenOps final : public OpObserver {
 public:
  PoisonBetweenOps(const Executor& executor, ShuffledQueues& queues)
      : executor_(executor),
        queues_(queues),
        lives_(lifetimes(executor.program(), &executor.bound())) {}

  void after(const Op& op) override {
    const Program& program = executor_.program();
    const std::int64_t now = &op - program.ops().data();
    for (std::size_t i = 0; i < lives_.owners.size(); ++i) {
      const int tensor = lives_.owners[i].tensor;
      if (lives_.buffers[i].last != now || tensor < 0) continue;
      if (program.tensors()[tensor].lifetime != Lifetime::transient) continue;
      const Tensor whole = program.whole(tensor);
      const std::span dead(executor_.host(whole), static_cast<std::size_t>(executor_.bytes(whole)));
      queues_.do_on_compute([dead] { std::ranges::fill(dead, std::byte{0xFF}); });
    }
  }

 private:
  const Executor& executor_;
  ShuffledQueues& queues_;
  Lifetimes lives_;
};

}  // namespace ingot
