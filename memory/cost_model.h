// How long ops take on this machine, from ops that were timed: by kind and dtype, at several sizes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/program/program.h"

namespace ingot {

// Work of one kind that was timed: its size, and what it took.
struct Timing {
  double rows = 1;  // CostModel::rows_of(): small products are less efficient
  double flops = 0, bytes = 0;
  double seconds = 0;

  bool operator==(const Timing&) const = default;
};

// The disk of offloaded tensors.
struct DiskSpeed {
  double read_seconds_per_byte = 1e-9, write_seconds_per_byte = 1e-9;  // a common one

  bool operator==(const DiskSpeed&) const = default;
};

// Of all tensors that live in the second memory.
std::int64_t offloaded_bytes(const Program& program);

class CostModel {
 public:
  // Kind and the dtypes of its operands in order, runs of one counted once, e.g. "linear bf16",
  // "linear_wgrad bf16 f32 int8": the last word marks products computed in 8 bits. Transfers have
  // a kind and a queue: "fetch" by all threads of compute, "fetch copy in" by the queue's own.
  static std::string key_of(const Program& program, const Op& op);

  // How many rows an op multiplies at once: of its first operand, or of a chunk of it; at least 1.
  static double rows_of(const Program& program, const Op& op);

  // Timings of a key with about as many rows are summed up to one.
  void add(const std::string& key, const Timing& timing);

  // Work that `other` has timed as well takes the faster of both times.
  void keep_faster(const CostModel& other);

  // Offloaded tensors are copied as the timed "fetch" and "store" were as long as the system has
  // room for their file's pages: in `page_bytes` of memory. Beyond that each also waits for the
  // disk.
  void set_disk(const DiskSpeed& disk, std::int64_t page_bytes);
  bool waits_for_disk(const Program& program) const;
  // What the disk has to do for a copy that waits for it; 0 for other ops.
  double disk_seconds(const Program& program, const Op& op) const;

  // DeviceTraits::copy_share.
  double copy_share() const { return copy_share_; }
  void set_copy_share(double share) { copy_share_ = share; }

  // By what share of itself a predicted time of ops in memory may be wrong. 5 % when the machine
  // was quiet (docs/benchmarks.md, "The planner's choice").
  double error() const { return error_; }
  void set_error(double share) { error_ = share; }

  // Of one op, without waiting for a disk. One whose operands were never timed takes as long as the
  // most similar one of its kind, a kind that never was what a slow core needs. Packing weights is
  // counted in the products that they save time (ops/pack_weight).
  double seconds(const Program& program, const Op& op) const;
  // Of an op of this key that only moves bytes.
  double seconds_of_bytes(const std::string& key, double bytes) const;

  const std::map<std::string, std::vector<Timing>>& timings() const { return timings_; }

 private:
  // Of this key, or the one of its kind that begins most like it; null if the kind was never timed.
  const std::vector<Timing>* timings_of(const std::string& key) const;
  double seconds_as_timed(const Program& program, const Op& op) const;

  std::map<std::string, std::vector<Timing>> timings_;  // by key, rising rows
  DiskSpeed disk_;
  std::int64_t page_bytes_ = 0;
  double copy_share_ = 0;
  double error_ = 0.05;
};

}  // namespace ingot
