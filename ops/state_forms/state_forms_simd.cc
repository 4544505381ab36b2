#include "ops/state_forms/state_forms_simd.h"

#include "backends/cpu/simd.h"
#include "compress/quantizer_lanes.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

// rounding_bits() of 16 columns of the group, from its i-th on; i is a multiple of 16.
INGOT_SIMD I16 random_of(const StateGroup& group, int i) {
  const RandomLanes random = random_lanes(lane_numbers(), (group.column + i) / 32, group.row_key);
  return i % 32 == 0 ? random.first : random.second;
}

// Calls each(i, lanes) for the 16 lanes that begin at each i.
template <class Each>
INGOT_SIMD void for_lanes(int count, const Each& each) {
  for (int i = 0; i < count; i += kLanes) each(i, lanes_left(count - i));
}

// ---- Bytes --------------------------------------------------------------------------------

INGOT_SIMD I16 load_bytes(const std::uint8_t* from, int n) {
  const I16 codes = round_to_int(load_codes_partial((const std::int8_t*)from, n));
  return codes & broadcast_int(0xff);
}

// The low byte of each lane.
INGOT_SIMD void store_bytes(void* to, I16 codes, int n) {
  std::uint8_t buffer[kLanes];
  const bool whole = n == kLanes;
  __m128i_u* place = (__m128i_u*)(whole ? to : buffer);
#if defined(__AVX512F__)
  *place = _mm512_cvtepi32_epi8((__m512i)codes.part[0]);
#else
  const I16 low = codes & broadcast_int(0xff);
#if defined(__AVX2__)
  const __m256i words = _mm256_permute4x64_epi64(
      _mm256_packs_epi32((__m256i)low.part[0], (__m256i)low.part[1]), 0xd8);
  *place = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
#else
  *place = _mm_packus_epi16(_mm_packs_epi32((__m128i)low.part[0], (__m128i)low.part[1]),
                            _mm_packs_epi32((__m128i)low.part[2], (__m128i)low.part[3]));
#endif
#endif
  for (int i = 0; i < n && !whole; ++i) ((std::uint8_t*)to)[i] = buffer[i];
}

INGOT_SIMD F16 within_codes(F16 x) { return min(max(x, broadcast(-127.0f)), broadcast(127.0f)); }

// ---- Floats -------------------------------------------------------------------------------

template <class T>
void decode_float(const void* values, const void*, const StateGroup& group, float* out) {
  const T* from = static_cast<const T*>(values) + group.element;
  for_lanes(group.count, [&](int i, int n) { store(out + i, load_partial(from + i, n)); });
}

template <class T>
void encode_float(const float* in, const StateGroup& group, void* values, void*) {
  T* to = static_cast<T*>(values) + group.element;
  for_lanes(group.count, [&](int i, int n) { store_partial(to + i, load(in + i), n); });
}

template <class Copy>
void encode_with_copy(const float* in, const StateGroup& group, void* values, void* extra) {
  encode_float<float>(in, group, values, nullptr);
  encode_float<Copy>(in, group, extra, nullptr);
}

// Writes the upper halves of words, at any level without the CPU's own rounding.
INGOT_SIMD void store_bf16_bits(BFloat16* to, I16 words, int n) {
  if (n == kLanes) return detail::store_high_half((std::uint16_t*)to, words);
  std::uint16_t buffer[kLanes];
  detail::store_high_half(buffer, words);
  for (int i = 0; i < n; ++i) to[i].bits = buffer[i];
}

void encode_bf16_stochastic(const float* in, const StateGroup& group, void* values, void*) {
  BFloat16* to = static_cast<BFloat16*>(values) + group.element;
  for_lanes(group.count, [&](int i, int n) {
    const F16 value = load(in + i);
    const I16 word = float_to_bits(value);
    const I16 rounded = word + random_of(group, i);
    store_bf16_bits(to + i, select(is_not_finite(value), word, rounded), n);
  });
}

// ---- bf16 and an int8 residual ------------------------------------------------------------

// Half a unit in the last place of bf16 numbers, over 127; 0 where that is no normal number.
INGOT_SIMD F16 residual_unit(F16 rounded) {
  const I16 exponent = float_to_bits(rounded) & broadcast_int(0x7f800000);
  const I16 half_unit = exponent - broadcast_int(8 << 23);
  const F16 unit = bits_to_float(select(half_unit > broadcast_int(0), half_unit, I16{}));
  return unit / 127.0f;
}

