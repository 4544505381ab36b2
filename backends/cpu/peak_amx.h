// The kernels of peak.h with the matrix unit of AMX: see peak_simd.h.
#pragma once

#include <cstdint>

namespace ingot::cpu {

struct PeakAmx {
  double (*multiply_add_bf16)(std::int64_t iterations);
  double (*multiply_add_int8)(std::int64_t iterations);
};

namespace amx {
extern const PeakAmx peak_amx;
}

}  // namespace ingot::cpu
