// Memory that an op has no business with made deadly, in every build: a layout in which each tensor
// has pages of its own, and an observer that closes all but the operands of the op that runs.
// Plain builds close pages: reading or writing a dead tensor, another op's tensor or the page
// behind one's own is a SIGSEGV; what a page has left beside a tensor is filled with a pattern and
// looked at. With the address sanitizer everything else is poisoned, to the byte, and reported with
// the stack of who touched it.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/base/align.h"
#include "engine/execution/executor.h"
#include "memory/lifetimes.h"
#include "memory/packing/buffer.h"
#include "memory/packing/packing.h"
#include "memory/plan.h"
#include "tests/address_poison.h"

namespace ingot {

inline constexpr std::int64_t kFencePage = 4096;

// Packs a program again, memory used again as ever, but in whole pages with a free one behind each
// tensor. A tensor ends where its pages end, or less than 64 bytes (the kernels' alignment) before.
inline void add_red_zones(const Program& program, const BoundProgram& bound, Placement& placement) {
  constexpr std::int64_t kAlignment = 64;
  Lifetimes lives = lifetimes(program, &bound);
  std::vector<std::int64_t> heads;
  for (Buffer& buffer : lives.buffers) {
    const std::int64_t pages = align_up(buffer.bytes, kFencePage);
    heads.push_back(pages - align_up(buffer.bytes, kAlignment));
    buffer.bytes = pages + kFencePage;
  }
  const Packing packing = pack(lives.buffers, {.alignment = kFencePage});
  for (std::size_t i = 0; i < lives.owners.size(); ++i) {
    const auto [tensor, op] = lives.owners[i];
    (tensor >= 0 ? placement.offsets[tensor] : placement.workspaces[op]) =
        packing.offsets[i] + heads[i];
  }
  placement.bytes[static_cast<int>(Place::arena)] = packing.total_bytes;
}

// While an op runs, only the pages of its own operands are open; between ops everything is. Tensors
// in the offload memory stay open. Set it as the executor's observer.
class OperandsOnly final : public OpObserver {
 public:
  // offsets: of add_red_zones(), which the executor runs with.
  OperandsOnly(const Executor& executor, std::span<const std::int64_t> offsets)
      : executor_(executor) {
    const std::span<const TensorInfo> tensors = executor.program().tensors();
    for (std::size_t id = 0; id < tensors.size() && arena_.empty(); ++id) {
      if (offsets[id] < 0 || tensors[id].place != Place::arena) continue;
      std::byte* const place = executor.host(executor.program().whole(static_cast<int>(id)));
      arena_ = {place - offsets[id], static_cast<std::size_t>(executor.arena_bytes())};
    }
  }
  ~OperandsOnly() override { open(arena_); }
  OperandsOnly(const OperandsOnly&) = delete;

  void before(const Op& op) override {
    close_arena();
    for_each_operand(op, [this](const Room& room) {
      open(kAddressSanitizer ? room.tensor : room.pages);
      if (kAddressSanitizer) return;
      std::ranges::fill(room.head(), kPattern);
      std::ranges::fill(room.tail(), kPattern);
    });
  }

  void after(const Op& op) override {
    open(arena_);
    if (kAddressSanitizer) return;
    const auto touched = [](std::span<const std::byte> bytes) {
      return std::ranges::any_of(bytes, [](std::byte b) { return b != kPattern; });
    };
    for_each_operand(op, [&](const Room& room) {
      if (stray_.empty() && (touched(room.head()) || touched(room.tail()))) {
        stray_ = describe(executor_.program(), op);
      }
    });
  }

  // The first op that wrote beside one of its operands; empty: none.
  const std::string& stray() const { return stray_; }

 private:
  static constexpr std::byte kPattern{0xA5};

  struct Room {
    std::span<std::byte> pages, tensor;  // tensor lies in pages
    std::span<std::byte> head() const { return {pages.data(), tensor.data()}; }
    std::span<std::byte> tail() const {
      return {tensor.data() + tensor.size(), pages.data() + pages.size()};
    }
  };

  template <class Act>
  void for_each_operand(const Op& op, Act act) const {
    const Program& program = executor_.program();
    const auto visit_bytes = [&](std::span<std::byte> tensor) {
      const std::int64_t begin = (tensor.data() - arena_.data()) / kFencePage * kFencePage;
      const std::int64_t end = align_up(tensor.data() + tensor.size() - arena_.data(), kFencePage);
      act(Room{
          arena_.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)),
          tensor});
    };
    const auto visit = [&](Tensor t) {
      if (!t || program.info(t).place != Place::arena) return;
      visit_bytes(
          {executor_.host(program.whole(t.id)), static_cast<std::size_t>(executor_.bytes(t))});
    };
    std::ranges::for_each(op.inputs, visit);
    std::ranges::for_each(op.outputs, visit);
    if (op.kind->reads_step) visit(program.step());
    if (const auto workspace = executor_.workspace(op); !workspace.empty()) visit_bytes(workspace);
  }

  void close_arena() const { kAddressSanitizer ? poison(arena_) : protect(arena_, PROT_NONE); }
  static void open(std::span<std::byte> bytes) {
    kAddressSanitizer ? unpoison(bytes) : protect(bytes, PROT_READ | PROT_WRITE);
  }
  static void protect(std::span<std::byte> bytes, int how) {
    if (bytes.empty()) return;
    if (mprotect(bytes.data(), bytes.size(), how) != 0) {
      throw std::runtime_error(std::string("mprotect: ") + std::strerror(errno));
    }
  }

  const Executor& executor_;
  std::span<std::byte> arena_;
  std::string stray_;
};

}  // namespace ingot
