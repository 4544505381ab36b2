#include "ops/all_reduce/all_reduce_cpu.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

namespace ingot::cpu {
namespace {

using Message = Communicator::Message;

// Of all tensors of an op, what is under way at once: what arrives needs as much memory.
constexpr std::int64_t kWindowBytes = 8 << 20;
constexpr std::int64_t kAlignment = 64;

// A stretch of one tensor.
struct Stretch {
  int tensor = 0;
  DType dtype = DType::f32;
  std::int64_t first = 0, count = 0;  // elements

  // The elements whose sum this rank makes.
  Stretch of_rank(int rank, int size) const {
    const std::int64_t begin = count * rank / size, end = count * (rank + 1) / size;
    return {tensor, dtype, first + begin, end - begin};
  }
  std::int64_t bytes() const { return count * size_of(dtype); }
};
using Window = std::vector<Stretch>;

std::vector<Window> windows_of(const Program& program, const Op& op) {
  std::vector<Window> windows(1);
  std::int64_t room = kWindowBytes;
  for (int i = 0; i < std::ssize(op.inputs); ++i) {
    const TensorInfo& info = program.info(op.inputs[i]);
    const std::int64_t size = size_of(info.dtype), total = info.shape.elements();
    for (std::int64_t first = 0; first < total;) {
      if (room < size) {
        windows.emplace_back();
        room = kWindowBytes;
      }
      const std::int64_t count = std::min(total - first, room / size);
      windows.back().push_back({i, info.dtype, first, count});
      first += count;
      room -= count * size;
    }
  }
  return windows;
}

std::int64_t aligned(std::int64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

void add_bf16(std::span<std::byte* const> addends, std::int64_t count, std::uint16_t* to) {
  for (std::int64_t i = 0; i < count; ++i) {
    float sum = 0;
    for (std::size_t r = 0; r < addends.size(); ++r) {
      const float value = bf16_to_float(reinterpret_cast<const std::uint16_t*>(addends[r])[i]);
      sum = r == 0 ? value : sum + value;
    }
    to[i] = float_to_bf16(sum);
  }
}

// to[i] = the addends' sum in their order. `to` may be one of them: blocks that are small enough to
// stay in a cache are added up beside it.
template <class Value>
void add_in_order(std::span<std::byte* const> addends, std::int64_t count, Value* to) {
  constexpr std::int64_t kBlock = 1024;
  Value sums[kBlock];
  for (std::int64_t first = 0; first < count; first += kBlock) {
    const std::int64_t n = std::min(kBlock, count - first);
    const auto* from = reinterpret_cast<const Value*>(addends[0]) + first;
    std::copy_n(from, n, sums);
    for (std::size_t r = 1; r < addends.size(); ++r) {
      from = reinterpret_cast<const Value*>(addends[r]) + first;
      for (std::int64_t i = 0; i < n; ++i) sums[i] += from[i];
    }
    std::copy_n(sums, n, to + first);
  }
}

class AllReduce final : public Kernel {
 public:
  AllReduce(const Program& program, const Op& op, Communicator& channel)
      : channel_(channel), windows_(windows_of(program, op)), addends_(channel.size()) {
    std::size_t most = 0;
    for (const Window& window : windows_) {
      most = std::max(most, window.size());
      arrivals_bytes_ = std::max(arrivals_bytes_, layout(window).back());
    }
    out_.reserve(most * addends_.size());
    in_.reserve(most * addends_.size());
  }

  std::int64_t workspace_bytes() const override { return arrivals_bytes_; }

  void run(const KernelArguments& arguments, const Turn&) override {
    for (const Window& window : windows_) {
      gather(window, arguments);
      sum(window, arguments);
      spread(window, arguments);
    }
  }

 private:
  int rank() const { return channel_.rank(); }
  int size() const { return channel_.size(); }

  // Where in the workspace what arrives for each stretch begins: `size - 1` pieces, one behind the
  // other; then the end of all.
  std::vector<std::int64_t> layout(const Window& window) const {
    std::vector<std::int64_t> places = {0};
    for (const Stretch& stretch : window) {
      const std::int64_t piece = aligned(stretch.of_rank(rank(), size()).bytes());
      places.push_back(places.back() + piece * (size() - 1));
    }
    return places;
  }

  std::span<std::byte> bytes(const Stretch& part, const KernelArguments& arguments) const {
    std::byte* const tensor = arguments.outputs[part.tensor];
    return {tensor + part.first * size_of(part.dtype), static_cast<std::size_t>(part.bytes())};
  }

  // Calls each(stretch, arrival(peer)) for all of a window.
  template <class Each>
  void for_stretches(const Window& window, const KernelArguments& arguments, Each each) const {
    std::byte* place = arguments.workspace.data();
    for (const Stretch& stretch : window) {
      const Stretch mine = stretch.of_rank(rank(), size());
      const std::int64_t piece = aligned(mine.bytes());
      each(stretch, mine, [place, piece, this](int peer) {
        return place + piece * (peer < rank() ? peer : peer - 1);
      });
      place += piece * (size() - 1);
    }
  }

  // Every rank gets from all others what it is to add.
  void gather(const Window& window, const KernelArguments& arguments) {
    out_.clear();
    in_.clear();
    for_stretches(window, arguments,
                  [&](const Stretch& stretch, const Stretch& mine, auto arrival) {
                    const auto count = static_cast<std::size_t>(mine.bytes());
                    for (int peer = 0; peer < size(); ++peer) {
                      if (peer == rank()) continue;
                      const Stretch theirs = stretch.of_rank(peer, size());
                      if (theirs.count > 0) out_.push_back({peer, bytes(theirs, arguments)});
                      if (count > 0) in_.push_back({peer, {arrival(peer), count}});
                    }
                  });
    exchange(channel_, out_, in_);
  }

  void sum(const Window& window, const KernelArguments& arguments) {
    for_stretches(window, arguments, [&](const Stretch&, const Stretch& mine, auto arrival) {
      std::byte* const own = bytes(mine, arguments).data();
      for (int peer = 0; peer < size(); ++peer) {
        addends_[peer] = peer == rank() ? own : arrival(peer);
      }
      switch (mine.dtype) {
        case DType::bf16:
          return add_bf16(addends_, mine.count, reinterpret_cast<std::uint16_t*>(own));
        case DType::i32:
          return add_in_order(addends_, mine.count, reinterpret_cast<std::int32_t*>(own));
        default:
          return add_in_order(addends_, mine.count, reinterpret_cast<float*>(own));
      }
    });
  }

  // And gives the sums to all.
  void spread(const Window& window, const KernelArguments& arguments) {
    out_.clear();
    in_.clear();
    for (const Stretch& stretch : window) {
      const std::span<std::byte> mine = bytes(stretch.of_rank(rank(), size()), arguments);
      for (int peer = 0; peer < size(); ++peer) {
        if (peer == rank()) continue;
        const std::span<std::byte> theirs = bytes(stretch.of_rank(peer, size()), arguments);
        if (!mine.empty()) out_.push_back({peer, mine});
        if (!theirs.empty()) in_.push_back({peer, theirs});
      }
    }
    exchange(channel_, out_, in_);
  }

  Communicator& channel_;
  std::vector<Window> windows_;
  std::int64_t arrivals_bytes_ = 0;
  std::vector<std::byte*> addends_;
  std::vector<Message> out_, in_;
};

std::unique_ptr<Kernel> make_all_reduce(const Program& program, const Op& op,
                                        const Context& context) {
  if (context.ranks == nullptr) throw std::logic_error("all_reduce: there are no other ranks");
  return std::make_unique<AllReduce>(program, op, context.ranks->of(op.queue));
}

}  // namespace

std::span<const KernelEntry> all_reduce_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"all_reduce", make_all_reduce}};
  return kEntries;
}

}  // namespace ingot::cpu
