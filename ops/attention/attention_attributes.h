// What attention ops note of their operands, and what kernels read of it.
#pragma once

#include <string>

#include "ops/attention/attention.h"

namespace ingot {

// batch, sequence, query_heads, key_value_heads, scale, {query,key,value}_{offset,stride,size}.
Attributes attention_attributes(const AttentionOptions& options, const AttentionHeads& query,
                                const AttentionHeads& key, const AttentionHeads& value);

// Head h of a token begins at element at(token, h) of the operand, in elements.
struct HeadPlaces {
  HeadPlaces(const Program& program, const Op& op, int input, const std::string& name);

  std::int64_t at(std::int64_t token, std::int64_t head) const {
    return token * row_stride + offset + head * head_stride;
  }

  std::int64_t offset, head_stride, size, row_stride;
};

// Of an op whose first three inputs are query, key and value.
struct AttentionShape {
  AttentionShape(const Program& program, const Op& op);

  std::int64_t output_columns() const { return query_heads * value.size; }

  std::int64_t batch, sequence, query_heads, kv_heads;
  std::int64_t group;  // query heads of a key/value head
  HeadPlaces query, key, value;
  float scale;
};

}  // namespace ingot
