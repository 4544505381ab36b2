// Compares this implementation with a reference run of a Hugging Face model
// (tests/golden/README.md): logits, loss, hidden states, every gradient, 20 AdamW steps, and greedy
// text.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/config/config.h"
#include "engine/execution/backend.h"

namespace ingot {

struct Comparison {
  std::string name;
  double error =
      0;  // largest difference, relative to the largest absolute reference value
          // (train.losses, train.grad_norms: to each value; greedy: tokens that differ;
          // final.NAME, and logits in int8: the median difference to the root mean square)
  double tolerance = 0;
  bool passed() const { return error <= tolerance; }  // NaN fails
};

struct VerifyReport {
  std::vector<Comparison> comparisons;
  bool passed() const;
  std::string to_json() const;
  std::string to_table() const;  // failures, and the worst of each kind
};

// Throws Error(data) when the folder or the reference can't be read or don't fit together.
VerifyReport verify(const std::filesystem::path& model_folder, const std::filesystem::path& golden,
                    ComputeType compute, Backend& backend);

}  // namespace ingot
