#include "parallel/communicators/thread_ranks.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

#include "engine/base/error.h"
#include "engine/numbers/random.h"

namespace ingot {

class ThreadRanks::Channel final : public Communicator {
 public:
  Channel(ThreadRanks& world, Queue queue, int rank, int size)
      : world_(world), queue_(queue), rank_(rank), size_(size) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void begin(std::span<const Message> out, std::span<const Message> in) override {
    if (!in_.empty() || !out_.empty()) throw std::logic_error("a channel has two lists at a time");
    in_.assign(in.begin(), in.end());
    const std::lock_guard lock(world_.mutex_);
    for (const Message& message : out) {
      out_.push_back(std::make_shared<Parcel>(Parcel{.bytes = message.bytes}));
      world_.ways_[{queue_, rank_, message.peer}].push_back(out_.back());
      ++world_.traffic_.messages;
      world_.traffic_.bytes += std::ssize(message.bytes);
    }
    if (world_.delays_ == 0) return;
    constexpr double kMostLooks = 100;
    looks_ = static_cast<int>(kMostLooks * random_uniform(world_.delays_, rank_, lists_++));
  }

  bool done() override {
    if (looks_ > 0 && --looks_ > 0) return false;
    const std::lock_guard lock(world_.mutex_);
    waiting_.clear();  // of one peer, in order
    for (const Message& message : in_) {
      const bool behind =
          std::ranges::find(waiting_, message.peer, &Message::peer) != waiting_.end();
      if (behind || !take(message)) waiting_.push_back(message);
    }
    std::swap(in_, waiting_);
    std::erase_if(out_, [](const auto& parcel) { return parcel->taken; });
    if (in_.empty() && out_.empty()) return true;
    if (world_.left_ >= 0) {
      throw Error(ErrorCode::device, "rank " + std::to_string(world_.left_) + " has left",
                  "rank " + std::to_string(rank_));
    }
    return false;
  }

 private:
  bool take(const Message& message) {
    auto& way = world_.ways_[{queue_, message.peer, rank_}];
    if (way.empty()) return false;
    Parcel& parcel = *way.front();
    if (parcel.bytes.size() != message.bytes.size()) {
      throw std::logic_error("a message of " + std::to_string(parcel.bytes.size()) +
                             " bytes is received as " + std::to_string(message.bytes.size()));
    }
    std::memcpy(message.bytes.data(), parcel.bytes.data(), parcel.bytes.size());
    parcel.taken = true;
    way.pop_front();
    return true;
  }

  ThreadRanks& world_;
  const Queue queue_;
  const int rank_, size_;
  std::vector<Message> in_, waiting_;
  std::vector<std::shared_ptr<Parcel>> out_;
  std::uint64_t lists_ = 0;
  int looks_ = 0;  // how often done() is asked before it looks
};

class ThreadRanks::Member final : public Communicators {
 public:
  Member(ThreadRanks& world, int rank, int size) : world_(world), rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int ranks_here() const override { return size_; }
  void abort(int code) override { std::exit(code); }
  Communicator& of(Queue queue) override {
    auto& channel = channels_[queue];
    if (!channel) channel = std::make_unique<Channel>(world_, queue, rank_, size_);
    return *channel;
  }

 private:
  ThreadRanks& world_;
  const int rank_, size_;
  std::map<Queue, std::unique_ptr<Channel>> channels_;
};

ThreadRanks::ThreadRanks(int size, std::uint64_t delays) : delays_(delays) {
  for (int rank = 0; rank < size; ++rank) {
    members_.push_back(std::make_unique<Member>(*this, rank, size));
  }
}

ThreadRanks::~ThreadRanks() = default;

Communicators& ThreadRanks::rank(int rank) { return *members_[rank]; }

void ThreadRanks::leave(int rank) {
  const std::lock_guard lock(mutex_);
  left_ = rank;
}

ThreadRanks::Traffic ThreadRanks::traffic() const {
  const std::lock_guard lock(mutex_);
  return traffic_;
}

}  // namespace ingot
