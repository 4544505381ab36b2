// Dead memory made visible: an observer that overwrites what no tensor lives in, so that an op that
// reads it spoils the run.
#pragma once

#include <cstring>
#include <span>

#include "engine/executor.h"
#include "memory/lifetimes.h"

namespace ingot {

// Fills what no tensor lives in with 0xFF bytes, NaN in every type: transient tensors when their
// part begins and again when they die.
class Poison final : public OpObserver {
 public:
  explicit Poison(const Executor& executor)
      : executor_(executor), lives_(lifetimes(executor.program())) {}

  void before(const Op& op) override {
    const Program& program = executor_.program();
    const std::span<const Op> part = program.ops(op.part);
    if (&op != &part.front()) return;
    const std::int64_t first = place_of(part.front()), last = place_of(part.back());
    fill([&](const Buffer& buffer) { return buffer.first >= first && buffer.last <= last; });
  }

  void after(const Op& op) override {
    const std::int64_t now = place_of(op);
    fill([&](const Buffer& buffer) { return buffer.last == now; });
  }

  std::int64_t filled() const { return filled_; }

 private:
  std::int64_t place_of(const Op& op) const { return &op - executor_.program().ops().data(); }

  template <class Dead>
  void fill(Dead dead) {
    const Program& program = executor_.program();
    for (std::size_t i = 0; i < lives_.tensors.size(); ++i) {
      const TensorInfo& info = program.tensors()[lives_.tensors[i]];
      if (info.lifetime != Lifetime::transient || !dead(lives_.buffers[i])) continue;
      std::memset(executor_.data(program.whole(lives_.tensors[i])), 0xFF, info.bytes());
      ++filled_;
    }
  }

  const Executor& executor_;
  Lifetimes lives_;
  std::int64_t filled_ = 0;
};

}  // namespace ingot
