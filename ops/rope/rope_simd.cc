#include "ops/rope/rope_simd.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

// (a, b) turned by an angle.
INGOT_SIMD void rotate(F16& a, F16& b, F16 cosine, F16 sine) {
  const F16 turned = a * cosine - b * sine;
  b = b * cosine + a * sine;
  a = turned;
}

template <class T>
void split(T* x, std::int64_t count, std::int64_t stride, std::int64_t ahead, const float* angles,
           std::int64_t half, float sign) {
  for (std::int64_t head = 0; head < count; ++head, x += stride) {
    for (std::int64_t i = 0; i < half; i += kLanes) {
      const int n = lanes_left(half - i);
      __builtin_prefetch(x + ahead + i);
      __builtin_prefetch(x + ahead + half + i);
      F16 a = load_partial(x + i, n), b = load_partial(x + half + i, n);
      rotate(a, b, load_partial(angles + i, n), load_partial(angles + half + i, n) * sign);
      store_partial(x + i, a, n);
      store_partial(x + half + i, b, n);
    }
  }
}

template <class T>
void adjacent(T* x, std::int64_t count, std::int64_t stride, std::int64_t ahead,
              const float* angles, std::int64_t half, float sign) {
  for (std::int64_t head = 0; head < count; ++head, x += stride) {
    for (std::int64_t i = 0; i < half; i += kLanes) {
      const int n = lanes_left(half - i);
      const int low = n < kLanes / 2 ? 2 * n : kLanes, high = 2 * n - low;
      T* at = x + 2 * i;
      __builtin_prefetch(at + ahead);
      __builtin_prefetch(at + ahead + kLanes);
      float pairs[2 * kLanes], even[kLanes], odd[kLanes];
      store(pairs, load_partial(at, low));
      store(pairs + kLanes, load_partial(at + low, high));
      for (int lane = 0; lane < kLanes; ++lane) {
        even[lane] = pairs[2 * lane];
        odd[lane] = pairs[2 * lane + 1];
      }
      F16 a = load(even), b = load(odd);
      rotate(a, b, load_partial(angles + i, n), load_partial(angles + half + i, n) * sign);
      store(even, a);
      store(odd, b);
      for (int lane = 0; lane < kLanes; ++lane) {
        pairs[2 * lane] = even[lane];
        pairs[2 * lane + 1] = odd[lane];
      }
      store_partial(at, load(pairs), low);
      store_partial(at + low, load(pairs + kLanes), high);
    }
  }
}

template <class T>
constexpr RopeFunctions<T> kFunctions = {adjacent<T>, split<T>};

}  // namespace

const RopeKernels rope_kernels = {kFunctions<float>, kFunctions<BFloat16>, kFunctions<Half>};

}  // namespace ingot::cpu::INGOT_ISA
