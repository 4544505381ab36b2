// Which build this program is: in `ingot --version`, logs, manifests, plans and reports.
#pragma once

#include <string>

namespace ingot {

// As the file VERSION has it: "0.1.0".
std::string version_number();
// "unknown" where the build was not told (quickstart.sh and install.sh do: --config=release).
std::string commit();
// "g++ 12.2.0"
std::string compiler();

// "0.1.0 (commit 1a2b3c4d5e6f, g++ 12.2.0)"
std::string build_text();

}  // namespace ingot
