// What a machine can do at most, measured.
#pragma once

#include "engine/program/program.h"

namespace ingot {

struct MachinePeaks {                                    // 0: not known
  double f32_flops = 0, bf16_flops = 0, int8_flops = 0;  // per second
  double bytes_per_second = 0;                           // from memory

  // Of the type the op computes in: that of its first operand, or int8 where its attribute says so.
  double flops_for(const Program& program, const Op& op) const;
  // No op can take less: its arithmetic at the peak or its bytes at full bandwidth, whichever is
  // longer. (Operands that are still in a cache can beat it.)
  double least_seconds(const Program& program, const Op& op) const;
};

}  // namespace ingot
