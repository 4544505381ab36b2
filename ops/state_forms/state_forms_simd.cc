#include "ops/state_forms/state_forms_simd.h"

#include "backends/cpu/quantizer_lanes.h"
#include "backends/cpu/simd.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

// rounding_bits() of 16 columns of the group, from its i-th on; i is a multiple of 16.
INGOT_SIMD I16 random_of(const StateGroup& group, int i) {
  const RandomLanes random = random_lanes((group.column + i) / kRoundingBlock, group.row_key);
  return i % kRoundingBlock == 0 ? random.first : random.second;
}

// Calls each(i, lanes) for the 16 lanes that begin at each i.
template <class Each>
INGOT_SIMD void for_lanes(int count, const Each& each) {
  if (count == kGroupElements) {  // with constants, so that no lane is asked for
#pragma GCC unroll 2
    for (int i = 0; i < kGroupElements; i += kLanes) each(i, kLanes);
    return;
  }
  for (int i = 0; i < count; i += kLanes) each(i, lanes_left(count - i));
}

// ---- Bytes --------------------------------------------------------------------------------

INGOT_SIMD I16 load_bytes(const std::uint8_t* from, int n) {
  std::uint8_t buffer[kLanes] = {};
  if (n < kLanes) {
    for (int i = 0; i < n; ++i) buffer[i] = from[i];
    from = buffer;
  }
  const __m128i bytes = _mm_loadu_si128((const __m128i_u*)from);
  I16 wide;
#if defined(__AVX512F__)
  wide.part[0] = (IntPart)_mm512_cvtepu8_epi32(bytes);
#elif defined(__AVX2__)
  wide.part[0] = (IntPart)_mm256_cvtepu8_epi32(bytes);
  wide.part[1] = (IntPart)_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8));
#else
  const __m128i none = _mm_setzero_si128();
  const __m128i low = _mm_unpacklo_epi8(bytes, none), high = _mm_unpackhi_epi8(bytes, none);
  wide.part[0] = (IntPart)_mm_unpacklo_epi16(low, none);
  wide.part[1] = (IntPart)_mm_unpackhi_epi16(low, none);
  wide.part[2] = (IntPart)_mm_unpacklo_epi16(high, none);
  wide.part[3] = (IntPart)_mm_unpackhi_epi16(high, none);
#endif
  return wide;
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

// Half a unit in the last place of bf16 numbers, as the word of a float; not above 0 where that is
// no normal number.
INGOT_SIMD I16 half_unit_word(F16 rounded) {
  return (float_to_bits(rounded) & broadcast_int(0x7f800000)) - broadcast_int(8 << 23);
}

void decode_residual(const void* values, const void* extra, const StateGroup& group, float* out) {
  const BFloat16* from = static_cast<const BFloat16*>(values) + group.element;
  const std::int8_t* residual = static_cast<const std::int8_t*>(extra) + group.element;
  for_lanes(group.count, [&](int i, int n) {
    const F16 rounded = load_partial(from + i, n);
    const I16 half_unit = half_unit_word(rounded);
    const F16 unit = bits_to_float(select(half_unit > I16{}, half_unit, I16{})) * (1.0f / 127.0f);
    store(out + i, rounded + load_codes_partial(residual + i, n) * unit);
  });
}

void encode_residual(const float* in, const StateGroup& group, void* values, void* extra) {
  BFloat16* to = static_cast<BFloat16*>(values) + group.element;
  std::int8_t* residual = static_cast<std::int8_t*>(extra) + group.element;
  for_lanes(group.count, [&](int i, int n) {
    const F16 value = load(in + i);
    const I16 word = detail::round_to_high_half(value);
    const F16 rounded = bits_to_float(word & broadcast_int(static_cast<std::int32_t>(0xffff0000u)));
    const I16 half_unit = half_unit_word(rounded);
    const F16 inverse = bits_to_float(broadcast_int(254 << 23) - half_unit);  // a power of two
    const F16 in_units = select(half_unit > I16{}, (value - rounded) * inverse * 127.0f, zero());
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
// Within a decade the place is value * kPerUnit + kPlace, kPlace = n - kFirst * kPerUnit.
constexpr float kPerUnit[8] = {1 / 0.9e-6f,  2 / 0.9e-5f,  4 / 0.9e-4f, 8 / 0.9e-3f,
                               16 / 0.9e-2f, 32 / 0.9e-1f, 64 / 0.9f,   0.0f};
constexpr float kPlace[8] = {1 - 0.55f / 0.9f,
                             2 - 2 * 0.325f / 0.9f,
                             4 - 4 * 0.2125f / 0.9f,
                             8 - 8 * 0.15625f / 0.9f,
                             16 - 16 * 0.128125f / 0.9f,
                             32 - 32 * 0.1140625f / 0.9f,
                             64 - 64 * 0.10703125f / 0.9f,
                             128.0f};
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
    const F16 none = broadcast(0.0f * largest);  // NaN of a group that is NaN
    const F16 positive = select(place == zero(), none, magnitude);
    const F16 value = select(offset < I16{}, -positive, positive);
    store(out + i, n == kLanes ? value : select(lane_numbers() < broadcast_int(n), value, zero()));
  });
}

