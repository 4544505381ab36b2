// The tensors of a checkpoint that hold one state of one weight part, raw, in the form it was
// trained in (ops/state_forms):
//   NAME                    F32, BF16, F16, or I8 codes (U8 for moments)
//   NAME.residual           I8, beside BF16
//   NAME.scale              F32 [rows, groups of 128], beside I8 and U8
//   NAME.bounds             I8 [rows, 2 * groups], beside U8
// where NAME is the weight's Hugging Face name, or that and ".first_moment" or ".second_moment". A
// part that is a rectangle of such a tensor is stored as one of its blocks, of that shape: behind
// NAME stands where it begins, "@64,0", and the manifest has it under "blocks":
//   {"NAME@64,0": {"tensor": "NAME", "whole": [128, 512], "first": [64, 0]}}
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/checkpoint_files.h"
#include "io/convert.h"
#include "ops/state_forms/state_forms.h"
#include "weights/cut.h"

namespace ingot {

// Changes when a form's codes come to mean something else; stands in the manifest.
constexpr int kStateFormsVersion = 1;

// What is written for a state of that form and shape: the values, and what is beside them.
struct StateDeclarations {
  TensorDeclaration values;
  std::optional<TensorDeclaration> extra;
};
StateDeclarations declare_state(const std::string& name, StateForm form,
                                const std::vector<std::int64_t>& shape);

// A state in an open checkpoint, or a block of one.
struct StoredBlock {
  StateForm form = StateForm::f32;
  const SafetensorsEntry* values = nullptr;
  const SafetensorsEntry* extra = nullptr;
  Box box;

  StateLayout layout() const { return {box.shape.rows(), box.shape.last()}; }
};

// Error(data) when the tensor is missing, of a type or shape that no state has, or what belongs
// beside it is missing or does not fit.
StoredBlock find_block(const CheckpointReader& reader, const std::string& name, Point first = {});

// None for what is no shape of ours: more than four dimensions, or none.
std::optional<Shape> shape_of(const std::vector<std::int64_t>& dims);
std::vector<std::int64_t> dims_of(const Shape& shape);

// Rows in fp32. What is not a form of ours (fp64 and so on) converts as io/convert.h does.
void read_rows(const StoredBlock& block, RowRange rows, std::span<float> values);

}  // namespace ingot
