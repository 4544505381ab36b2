// Quantizing and dequantizing inside of the row-wise ops that make or read the values, while a row
// is in the cache (ops/quantize/row_codes.h): a pass over a program that has its kQuantize and
// kDequantize ops already. The bits of a run stay the same.
#pragma once

#include "engine/program/program.h"

namespace ingot {

// A kQuantize op goes into the op that makes its values, or into one before it that reads them; a
// kDequantize op into all ops that read its values, if they can take codes. Values that nothing
// reads any more are not written.
void fuse_codes(Program& program);

}  // namespace ingot
