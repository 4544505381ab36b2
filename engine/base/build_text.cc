#include "engine/base/build_text.h"

#include "engine/base/commit.h"

namespace ingot {

std::string version_number() { return kVersion; }

std::string commit() { return kCommit; }

std::string compiler() {
#ifdef __clang__
  return "clang " + std::string(__clang_version__);
#else
  return "g++ " + std::string(__VERSION__);
#endif
}

std::string build_text() {
  return version_number() + " (commit " + commit() + ", " + compiler() + ")";
}

}  // namespace ingot