void decode_residual(const void* values, const void* extra, const StateGroup& group, float* out) {
  const BFloat16* from = static_cast<const BFloat16*>(values) + group.element;
  const std::int8_t* residual = static_cast<const std::int8_t*>(extra) + group.element;
  for_lanes(group.count, [&](int i, int n) {
    const F16 rounded = load_partial(from + i, n);
    store(out + i, rounded + load_codes_partial(residual + i, n) * residual_unit(rounded));
  });
}

void encode_residual(const float* in, const StateGroup& group, void* values, void* extra) {
  BFloat16* to = static_cast<BFloat16*>(values) + group.element;
  std::int8_t* residual = static_cast<std::int8_t*>(extra) + group.element;
  for_lanes(group.count, [&](int i, int n) {
    const F16 value = load(in + i);
    const I16 word = detail::round_to_high_half(value);
    const F16 rounded = bits_to_float(word & broadcast_int(static_cast<std::int32_t>(0xffff0000u)));
    const F16 unit = residual_unit(rounded);
    const F16 in_units = select(unit > zero(), (value - rounded) / unit, zero());
    store_bf16_bits(to + i, word, n);
    store_bytes(residual + i, round_to_int(within_codes(in_units)), n);
  });
}

// ---- int8 ---------------------------------------------------------------------------------

void decode_int8(const void* values, const void* extra, const StateGroup& group, float* out) {
  const std::int8_t* codes = static_cast<const std::int8_t*>(values) + group.element;
  const float scale = static_cast<const float*>(extra)[group.group];
  for_lanes(group.count,
            [&](int i, int n) { store(out + i, load_codes_partial(codes + i, n) * scale); });
}

void encode_int8(const float* in, const StateGroup& group, void* values, void* extra) {
  std::int8_t* codes = static_cast<std::int8_t*>(values) + group.element;
  const float inverse =
      scale_of(amax_of(in, group.count), static_cast<float*>(extra) + group.group);
  for_lanes(group.count, [&](int i, int n) {
    store_bytes(codes + i, round_to_int(within_codes(load(in + i) * inverse)), n);
  });
}

void encode_int8_stochastic(const float* in, const StateGroup& group, void* values, void* extra) {
  std::int8_t* codes = static_cast<std::int8_t*>(values) + group.element;
  float* place = static_cast<float*>(extra) + group.group;
  const float before = *place;
  float scale;
  float inverse = scale_of(amax_of(in, group.count), &scale);
  if (scale <= before && scale >= 0.9f * before && before > 0) {
    scale = before;
    inverse = 1.0f / before;
  }
  *place = scale;
  for_lanes(group.count, [&](int i, int n) {
    const I16 fixed = round_to_int(within_codes(load(in + i) * inverse) * 65536.0f);
    store_bytes(codes + i, (fixed + random_of(group, i)) >> 16, n);
  });
}

// table[index], 0 <= index < 8.
INGOT_SIMD F16 look_up(const float* table, I16 index) {
  F16 result;
#if defined(__AVX512F__)
  const __m512 both = _mm512_castps256_ps512(_mm256_loadu_ps(table));
  result.part[0] = _mm512_permutexvar_ps((__m512i)index.part[0], both);
#elif defined(__AVX2__)
  const __m256 all = _mm256_loadu_ps(table);
  for (int i = 0; i < kParts; ++i) {
    result.part[i] = _mm256_permutevar8x32_ps(all, (__m256i)index.part[i]);
  }
#else
  for (int i = 0; i < kParts; ++i) {
    for (int lane = 0; lane < kPartLanes; ++lane) {
      result.part[i][lane] = table[index.part[i][lane]];
    }
  }
#endif
  return result;
}

// ---- The dynamic map ----------------------------------------------------------------------

// Places 1..127 of the positive half: in decade d = 0..6 there are n = 2^d numbers, at places
// n .. 2n - 1, the means of n + 1 equally spaced points on [0.1, 1], times 10^(d - 6). So place p
// is n (1 + f) and its value 10^(d - 6) (0.1 + 0.9 (f + 0.5 / n)). Place 128 is 1, place 0 is 0.
constexpr float kFirst[8] = {0.55e-6f,     0.325e-5f,     0.2125e-4f,     0.15625e-3f,
                             0.128125e-2f, 0.1140625e-1f, 0.10703125e+0f, 1.0f};
