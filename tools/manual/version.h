// `ingot --version`.
#pragma once

#include <string>

namespace ingot {

// What this program is, a line each, with the kernels that this machine gets.
std::string version_text();

}  // namespace ingot
