#include "ops/pack_weight/pack_weight.h"

#include <stdexcept>

namespace ingot {

const OpKind kPackWeight{.name = "pack_weight"};

Tensor pack_weight(Program& program, Tensor weight, PackedFor product,
                   std::optional<std::int64_t> int8_block) {
  const TensorInfo& info = program.info(weight);
  if (info.shape.rank() < 2 || info.shape.rank() > 3 || !is_float(info.dtype) ||
      !program.is_whole(weight)) {
    throw std::logic_error("pack_weight: " + info.name + " is not a matrix or one for each expert");
  }
  const bool dgrad = product == PackedFor::dgrad;
  // One column: a handle stays right when the backend says how many bytes there are.
  TensorInfo packed{.name = info.name + (dgrad ? " packed for dgrad" : " packed"),
                    .shape = {info.bytes(), 1},
                    .dtype = DType::u8,
                    .role = Role::weight,
                    .lifetime = Lifetime::parts,
                    .layer = info.layer};
  const Tensor result = program.add_tensor_as_named(std::move(packed));
  Op& op = program.append(kPackWeight, {weight}, {result},
                          {{"dgrad", dgrad},
                           {"int8", int8_block.has_value()},
                           {"int8_block", static_cast<double>(int8_block.value_or(0))}});
  op.when = When::first;
  return result;
}

void use_packed_weight(Op& product, Tensor packed, double saved) {
  product.inputs.push_back(packed);
  product.attributes.set("packed", saved);
}

Tensor packed_weight_of(const Op& product) {
  return product.attributes.has("packed") ? product.inputs.back() : Tensor{};
}

int weight_input_of(const Op& product) {
  return packed_weight_of(product) ? static_cast<int>(product.inputs.size()) - 1 : 1;
}

double share_saved_by_packing(const Op& product) {
  return product.attributes.has("packed") ? product.attributes.real("packed") : 0;
}

}  // namespace ingot