// The decade of magnitudes up to 1 (and a bit): -1 below the first border, 7 above the last.
#if defined(__AVX512F__)
// A binade holds one border at most, so its exponent tells the decade but for one comparison. By
// exponent + 22, from 2^-22 to 2^0: the decade at the start of the binade, and the border in it.
struct DecadeOfBinade {
  std::int32_t decade[32];
  float border[32];
};
constexpr DecadeOfBinade decades_of_binades() {
  DecadeOfBinade table{};
  float start = 0x1p-22f;
  for (int i = 0; i < 32; ++i, start *= 2) {
    int below = 0;
    while (below < 8 && kBorder[below] < start) ++below;
    table.decade[i] = below - 1;
    table.border[i] = below < 8 ? kBorder[below] : __builtin_inff();
  }
  return table;
}
constexpr DecadeOfBinade kDecadeOfBinade = decades_of_binades();

INGOT_SIMD I16 decade_of(F16 magnitude) {
  const __m512 from_least = _mm512_max_ps(magnitude.part[0], _mm512_set1_ps(0x1p-22f));
  const __m512i binade =
      _mm512_sub_epi32(_mm512_srli_epi32((__m512i)from_least, 23), _mm512_set1_epi32(127 - 22));
  const std::int32_t* decades = kDecadeOfBinade.decade;
  const float* borders = kDecadeOfBinade.border;
  const __m512i decade = _mm512_permutex2var_epi32(_mm512_loadu_si512(decades), binade,
                                                   _mm512_loadu_si512(decades + 16));
  const __m512 border =
      _mm512_permutex2var_ps(_mm512_loadu_ps(borders), binade, _mm512_loadu_ps(borders + 16));
  const __mmask16 above = _mm512_cmp_ps_mask(magnitude.part[0], border, _CMP_GT_OQ);
  I16 result;
  result.part[0] = (IntPart)_mm512_mask_add_epi32(decade, above, decade, _mm512_set1_epi32(1));
  return result;
}
#else
INGOT_SIMD I16 decade_of(F16 magnitude) {
  I16 decade = broadcast_int(-1);
  for (const float border : kBorder) decade = decade - (magnitude > broadcast(border));
  return decade;
}
#endif

