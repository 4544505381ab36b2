// The JSON header of a safetensors file, both ways. Internal to io/safetensors.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/stored_type.h"

namespace ingot {

// The most a header may take, 8 length bytes not counted: the format's own limit.
inline constexpr std::uint64_t kLargestSafetensorsHeader = 100'000'000;

struct SafetensorsHeader {
  struct Tensor {
    TensorDeclaration declaration;
    std::uint64_t begin = 0, end = 0;  // in the data buffer, as the file says: not yet checked
  };
  std::vector<Tensor> tensors;  // in the order of the header
  std::map<std::string, std::string> metadata;
};

// Parses without ever holding more than the result: a hostile header costs its own size times four.
// Checks syntax, types, and that no key comes twice. Error(data) naming `file`.
SafetensorsHeader parse_safetensors_header(std::string_view json,
                                           const std::filesystem::path& file);

// The 8 length bytes and the padded JSON for tensors that lie one after the other in this order.
// Error(usage) for names that come twice or are reserved, impossible shapes, text that isn't UTF-8.
std::string format_safetensors_header(std::span<const TensorDeclaration> tensors,
                                      const std::map<std::string, std::string>& metadata);

}  // namespace ingot
