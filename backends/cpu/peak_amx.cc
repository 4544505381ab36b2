#include "backends/cpu/peak_amx.h"

#include "backends/cpu/amx_tiles.h"

#if defined(__AMX_TILE__)
namespace ingot::cpu::INGOT_ISA {
namespace {

// All four sums in turn, on registers: operations of each are 16 x 16 sums x 64 bytes of depth.
template <class Product>
double multiply_add(std::int64_t iterations) {
  configure_tiles(2 * kTile);
  clear_sums<2, 2>();
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (std::int64_t i = 0; i < iterations; ++i) {
    Product::template add<0, 4, 6>();
    Product::template add<1, 4, 7>();
    Product::template add<2, 5, 6>();
    Product::template add<3, 5, 7>();
  }
  _tile_release();
  return 4 * 2.0 * kTile * kTile * Product::kDepth * static_cast<double>(iterations);
}

}  // namespace

extern const PeakAmx peak_amx = {multiply_add<Bf16Product>, multiply_add<Int8Product>};

}  // namespace ingot::cpu::INGOT_ISA
#else  // another kind of CPU, which never asks for it
namespace ingot::cpu::INGOT_ISA {
extern const PeakAmx peak_amx = {};
}
#endif
