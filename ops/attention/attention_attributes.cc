#include "ops/attention/attention_attributes.h"

namespace ingot {

Attributes attention_attributes(const AttentionOptions& options, const AttentionHeads& query,
                                const AttentionHeads& key, const AttentionHeads& value) {
  const auto number = [](std::int64_t n) { return static_cast<double>(n); };
  Attributes attributes{{"batch", number(options.batch)},
                        {"sequence", number(options.sequence)},
                        {"query_heads", number(options.query_heads)},
                        {"key_value_heads", number(options.key_value_heads)},
                        {"scale", options.scale}};
  const auto add = [&](const std::string& name, const AttentionHeads& heads) {
    attributes.set(name + "_offset", number(heads.offset));
    attributes.set(name + "_stride", number(heads.stride));
    attributes.set(name + "_size", number(heads.size));
  };
  add("query", query);
  add("key", key);
  add("value", value);
  return attributes;
}

HeadPlaces::HeadPlaces(const Program& program, const Op& op, int input, const std::string& name)
    : offset(op.attributes.integer(name + "_offset")),
      head_stride(op.attributes.integer(name + "_stride")),
      size(op.attributes.integer(name + "_size")),
      row_stride(program.row_stride(op.inputs[input])) {}

AttentionShape::AttentionShape(const Program& program, const Op& op)
    : batch(op.attributes.integer("batch")),
      sequence(op.attributes.integer("sequence")),
      query_heads(op.attributes.integer("query_heads")),
      kv_heads(op.attributes.integer("key_value_heads")),
      group(query_heads / kv_heads),
      query(program, op, 0, "query"),
      key(program, op, 1, "key"),
      value(program, op, 2, "value"),
      scale(static_cast<float>(op.attributes.real("scale"))) {}

}  // namespace ingot
