#include "tools/manual/version.h"

#include "backends/cpu/isa.h"
#include "engine/base/build_text.h"

namespace ingot {

std::string version_text() {
  return "ingot " + version_number() + "\ncommit    " + commit() + "\ncompiler  " + compiler() +
         "\nkernels   " + std::string(cpu::isa_name(cpu::isa()));
}

}  // namespace ingot
