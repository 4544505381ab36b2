// CPU kernels of ops/transfer: copies to and from a mapped file, whose pages are let go at once so
// that they do not count as this process' memory.
#pragma once

#include <span>

#include "backends/cpu/cpu_backend.h"

namespace ingot::cpu {

std::span<const KernelEntry> transfer_cpu_kernels();

}  // namespace ingot::cpu