constexpr float kWidth[8] = {0.9e-6f, 0.9e-5f, 0.9e-4f, 0.9e-3f, 0.9e-2f, 0.9e-1f, 0.9f, 0.0f};
// (value - kFirst) * kPerUnit is the place within the decade.
constexpr float kPerUnit[8] = {1 / 0.9e-6f,  2 / 0.9e-5f,  4 / 0.9e-4f, 8 / 0.9e-3f,
                               16 / 0.9e-2f, 32 / 0.9e-1f, 64 / 0.9f,   0.0f};
// Half-way between the last number of a decade and the first of the next; the first is half-way
// from 0, the last to 1.
constexpr float kBorder[8] = {0.275e-6f,
                              (1e-6f * 0.55f + 1e-5f * 0.325f) / 2,
                              (1e-5f * 0.775f + 1e-4f * 0.2125f) / 2,
                              (1e-4f * 0.8875f + 1e-3f * 0.15625f) / 2,
                              (1e-3f * 0.94375f + 1e-2f * 0.128125f) / 2,
                              (1e-2f * 0.971875f + 1e-1f * 0.1140625f) / 2,
                              (1e-1f * 0.9859375f + 0.10703125f) / 2,
                              (0.99296875f + 1.0f) / 2};

void decode_dynamic(const void* values, const void* extra, const StateGroup& group, float* out) {
  const std::uint8_t* codes = static_cast<const std::uint8_t*>(values) + group.element;
  const float largest = static_cast<const float*>(extra)[group.group];
  for_lanes(group.count, [&](int i, int n) {
    const I16 offset = load_bytes(codes + i, n) - broadcast_int(127);
    const F16 place = abs(to_float(offset));
    const I16 word = float_to_bits(place);
    const I16 decade = shift_right_logical(word, 23) - broadcast_int(127);  // 0 gives -127
    const F16 fraction =
        bits_to_float((word & broadcast_int(0x007fffff)) | broadcast_int(0x3f800000)) - 1.0f;
    const I16 row = decade & broadcast_int(7);
    const F16 magnitude = fma(look_up(kWidth, row), fraction, look_up(kFirst, row)) * largest;
    const F16 positive = select(place == zero(), zero(), magnitude);
    const F16 value = select(offset < I16{}, -positive, positive);
    store(out + i, n == kLanes ? value : select(lane_numbers() < broadcast_int(n), value, zero()));
  });
}

void encode_dynamic(const float* in, const StateGroup& group, void* values, void* extra) {
  std::uint8_t* codes = static_cast<std::uint8_t*>(values) + group.element;
  const float largest = amax_of(in, group.count);
  static_cast<float*>(extra)[group.group] = largest;
  const float inverse = largest >= 0x1p-126f ? 1.0f / largest : 0.0f;
  for_lanes(group.count, [&](int i, int n) {
    const F16 value = load(in + i);
    const F16 magnitude = abs(value) * inverse;
    I16 decade = broadcast_int(-1);
    for (const float border : kBorder) decade = decade - (magnitude > broadcast(border));
    const I16 row = decade & broadcast_int(7);
    const F16 numbers = bits_to_float((row + broadcast_int(127)) << 23);
    const F16 within = (magnitude - look_up(kFirst, row)) * look_up(kPerUnit, row);
    const F16 place = numbers + min(max(within, zero()), numbers - 1.0f);
    const I16 chosen = select(decade < I16{}, I16{}, round_to_int(place));
    const I16 below = chosen + (chosen == broadcast_int(128));  // there is no -1
    const I16 code =
        select(value < zero(), broadcast_int(127) - below, broadcast_int(127) + chosen);
    store_bytes(codes + i, code, n);
  });
}

// ---- Logarithmic --------------------------------------------------------------------------

// 2^low <= positive numbers of a group <= 2^high, at most kLogOctaves apart (state_forms.cc).
struct LogBounds {
  std::int8_t low, high;
};
constexpr int kLogOctaves = 40;
constexpr float kLn2 = 0.693147181f;

