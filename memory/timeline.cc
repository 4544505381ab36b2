#include "memory/timeline.h"

#include <algorithm>
#include <string>

#include "engine/base/align.h"
#include "engine/base/error.h"

namespace ingot {
namespace {

[[noreturn]] void refuse(const std::string& what, std::size_t buffer) {
  throw Error(ErrorCode::usage, what, "buffer " + std::to_string(buffer) + " of a timeline");
}

}  // namespace

Timeline make_timeline(std::span<const Buffer> buffers, std::span<const int> buffer_roles,
                       int roles, std::int64_t ops, std::int64_t alignment) {
  if (buffers.size() != buffer_roles.size() || roles < 0 || ops < 0 || alignment <= 0) {
    throw Error(ErrorCode::usage, "a timeline needs a role for every buffer, and an alignment");
  }
  Timeline timeline;
  timeline.roles = roles;
  timeline.live_bytes.resize(static_cast<std::size_t>(ops));
  timeline.role_bytes.resize(static_cast<std::size_t>(ops) * roles);
  const auto cell = [&](std::int64_t op, int role) -> std::int64_t& {
    return timeline.role_bytes[static_cast<std::size_t>(op) * roles + role];
  };
  // First the changes at each op, then their running sums.
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const Buffer& buffer = buffers[i];
    const int role = buffer_roles[i];
    if (role < 0 || role >= roles) refuse("role " + std::to_string(role) + " is unknown", i);
    if (buffer.first < 0 || buffer.first > buffer.last || buffer.last >= ops) {
      refuse("it lives outside the program's " + std::to_string(ops) + " ops", i);
    }
    const std::int64_t bytes = align_up(buffer.bytes, alignment);
    cell(buffer.first, role) += bytes;
    if (buffer.last + 1 < ops) cell(buffer.last + 1, role) -= bytes;
  }
  for (std::int64_t op = 0; op < ops; ++op) {
    std::int64_t live = 0;
    for (int role = 0; role < roles; ++role) {
      if (op > 0) cell(op, role) += cell(op - 1, role);
      live += cell(op, role);
    }
    timeline.live_bytes[static_cast<std::size_t>(op)] = live;
    if (live > timeline.peak_bytes) {
      timeline.peak_bytes = live;
      timeline.peak_op = op;
    }
  }
  return timeline;
}

std::vector<std::size_t> largest_live(std::span<const Buffer> buffers, std::int64_t op,
                                      std::size_t count) {
  std::vector<std::size_t> live;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    if (buffers[i].first <= op && op <= buffers[i].last) live.push_back(i);
  }
  count = std::min(count, live.size());
  std::partial_sort(live.begin(), live.begin() + static_cast<std::ptrdiff_t>(count), live.end(),
                    [&](std::size_t a, std::size_t b) {
                      if (buffers[a].bytes != buffers[b].bytes) {
                        return buffers[a].bytes > buffers[b].bytes;
                      }
                      return a < b;
                    });
  live.resize(count);
  return live;
}

}  // namespace ingot