void encode_dynamic(const float* in, const StateGroup& group, void* values, void* extra) {
  std::uint8_t* codes = static_cast<std::uint8_t*>(values) + group.element;
  const float largest = amax_of(in, group.count);
  const bool finite = largest <= 0x1.fffffep127f;
  static_cast<float*>(extra)[group.group] = finite ? largest : __builtin_nanf("");
  const float inverse = finite && largest >= 0x1p-126f ? 1.0f / largest : 0.0f;
  for_lanes(group.count, [&](int i, int n) {
    const F16 value = load(in + i);
    const F16 magnitude = abs(value) * inverse;
    const I16 decade = decade_of(magnitude);
    const I16 row = decade & broadcast_int(7);
    const F16 numbers = bits_to_float((row + broadcast_int(127)) << 23);
    const F16 within = fma(magnitude, look_up(kPerUnit, row), look_up(kPlace, row));
    const F16 place = min(max(within, numbers), numbers + numbers - 1.0f);
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
constexpr LogBounds kPoison = {127, -128};
INGOT_SIMD bool is_poison(LogBounds bounds) { return bounds.low > bounds.high; }
constexpr int kLogOctaves = 40;
constexpr float kLn2 = 0.693147181f;

// Of the binary logarithm, from one code to the next.
INGOT_SIMD float step_of(LogBounds bounds) {
  return static_cast<float>(bounds.high - bounds.low) * (1.0f / 254.0f);
}

// 2^(a + exponent), within 2e-7 where that is a normal number; exact where a is whole.
INGOT_SIMD F16 power_of_two(F16 a, int exponent) {
  const I16 whole = round_to_int(a);
  const F16 f = a - to_float(whole);  // in [-1/2, 1/2]
  F16 p = broadcast(0.00132647273f);  // (2^f - 1) / f, minimax
  p = fma(p, f, broadcast(0.00967151299f));
  p = fma(p, f, broadcast(0.0555073358f));
  p = fma(p, f, broadcast(0.240222424f));
  p = fma(p, f, broadcast(0.693147004f));
  p = fma(p, f, broadcast(1.0f));
  return p * bits_to_float((whole + broadcast_int(exponent + 127)) << 23);
}

// The binary logarithm of normal numbers, within 2e-7 and its own rounding; exact for powers of 2.
INGOT_SIMD F16 log_two(F16 a) {
  // a = m 2^e with m in [sqrt(1/2), sqrt(2))
  const I16 shifted = float_to_bits(a) - broadcast_int(0x3f3504f3);
  const I16 mantissa = (shifted & broadcast_int(0x007fffff)) + broadcast_int(0x3f3504f3);
  const F16 x = bits_to_float(mantissa) - 1.0f;
  F16 p = broadcast(-0.149733186f);  // log2(1 + x) / x, minimax
  p = fma(p, x, broadcast(0.235709608f));
  p = fma(p, x, broadcast(-0.24832283f));
  p = fma(p, x, broadcast(0.28686887f));
  p = fma(p, x, broadcast(-0.360263467f));
  p = fma(p, x, broadcast(0.480931163f));
  p = fma(p, x, broadcast(-0.721352458f));
  p = fma(p, x, broadcast(1.4426949f));
  return fma(p, x, to_float(shifted >> 23));
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
  I16 spoilt{};
  for_lanes(count, [&](int i, int n) {
    const F16 value = load(in + i);
    spoilt = spoilt | is_not_finite(value);
    const I16 counts = (value > zero()) & (lane_numbers() < broadcast_int(n));
    most = max(most, select(counts, value, zero()));
    negated_least = max(negated_least, select(counts, -value, broadcast(-__builtin_inff())));
  });
  if (any(spoilt)) return kPoison;
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
  if (is_poison(bounds)) {
    for_lanes(group.count, [&](int i, int) { store(out + i, broadcast(__builtin_nanf(""))); });
    return;
  }
  const float step = step_of(bounds);
  for_lanes(group.count, [&](int i, int n) {
    const I16 code = load_bytes(codes + i, n);
    const F16 value = power_of_two((to_float(code) - 1.0f) * step, bounds.low);
    store(out + i, select(code == I16{}, zero(), value));
  });
}

template <bool kStochastic>
void encode_log(const float* in, const StateGroup& group, void* values, void* extra) {
  std::uint8_t* codes = static_cast<std::uint8_t*>(values) + group.element;
  const LogBounds bounds = find_bounds(in, group.count);
  static_cast<LogBounds*>(extra)[group.group] = bounds;
  if (is_poison(bounds)) {
    for_lanes(group.count, [&](int i, int n) { store_bytes(codes + i, I16{}, n); });
    return;
  }
  const float step = step_of(bounds), inverse = 1.0f / power_of_two(bounds.low);
  const float per_step = step > 0 ? 1.0f / step : 0.0f;
  for_lanes(group.count, [&](int i, int n) {
    const F16 value = load(in + i);
    const F16 ratio = max(value * inverse, broadcast(1.0f));
    const F16 place = min(log_two(ratio) * per_step, broadcast(254.0f));
    I16 above = round_to_int(place);
    if constexpr (kStochastic) {
      // The probability of the upper neighbour that keeps the mean of the value, not of its
      // logarithm: (e^(f s) - 1) / (e^s - 1), to second order in the step s.
      const I16 below = round_to_int(place - 0.5f);
      const F16 fraction = place - to_float(below);
      const F16 chance = fraction * (1.0f - (1.0f - fraction) * (0.5f * kLn2 * step));
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
