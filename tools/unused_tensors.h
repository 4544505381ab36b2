// What a model's folder holds and the model does not use.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace ingot {

// A line on stderr for each.
inline void warn_of_unused(const std::vector<std::string>& tensors) {
  for (const std::string& name : tensors) {
    std::fprintf(stderr, "not used by the model: %s\n", name.c_str());
  }
}

}  // namespace ingot
