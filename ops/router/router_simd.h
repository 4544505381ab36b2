// Inner loops of the router on some tokens.
#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"

namespace ingot::cpu {

struct RouterShape {
  std::int64_t experts, selected, groups, kept_groups;
  bool sigmoid, top_two, normalize;
  float scaling;
};

// Floats of scratch memory that route_rows() wants.
constexpr std::int64_t route_scratch(const RouterShape& shape) {
  return 16 * (shape.experts + shape.groups + 2 * shape.selected);
}

struct RouteRows {
  RouterShape shape;
  std::int64_t rows, logits_stride;
  const float* logits;      // [rows, experts]
  const float* bias;        // [experts], or null
  const std::int32_t* ids;  // [rows], or null
  std::int32_t* chosen;     // [rows, selected]
  float* weights;           // [rows, selected]
  float* scores;            // [rows, experts]
  std::int32_t* counts;     // [experts + 1]: set to selections of each expert, tokens; or null
  float* score_sums;        // [experts]: set to the sum of normalised scores; or null
  float* scratch;
};

struct RouteBackwardRows {
  RouterShape shape;
  std::int64_t rows, d_logits_stride;
  const float* d_weights;      // [rows, selected], or null
  const std::int32_t* chosen;  // [rows, selected]
  const float* scores;         // [rows, experts]
  const std::int32_t* ids;     // [rows], or null
  const float* slope;          // [experts]: of the balance loss in a normalised score; or null
  float slope_factor;
  float* d_logits;  // [rows, experts]
  bool accumulate;
};

struct RouterKernels {
  void (*route_rows)(const RouteRows& task);
  void (*backward_rows)(const RouteBackwardRows& task);
};

INGOT_KERNEL_TABLE(RouterKernels, router_kernels)

}  // namespace ingot::cpu
