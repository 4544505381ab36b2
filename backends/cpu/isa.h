// Which x86-64 level this process runs its kernels at, chosen once by cpuid, or by INGOT_ISA. On
// other CPUs there is the base level alone.
#pragma once

#include <string_view>

namespace ingot::cpu {

// amx: the matrix products of bf16 and int8 by tile instructions, all else as at v4_bf16.
enum class Isa { base, v3, v4, v4_bf16, amx };

// The best level this CPU and operating system support, or the one INGOT_ISA names.
// Throws Error(device) when INGOT_ISA names a level that is unknown or not this CPU's.
Isa isa();

// Whether this CPU and operating system can run kernels of that level; asks the system for the
// registers of amx, which it may refuse, for all threads of the process. Tests run all they can:
//   for (Isa isa : kAllIsas) if (supports(isa)) ...
bool supports(Isa isa);

inline constexpr Isa kAllIsas[] = {Isa::base, Isa::v3, Isa::v4, Isa::v4_bf16, Isa::amx};

std::string_view isa_name(Isa isa);

}  // namespace ingot::cpu

// Declares `extern const Table name` in the namespace of each level (the file compiled by
// isa_library defines it in INGOT_ISA) and a function name() that gives this process's. Level amx
// has tables of its own only where matrix products have them; here it is v4_bf16.
#if defined(__x86_64__)
#define INGOT_KERNEL_TABLE(Table, name)             \
  namespace base {                                  \
  extern const Table name;                          \
  }                                                 \
  namespace v3 {                                    \
  extern const Table name;                          \
  }                                                 \
  namespace v4 {                                    \
  extern const Table name;                          \
  }                                                 \
  namespace v4_bf16 {                               \
  extern const Table name;                          \
  }                                                 \
  inline const Table& name(::ingot::cpu::Isa isa) { \
    switch (isa) {                                  \
      case ::ingot::cpu::Isa::v3:                   \
        return v3::name;                            \
      case ::ingot::cpu::Isa::v4:                   \
        return v4::name;                            \
      case ::ingot::cpu::Isa::v4_bf16:              \
      case ::ingot::cpu::Isa::amx:                  \
        return v4_bf16::name;                       \
      default:                                      \
        return base::name;                          \
    }                                               \
  }
#else
#define INGOT_KERNEL_TABLE(Table, name) \
  namespace base {                      \
  extern const Table name;              \
  }                                     \
  inline const Table& name(::ingot::cpu::Isa /*isa*/) { return base::name; }
#endif
