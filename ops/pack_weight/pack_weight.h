// A weight once more, in the order in which the backend's products read it: made once a step, so
// that the products of each micro-step need not reorder it.
#pragma once

#include <optional>

#include "engine/program/program.h"

namespace ingot {

// Which product the layout is for: of linear() and grouped_linear(), or of their gradients with
// respect to their inputs.
enum class PackedFor : std::uint8_t { forward, dgrad };

// weight: [out, in] or [experts, out, in], a float type, whole. Returns bytes whose number and
// meaning are the backend's alone (Kernel::output_bytes). They live as long as the part of the op:
// through all micro-steps of a step, but not through its update.
// int8_block: for products that are computed in int8, with scales of so many neighbours along their
// depth (0: of all); the bytes are then codes.
Tensor pack_weight(Program& program, Tensor weight, PackedFor product,
                   std::optional<std::int64_t> int8_block = {});

// Gives a product (linear, grouped_linear or a dgrad op) its weight packed as well, as its last
// input. saved: share of its time that it then needs less, for CostModel; packing, which happens
// elsewhere, already taken off.
void use_packed_weight(Op& product, Tensor packed, double saved);

// That input of a product, or none; which input a product reads its weight from; and that share.
Tensor packed_weight_of(const Op& product);
int weight_input_of(const Op& product);
double share_saved_by_packing(const Op& product);

//   pack_weight   inputs weight   outputs packed   attributes dgrad, int8, int8_block
// Runs in micro-step 0 alone: so the bytes are right after every update, after weights were loaded
// and after a resume, and checkpoints need not know them.
extern const OpKind kPackWeight;

}  // namespace ingot
