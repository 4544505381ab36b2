#include "memory/cost_model.h"

#include <algorithm>
#include <cmath>

#include "ops/pack_weight/pack_weight.h"
#include "ops/transfer/transfer.h"

namespace ingot {
namespace {

// More FLOP a byte than this and arithmetic decides, not memory.
constexpr double kComputeBound = 8;
// For kinds that were not timed: a slow core's, 50 GFLOP/s and 10 GB/s.
constexpr Timing kUnknown{.flops = 5e10, .bytes = 1e10, .seconds = 1};
// Sizes that differ by less are one.
constexpr double kSameRows = 1.5;

bool is_transfer(const Op& op) { return op.kind == &kFetch || op.kind == &kStore; }

const Tensor& first_operand(const Op& op) {
  for (const auto* operands : {&op.inputs, &op.outputs}) {
    for (const Tensor& t : *operands) {
      if (t) return t;
    }
  }
  static const Tensor kNone;
  return kNone;
}

double seconds_of(const Timing& timing, double work, double timed_work) {
  return timed_work > 0 ? work * timing.seconds / timed_work : 0;
}

double seconds_at(const Timing& timing, const Op& op) {
  const bool compute_bound = op.flops > kComputeBound * op.bytes;
  return compute_bound ? seconds_of(timing, op.flops, timing.flops)
                       : seconds_of(timing, op.bytes, timing.bytes);
}

}  // namespace

std::int64_t offloaded_bytes(const Program& program) {
  std::int64_t bytes = 0;
  for (const TensorInfo& info : program.tensors()) {
    if (info.place == Place::offload) bytes += info.bytes();
  }
  return bytes;
}

std::string CostModel::key_of(const Program& program, const Op& op) {
  std::string key(op.kind->name), last;
  if (is_transfer(op)) {
    return op.queue == kCompute ? key : key + " " + program.queues()[op.queue].name;
  }
  for_operands(op, [&](Tensor t) {
    if (t == packed_weight_of(op) || name_of(program.dtype(t)) == last) return;
    last = name_of(program.dtype(t));
    key += " " + last;
  });
  if (op.attributes.flag("int8")) key += " int8";
  return key;
}

double CostModel::rows_of(const Program& program, const Op& op) {
  const Tensor t = first_operand(op);
  if (!t) return 1;
  std::int64_t rows = program.rows(t);
  if (op.attributes.has("chunk_rows")) rows = std::min(rows, op.attributes.integer("chunk_rows"));
  return std::max(1.0, static_cast<double>(rows));
}

void CostModel::add(const std::string& key, const Timing& timing) {
  std::vector<Timing>& timings = timings_[key];
  const auto same = std::find_if(timings.begin(), timings.end(), [&](const Timing& other) {
    return std::max(other.rows / timing.rows, timing.rows / other.rows) < kSameRows;
  });
  if (same != timings.end()) {
    same->flops += timing.flops;
    same->bytes += timing.bytes;
    same->seconds += timing.seconds;
    return;
  }
  const auto place =
      std::lower_bound(timings.begin(), timings.end(), timing,
                       [](const Timing& a, const Timing& b) { return a.rows < b.rows; });
  timings.insert(place, timing);
}

void CostModel::keep_faster(const CostModel& other) {
  for (auto& [key, timings] : timings_) {
    const auto found = other.timings_.find(key);
    if (found == other.timings_.end()) continue;
    for (Timing& timing : timings) {
      for (const Timing& same : found->second) {
        if (same.rows != timing.rows || same.flops != timing.flops || same.bytes != timing.bytes) {
          continue;
        }
        timing.seconds = std::min(timing.seconds, same.seconds);
      }
    }
  }
}

void CostModel::set_disk(const DiskSpeed& disk, std::int64_t page_bytes) {
  disk_ = disk;
  page_bytes_ = page_bytes;
}

double CostModel::seconds(const Program& program, const Op& op) const {
  if (op.kind == &kPackWeight) return 0;
  return (1 - share_saved_by_packing(op)) * seconds_as_timed(program, op);
}

const std::vector<Timing>* CostModel::timings_of(const std::string& key) const {
  if (const auto exact = timings_.find(key); exact != timings_.end()) return &exact->second;
  const std::string_view kind = std::string_view(key).substr(0, key.find(' '));
  const std::vector<Timing>* closest = nullptr;
  std::size_t most = 0;
  for (auto found = timings_.lower_bound(std::string(kind)); found != timings_.end(); ++found) {
    const std::string& other = found->first;
    const std::size_t common = std::ranges::mismatch(key, other).in1 - key.begin();
    if (common < kind.size()) break;
    const bool same_kind = other.size() == kind.size() || other[kind.size()] == ' ';
    if (same_kind && (closest == nullptr || common > most)) {
      closest = &found->second;
      most = common;
    }
  }
  return closest;
}

double CostModel::seconds_as_timed(const Program& program, const Op& op) const {
  const std::vector<Timing>* found = timings_of(key_of(program, op));
  if (found == nullptr) return seconds_at(kUnknown, op);
  const std::vector<Timing>& timings = *found;
  const double rows = rows_of(program, op);
  const auto above = std::find_if(timings.begin(), timings.end(),
                                  [&](const Timing& timing) { return timing.rows >= rows; });
  if (above == timings.begin()) return seconds_at(timings.front(), op);
  if (above == timings.end()) return seconds_at(timings.back(), op);
  const auto below = above - 1;
  const double weight = std::log(rows / below->rows) / std::log(above->rows / below->rows);
  return (1 - weight) * seconds_at(*below, op) + weight * seconds_at(*above, op);
}

double CostModel::seconds_of_bytes(const std::string& key, double bytes) const {
  const auto found = timings_.find(key);
  const Timing& timing = found == timings_.end() ? kUnknown : found->second.back();
  return seconds_of(timing, bytes, timing.bytes);
}

bool CostModel::waits_for_disk(const Program& program) const {
  return offloaded_bytes(program) > page_bytes_;
}

double CostModel::disk_seconds(const Program& program, const Op& op) const {
  if (!is_transfer(op)) return 0;
  const auto bytes = static_cast<double>(program.info(op.inputs[0]).bytes());
  return bytes * (op.kind == &kFetch ? disk_.read_seconds_per_byte : disk_.write_seconds_per_byte);
}

}  // namespace ingot
