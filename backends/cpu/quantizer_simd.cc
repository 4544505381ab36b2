#include "backends/cpu/quantizer_simd.h"

#include "backends/cpu/quantizer_lanes.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

// Calls body(first column, count, scale's number) for each group of a row.
template <typename Body>
INGOT_SIMD void for_each_group(std::int64_t columns, std::int64_t group, const Body& body) {
  for (std::int64_t first = 0, number = 0; first < columns; first += group, ++number) {
    body(first, columns - first < group ? columns - first : group, number);
  }
}

// Sixteen elements of [i, last), zeros beyond.
template <typename T>
INGOT_SIMD F16 load_until(const T* x, std::int64_t i, std::int64_t last) {
  return i < last ? load_partial(x + i, lanes_left(last - i)) : zero();
}

// Codes of [first, first + count), 64 at a time: make(i, load) fills four vectors from column i on.
template <typename T, typename Make>
INGOT_SIMD void write_codes(const T* x, std::int8_t* codes, std::int64_t first, std::int64_t count,
                            const Make& make) {
  const std::int64_t last = first + count;
  I16 made[4];
  std::int64_t i = first;
  for (; i + 64 <= last; i += 64) {
    make(
        i, [&](int j) __attribute__((always_inline)) { return load(x + i + j * kLanes); }, made);
    store_codes(codes + i, made);
  }
  if (i < last) {
    make(
        i,
        [&](int j) __attribute__((always_inline)) { return load_until(x, i + j * kLanes, last); },
        made);
    store_codes_partial(codes + i, made, last - i);
  }
}

// max |x| of each group: first, so that the groups' latencies overlap.
template <typename T>
void write_amax(const T* x, std::int64_t columns, std::int64_t group, float* amax) {
  for_each_group(columns, group, [&](std::int64_t first, std::int64_t count, std::int64_t number) {
    amax[number] = amax_of(x + first, count);
  });
}

template <typename T>
void quantize(const void* values, std::int64_t columns, std::int64_t group, std::int8_t* codes,
              float* scales) {
  const T* x = static_cast<const T*>(values);
  write_amax(x, columns, group, scales);
  for_each_group(columns, group, [&](std::int64_t first, std::int64_t count, std::int64_t number) {
    const F16 inverse = broadcast(scale_of(scales[number], scales + number));
    const auto make = [&](std::int64_t, const auto& load_lanes, I16* made)
        __attribute__((always_inline)) {
      for (int j = 0; j < 4; ++j) made[j] = nearest_codes(load_lanes(j), inverse);
    };
    write_codes(x, codes, first, count, make);
  });
}

template <typename T>
void quantize_stochastic(const void* values, std::int64_t columns, std::int64_t group,
                         std::int8_t* codes, float* scales, std::uint64_t row_key) {
  const T* x = static_cast<const T*>(values);
  write_amax(x, columns, group, scales);
  for_each_group(columns, group, [&](std::int64_t first, std::int64_t count, std::int64_t number) {
    const F16 inverse = broadcast(scale_of(scales[number], scales + number));
    const auto make = [&](std::int64_t i, const auto& load_lanes, I16* made)
        __attribute__((always_inline)) {
      for (int j = 0; j < 4; j += 2) {
        const RandomLanes random = random_lanes(i / kRoundingBlock + j / 2, row_key);
        made[j] = stochastic_codes(load_lanes(j), inverse, random.first);
        made[j + 1] = stochastic_codes(load_lanes(j + 1), inverse, random.second);
      }
    };
    write_codes(x, codes, first, count, make);
  });
}

template <typename T>
void dequantize(const std::int8_t* codes, const float* scales, std::int64_t columns,
                std::int64_t group, void* values) {
  T* to = static_cast<T*>(values);
  for_each_group(columns, group, [&](std::int64_t first, std::int64_t count, std::int64_t number) {
    const F16 scale = broadcast(scales[number]);
    const std::int64_t last = first + count;
    std::int64_t i = first;
    for (; i + kLanes <= last; i += kLanes) store(to + i, load_codes(codes + i) * scale);
    if (i < last) {
      const int n = static_cast<int>(last - i);
      store_partial(to + i, load_codes_partial(codes + i, n) * scale, n);
    }
  });
}

}  // namespace

extern const QuantizerKernels quantizer_kernels = {
    {quantize<float>, quantize<BFloat16>, quantize<Half>},
    {quantize_stochastic<float>, quantize_stochastic<BFloat16>, quantize_stochastic<Half>},
    {dequantize<float>, dequantize<BFloat16>, dequantize<Half>},
};

}  // namespace ingot::cpu::INGOT_ISA
