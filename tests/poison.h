// Dead memory made visible: an observer that overwrites what no tensor lives in, so that an op that
// reads it spoils the run; with the address sanitizer such a read or write ends it.
#pragma once

#include <cstring>
#include <span>

#include "engine/execution/executor.h"
#include "memory/lifetimes.h"
#include "tests/address_poison.h"

namespace ingot {

// Fills what no tensor lives in with 0xFF bytes, NaN in every type: transient tensors when their
// part begins and again when they die. The sanitizer closes them from then until they are born, or
// their part ends.
class Poison final : public OpObserver {
 public:
  explicit Poison(const Executor& executor)
      : executor_(executor), lives_(lifetimes(executor.program(), &executor.bound())) {}

  void before(const Op& op) override {
    const std::span<const Op> part = executor_.program().ops(op.part);
    const std::int64_t now = place_of(op);
    if (&op == &part.front()) {
      const std::int64_t last = place_of(part.back());
      const auto of_part = [&](const Buffer& b) { return b.first >= now && b.last <= last; };
      // One after the other: they share bytes, and what is closed can't be filled.
      for_each(of_part, [this](std::span<std::byte> dead) { fill(dead); });
      for_each(of_part, poison);
    }
    for_each([now](const Buffer& b) { return b.first == now; }, unpoison);
  }

  void after(const Op& op) override {
    const std::int64_t now = place_of(op);
    for_each([now](const Buffer& b) { return b.last == now; },
             [this](std::span<std::byte> dead) {
               fill(dead);
               poison(dead);
             });
    if (&op == &executor_.program().ops(op.part).back()) {
      for_each([](const Buffer&) { return true; }, unpoison);
    }
  }

  std::int64_t filled() const { return filled_; }

 private:
  std::int64_t place_of(const Op& op) const { return &op - executor_.program().ops().data(); }

  void fill(std::span<std::byte> dead) {
    std::memset(dead.data(), 0xFF, dead.size());
    ++filled_;
  }

  // Of the transient tensors and workspaces.
  template <class Which, class Act>
  void for_each(Which which, Act act) {
    const Program& program = executor_.program();
    for (std::size_t i = 0; i < lives_.owners.size(); ++i) {
      const auto [tensor, op] = lives_.owners[i];
      if (!which(lives_.buffers[i])) continue;
      if (tensor < 0) {
        act(executor_.workspace(program.ops()[op]));
      } else if (program.tensors()[tensor].lifetime == Lifetime::transient) {
        const Tensor whole = program.whole(tensor);
        act(std::span(executor_.host(whole), static_cast<std::size_t>(executor_.bytes(whole))));
      }
    }
  }

  const Executor& executor_;
  Lifetimes lives_;
  std::int64_t filled_ = 0;
};

}  // namespace ingot
