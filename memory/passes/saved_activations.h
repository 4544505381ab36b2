// What becomes of activations between forward and backward: a pass over the micro-step of a program
// that was differentiated and has no other part yet (spec/memory.md B and E1).
//
// An activation that backward reads is kept as it is, or in 8 bits (quantized after its last use in
// forward, restored before its first in backward), or computed again from what is kept. Forward
// itself is the same to the bit whatever is chosen, and so is backward where nothing is in 8 bits.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/program/program.h"

namespace ingot {

enum class Storage : std::uint8_t { keep, int8, recompute };
std::string_view name_of(Storage storage);

// An activation that forward makes and backward reads.
struct SavedActivation {
  int tensor = -1;   // id
  std::string name;  // of the tensor, with " 2", " 3"... where a layer has several of that name
  int layer = -1;
  std::int64_t bytes = 0;       // kept as it is
  std::int64_t int8_bytes = 0;  // codes and scales; 0: must not be kept in 8 bits
  bool recomputable = false;
  // What computing it again takes, from other saved activations: the ops to run once more.
  std::vector<std::size_t> recompute_ops;
};

// All of them, in the order forward makes them.
std::vector<SavedActivation> saved_activations(const Program& program);

// saved: what saved_activations() said of this program; storage: by tensor id. Throws
// std::logic_error for a choice that is not offered there.
void store_activations(Program& program, std::span<const SavedActivation> saved,
                       const std::vector<Storage>& storage);

// Codes of quantized activations share a scale in groups of this many columns.
constexpr std::int64_t kActivationGroup = 128;

}  // namespace ingot
