#include "memory/cost_model.h"

#include <algorithm>
#include <cmath>

namespace ingot {
namespace {

// More FLOP a byte than this and arithmetic decides, not memory.
constexpr double kComputeBound = 8;
// For kinds that were not timed: a slow core's.
constexpr OpRate kUnknown{.seconds_per_flop = 2e-11, .seconds_per_byte = 1e-10};
// Offloaded tensors at 1 GB/s, what a common disk sustains; op.bytes counts both sides of a copy.
constexpr OpRate kTransfer{.seconds_per_byte = 5e-10};

const OpRate& untimed(const std::string& key) {
  return key.starts_with("fetch") || key.starts_with("store") ? kTransfer : kUnknown;
}

const Tensor& first_operand(const Op& op) {
  for (const auto* operands : {&op.inputs, &op.outputs}) {
    for (const Tensor& t : *operands) {
      if (t) return t;
    }
  }
  static const Tensor kNone;
  return kNone;
}

double seconds_at(const OpRate& rate, const Op& op) {
  const bool compute_bound = op.flops > kComputeBound * op.bytes;
  return compute_bound ? op.flops * rate.seconds_per_flop : op.bytes * rate.seconds_per_byte;
}

}  // namespace

std::string CostModel::key_of(const Program& program, const Op& op) {
  std::string key(op.kind->name), last;
  for (const auto* operands : {&op.inputs, &op.outputs}) {
    for (const Tensor t : *operands) {
      if (!t || name_of(program.dtype(t)) == last) continue;
      last = name_of(program.dtype(t));
      key += " " + last;
    }
  }
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

void CostModel::add(const std::string& key, const OpRate& rate) {
  std::vector<OpRate>& rates = rates_[key];
  const auto place =
      std::lower_bound(rates.begin(), rates.end(), rate,
                       [](const OpRate& a, const OpRate& b) { return a.rows < b.rows; });
  rates.insert(place, rate);
}

double CostModel::seconds(const Program& program, const Op& op) const {
  const std::string key = key_of(program, op);
  const auto found = rates_.find(key);
  if (found == rates_.end()) return seconds_at(untimed(key), op);
  const std::vector<OpRate>& rates = found->second;
  const double rows = rows_of(program, op);
  const auto above = std::find_if(rates.begin(), rates.end(),
                                  [&](const OpRate& rate) { return rate.rows >= rows; });
  if (above == rates.begin()) return seconds_at(rates.front(), op);
  if (above == rates.end()) return seconds_at(rates.back(), op);
  const auto below = above - 1;
  const double weight = std::log(rows / below->rows) / std::log(above->rows / below->rows);
  return (1 - weight) * seconds_at(*below, op) + weight * seconds_at(*above, op);
}

double CostModel::seconds_of_bytes(const std::string& key, double bytes) const {
  const auto found = rates_.find(key);
  return bytes * (found == rates_.end() ? kUnknown : found->second.back()).seconds_per_byte;
}

double CostModel::seconds(const Program& program, Part part) const {
  double sum = 0;
  for (const Op& op : program.ops(part)) sum += seconds(program, op);
  return sum;
}

}  // namespace ingot
