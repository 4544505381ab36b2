// A reference run (tests/golden/README.md): its tensors as numbers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/safetensors.h"

namespace ingot {

class Golden {
 public:
  explicit Golden(const std::filesystem::path& path) : file_(path) {}

  // Throw Error(data) where there is no such tensor.
  std::vector<float> floats(const std::string& name) const;
  std::vector<std::int32_t> integers(const std::string& name) const;
  // Token ids; Error(data) unless all of them are in the vocabulary.
  std::vector<std::int32_t> tokens(const std::string& name, std::int64_t vocabulary) const;
  std::vector<std::int64_t> shape(const std::string& name) const { return file_.at(name).shape; }
  bool has(const std::string& name) const { return file_.find(name) != nullptr; }
  // Throws Error(data) naming the file unless the condition holds.
  void require(bool condition, const std::string& otherwise) const;

 private:
  SafetensorsFile file_;
};

}  // namespace ingot
