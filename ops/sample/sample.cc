#include "ops/sample/sample.h"

#include <stdexcept>

#include "ops/sample/pick_token.h"

namespace ingot {

const OpKind kSample{.name = "sample"};

Sampled sample(Program& program, Tensor logits, Tensor rows) {
  const std::int64_t sequences = program.rows(logits);
  if (program.dtype(logits) != DType::f32 || program.dtype(rows) != DType::u8 ||
      program.rows(rows) != sequences ||
      rows.columns != static_cast<std::int64_t>(sizeof(SampleRow))) {
    throw std::logic_error("sample: operands do not fit");
  }
  const auto output = [&](std::string_view name, DType dtype) {
    return program.add_tensor({.name = std::string(name),
                               .shape = {sequences},
                               .dtype = dtype,
                               .role = Role::output,
                               .lifetime = Lifetime::parts});
  };
  const Sampled sampled{output("picked", DType::i32), output("log_probability", DType::f32)};
  program.append(kSample, {logits, rows}, {sampled.tokens, sampled.log_probability});
  return sampled;
}

}  // namespace ingot
