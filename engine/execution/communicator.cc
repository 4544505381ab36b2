#include "engine/execution/communicator.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

namespace ingot {
namespace {

// Looks so often at once, then leaves the core to others in between: with one thread for each rank
// and ranks on all cores, whoever spins takes the time of the one that is waited for.
constexpr int kLooks = 200;
constexpr std::chrono::microseconds kSleep{30};

}  // namespace

void exchange(Communicator& channel, std::span<const Communicator::Message> out,
              std::span<const Communicator::Message> in) {
  channel.begin(out, in);
  for (int looks = 0; !channel.done(); ++looks) {
    if (looks >= kLooks) std::this_thread::sleep_for(kSleep);
  }
}

void agree(Communicators& ranks, std::span<std::int64_t> values, Combine combine) {
  Communicator& host = ranks.of(kCompute);
  const auto count = values.size();
  std::vector<std::int64_t> all(count * host.size());
  std::vector<Communicator::Message> out, in;
  for (int peer = 0; peer < host.size(); ++peer) {
    const std::span theirs = std::span(all).subspan(peer * count, count);
    if (peer == host.rank()) {
      std::ranges::copy(values, theirs.begin());
      continue;
    }
    out.push_back({peer, std::as_writable_bytes(values)});
    in.push_back({peer, std::as_writable_bytes(theirs)});
  }
  exchange(host, out, in);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = all[i];
    for (int peer = 1; peer < host.size(); ++peer) {
      const std::int64_t other = all[peer * count + i];
      if (combine == Combine::sum) values[i] += other;
      if (combine == Combine::most) values[i] = std::max(values[i], other);
      if (combine == Combine::least) values[i] = std::min(values[i], other);
    }
  }
}

std::string broadcast(Communicators& ranks, std::string text) {
  std::int64_t size = ranks.rank() == 0 ? std::ssize(text) : 0;
  agree(ranks, std::span(&size, 1), Combine::most);
  text.resize(static_cast<std::size_t>(size));
  Communicator& host = ranks.of(kCompute);
  const std::span<std::byte> bytes = std::as_writable_bytes(std::span(text));
  std::vector<Communicator::Message> out, in;
  if (host.rank() != 0) in.push_back({0, bytes});
  for (int peer = 1; host.rank() == 0 && peer < host.size(); ++peer) out.push_back({peer, bytes});
  exchange(host, out, in);
  return text;
}

}  // namespace ingot
