// What a verification found: each tensor compared, as JSON or as a table.
#pragma once

#include <string>
#include <vector>

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
  std::vector<std::string> unused_tensors;  // of the model's folder
  bool passed() const;
  std::string to_json() const;
  std::string to_table() const;  // failures, and the worst of each kind
};

}  // namespace ingot
