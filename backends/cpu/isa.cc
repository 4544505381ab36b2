#include "backends/cpu/isa.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "engine/base/error.h"

namespace ingot::cpu {
namespace {

#if defined(__x86_64__)
// Linux gives a process the registers of tiles when it asks for them: once, for all its threads,
// also those that are there already. Older systems don't know the question.
bool system_gives_tiles() {
  constexpr long kAskForRegisters = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
  static const bool given = syscall(SYS_arch_prctl, kAskForRegisters, kTileData) == 0;
  return given;
}
#endif

}  // namespace

#if defined(__x86_64__)
// __builtin_cpu_supports asks cpuid and, for AVX registers, whether the system saves them.
bool supports(Isa isa) {
  const bool v4 = __builtin_cpu_supports("x86-64-v4") != 0;
  switch (isa) {
    case Isa::base:
      return true;
    case Isa::v3:
      return __builtin_cpu_supports("x86-64-v3") != 0;
    case Isa::v4:
      return v4;
    case Isa::v4_bf16:
      return v4 && __builtin_cpu_supports("avx512vnni") != 0 &&
             __builtin_cpu_supports("avx512bf16") != 0;
    case Isa::amx:
      return supports(Isa::v4_bf16) && __builtin_cpu_supports("amx-tile") != 0 &&
             __builtin_cpu_supports("amx-bf16") != 0 && __builtin_cpu_supports("amx-int8") != 0 &&
             system_gives_tiles();
  }
  return false;
}
#else
// Other CPUs run the kernels of the base level.
bool supports(Isa isa) { return isa == Isa::base; }
#endif

namespace {

Isa choose() {
  const char* wanted = std::getenv("INGOT_ISA");
  const bool any = wanted == nullptr || *wanted == '\0';
  Isa best = Isa::base;
  bool found = false;
  for (const Isa level : kAllIsas) {
    if (!supports(level) || (!any && isa_name(level) != wanted)) continue;
    best = level;
    found = true;
  }
  if (!found) {
    throw Error(ErrorCode::device, std::string("this CPU has no level '") + wanted + "'",
                "environment variable INGOT_ISA", "use base, v3, v4, v4_bf16 or amx, or unset it");
  }
  return best;
}

}  // namespace

Isa isa() {
  static const Isa chosen = choose();
  return chosen;
}

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::v3:
      return "v3";
    case Isa::v4:
      return "v4";
    case Isa::v4_bf16:
      return "v4_bf16";
    case Isa::amx:
      return "amx";
    default:
      return "base";
  }
}

}  // namespace ingot::cpu
