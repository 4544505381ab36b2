// How long ops take on this machine, from ops that were timed: by kind and dtype, at several sizes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/program.h"

namespace ingot {

// What one kind of op reached, per unit of work.
struct OpRate {
  double rows = 0;  // CostModel::rows_of(): small products are less efficient
  double seconds_per_flop = 0;
  double seconds_per_byte = 0;

  bool operator==(const OpRate&) const = default;
};

class CostModel {
 public:
  // Kind and the dtypes of its operands in order, runs of one counted once, e.g. "linear bf16",
  // "linear_wgrad bf16 f32 int8": the last word marks products computed in 8 bits.
  static std::string key_of(const Program& program, const Op& op);

  // How many rows an op multiplies at once: of its first operand, or of a chunk of it; at least 1.
  static double rows_of(const Program& program, const Op& op);

  // A mean over ops of one kind with about as many rows.
  void add(const std::string& key, const OpRate& rate);

  // Of one op. Kinds that were never timed take what memory and arithmetic of the others allow.
  double seconds(const Program& program, const Op& op) const;
  // Of an op of this key that only moves bytes.
  double seconds_of_bytes(const std::string& key, double bytes) const;
  // Sum over the ops of a part.
  double seconds(const Program& program, Part part) const;

  const std::map<std::string, std::vector<OpRate>>& rates() const { return rates_; }

 private:
  std::map<std::string, std::vector<OpRate>> rates_;  // by key, rising rows
};

}  // namespace ingot
