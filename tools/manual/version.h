// What this program is: in `ingot --version`, in front of logs, in reports and manifests.
#pragma once

#include <string>

namespace ingot {

// "0.1.0 (commit 1a2b3c4d5e6f, g++ 12.2.0)"; the commit is "unknown" where the build was not told
// (quickstart.sh and install.sh do: --config=release).
std::string build_text();

// All of it, a line each, with the kernels that this machine gets.
std::string version_text();

}  // namespace ingot
