#include "tools/manual/version.h"

#include "backends/cpu/isa.h"
#include "tools/manual/commit.h"

namespace ingot {

std::string build_text() {
  return std::string(kVersion) + " (commit " + kCommit + ", g++ " + __VERSION__ + ")";
}

std::string version_text() {
  return std::string("ingot ") + kVersion + "\ncommit    " + kCommit + "\ncompiler  g++ " +
         __VERSION__ + "\nkernels   " + std::string(cpu::isa_name(cpu::isa()));
}

}  // namespace ingot
