// Turning blocks of words, for kernels compiled by isa_library.
#pragma once

#include "backends/cpu/simd.h"

#ifdef INGOT_ISA

namespace ingot::cpu::INGOT_ISA {

// Rows to columns, 16 x 16 words; row i goes to `to + i` in steps of `to_stride` words.
INGOT_SIMD void transpose_to(F16 row[16], float* to, std::int64_t to_stride) {
#if defined(__AVX512F__)
  __m512 t[16], u[16];
  for (int i = 0; i < 16; i += 2) {  // pairs of rows
    t[i] = _mm512_unpacklo_ps(row[i].part[0], row[i + 1].part[0]);
    t[i + 1] = _mm512_unpackhi_ps(row[i].part[0], row[i + 1].part[0]);
  }
  for (int i = 0; i < 16; i += 4) {  // 4 x 4 within each quarter
    u[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
    u[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
    u[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    u[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {  // quarters: u[4 g + i] has columns i, i + 4, ... of rows 4 g ..
    const __m512 low = _mm512_shuffle_f32x4(u[i], u[i + 4], 0x88);
    const __m512 high = _mm512_shuffle_f32x4(u[i + 8], u[i + 12], 0x88);
    const __m512 low_odd = _mm512_shuffle_f32x4(u[i], u[i + 4], 0xdd);
    const __m512 high_odd = _mm512_shuffle_f32x4(u[i + 8], u[i + 12], 0xdd);
    _mm512_storeu_ps(to + i * to_stride, _mm512_shuffle_f32x4(low, high, 0x88));
    _mm512_storeu_ps(to + (i + 4) * to_stride, _mm512_shuffle_f32x4(low_odd, high_odd, 0x88));
    _mm512_storeu_ps(to + (i + 8) * to_stride, _mm512_shuffle_f32x4(low, high, 0xdd));
    _mm512_storeu_ps(to + (i + 12) * to_stride, _mm512_shuffle_f32x4(low_odd, high_odd, 0xdd));
  }
#else
  float words[16][16];
  for (int i = 0; i < 16; ++i) store(words[i], row[i]);
  for (int k = 0; k < 16; ++k) {
    for (int i = 0; i < 16; ++i) to[k * to_stride + i] = words[i][k];
  }
#endif
}

}  // namespace ingot::cpu::INGOT_ISA

#endif  // INGOT_ISA