// Of the natural logarithm, from one code to the next.
INGOT_SIMD float step_of(LogBounds bounds) {
  return static_cast<float>(bounds.high - bounds.low) * (kLn2 / 254.0f);
}
INGOT_SIMD float power_of_two(int exponent) {
  const std::uint32_t word = static_cast<std::uint32_t>(exponent + 127) << 23;
  float value;
  __builtin_memcpy(&value, &word, sizeof value);
  return value;
}
INGOT_SIMD int exponent_of(float value) {  // -127 for subnormals
  std::uint32_t word;
  __builtin_memcpy(&word, &value, sizeof word);
  return static_cast<int>(word >> 23) - 127;
}

LogBounds find_bounds(const float* in, int count) {
  F16 most = zero(), negated_least = broadcast(-__builtin_inff());
  for_lanes(count, [&](int i, int n) {
    const F16 value = load(in + i);
    const I16 counts = (value > zero()) & (lane_numbers() < broadcast_int(n));
    most = max(most, select(counts, value, zero()));
    negated_least = max(negated_least, select(counts, -value, broadcast(-__builtin_inff())));
  });
  const float largest = horizontal_max(most);
  if (largest == 0) return {0, 0};
  int high = exponent_of(largest);
  if (high < -126 || power_of_two(high) != largest) ++high;
  if (high > 127) high = 127;
  int low = exponent_of(-horizontal_max(negated_least));
  const int lowest = high - kLogOctaves < -126 ? -126 : high - kLogOctaves;
  if (low < lowest) low = lowest;
  if (low > high) low = high;
  return {static_cast<std::int8_t>(low), static_cast<std::int8_t>(high)};
}

void decode_log(const void* values, const void* extra, const StateGroup& group, float* out) {
  const std::uint8_t* codes = static_cast<const std::uint8_t*>(values) + group.element;
  const LogBounds bounds = static_cast<const LogBounds*>(extra)[group.group];
  const float step = step_of(bounds), low = power_of_two(bounds.low);
  for_lanes(group.count, [&](int i, int n) {
    const I16 code = load_bytes(codes + i, n);
    const F16 value = exp((to_float(code) - 1.0f) * step) * low;
    store(out + i, select(code == I16{}, zero(), value));
  });
}

template <bool kStochastic>
void encode_log(const float* in, const StateGroup& group, void* values, void* extra) {
  std::uint8_t* codes = static_cast<std::uint8_t*>(values) + group.element;
  const LogBounds bounds = find_bounds(in, group.count);
  static_cast<LogBounds*>(extra)[group.group] = bounds;
  const float step = step_of(bounds), inverse = 1.0f / power_of_two(bounds.low);
  const float per_step = step > 0 ? 1.0f / step : 0.0f;
  for_lanes(group.count, [&](int i, int n) {
    const F16 value = load(in + i);
    const F16 place = min(log(max(value * inverse, broadcast(1.0f))) * per_step, broadcast(254.0f));
    I16 above = round_to_int(place);
    if constexpr (kStochastic) {
      // The probability of the upper neighbour that keeps the mean of the value, not of its
      // logarithm: (e^(f s) - 1) / (e^s - 1), to second order in the step s.
      const I16 below = round_to_int(place - 0.5f);
      const F16 fraction = place - to_float(below);
      const F16 chance = fraction * (1.0f - (1.0f - fraction) * (0.5f * step));
      above = below + ((round_to_int(chance * 65536.0f) + random_of(group, i)) >> 16);
    }
    store_bytes(codes + i, select(value > zero(), above + broadcast_int(1), I16{}), n);
  });
}

}  // namespace

extern const StateKernels state_kernels = {
    {decode_float<float>, decode_float<BFloat16>, decode_float<Half>, decode_residual, decode_int8,
     decode_dynamic, decode_log},
    {encode_float<float>, encode_float<BFloat16>, encode_float<Half>, encode_residual, encode_int8,
     encode_dynamic, encode_log<false>},
    {encode_float<float>, encode_bf16_stochastic, encode_float<Half>, encode_residual,
     encode_int8_stochastic, encode_dynamic, encode_log<true>},
    encode_with_copy<BFloat16>,
    encode_with_copy<Half>};

}  // namespace ingot::cpu::INGOT_ISA
