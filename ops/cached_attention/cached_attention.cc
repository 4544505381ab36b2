#include "ops/cached_attention/cached_attention.h"

#include <stdexcept>
#include <string>
#include <utility>

#include "ops/attention/attention_attributes.h"

namespace ingot {
namespace {

// Taken when every position is the last one: what decoding at full context costs.
Cost cached_attention_cost(const Program& program, const Op& op) {
  const Attributes& a = op.attributes;
  const double rows = a.real("batch") * a.real("sequence") * a.real("query_heads");
  const double width = a.real("query_size") + a.real("value_size");
  const double cache = a.real("batch") * a.real("key_value_heads") * a.real("capacity") * width;
  return {2 * rows * a.real("capacity") * width, cache * size_of(program.dtype(op.inputs[0]))};
}

void check(bool good, const char* what) {
  if (!good) throw std::logic_error(std::string("cached_attention: ") + what);
}

void check_cache(const Program& program, Tensor cache, const AttentionHeads& heads,
                 const AttentionOptions& options) {
  const TensorInfo& info = program.info(cache);
  check(info.shape.rank() == 4 && info.shape[0] >= options.batch &&
            info.shape[1] == options.key_value_heads && info.shape[3] == heads.size &&
            program.is_whole(cache) && info.dtype == program.dtype(heads.tensor),
        "a cache must be [batch or more, key_value_heads, capacity, size] in the operands' dtype");
}

void check_heads(const Program& program, const AttentionHeads& heads, std::int64_t count,
                 const AttentionOptions& options) {
  check(heads.size >= 1 && heads.offset >= 0 && (count == 1 || heads.stride >= heads.size) &&
            heads.offset + (count - 1) * heads.stride + heads.size <= heads.tensor.columns,
        "heads don't fit into their columns");
  check(program.rows(heads.tensor) == options.batch * options.sequence,
        "operands must have batch * sequence rows");
}

}  // namespace

const OpKind kCachedAttention{.name = "cached_attention", .cost = cached_attention_cost};

Tensor cached_attention(Program& program, const AttentionHeads& query, const AttentionHeads& key,
                        const AttentionHeads& value, Tensor key_cache, Tensor value_cache,
                        Tensor positions, const AttentionOptions& options) {
  check(options.key_value_heads >= 1 && options.query_heads % options.key_value_heads == 0 &&
            options.scale > 0,
        "bad options");
  check_heads(program, query, options.query_heads, options);
  check_heads(program, key, options.key_value_heads, options);
  check_heads(program, value, options.key_value_heads, options);
  check(query.size == key.size, "query heads and key heads differ in size");
  const DType dtype = program.dtype(query.tensor);
  check(
      is_float(dtype) && program.dtype(key.tensor) == dtype && program.dtype(value.tensor) == dtype,
      "operands differ in dtype");
  check_cache(program, key_cache, key, options);
  check_cache(program, value_cache, value, options);
  const std::int64_t capacity = program.info(key_cache).shape[2];
  check(program.info(value_cache).shape[2] == capacity, "caches differ in capacity");
  const std::int64_t tokens = options.batch * options.sequence;
  check(
      program.dtype(positions) == DType::i32 && program.info(positions).shape.elements() == tokens,
      "positions must be [tokens] i32");

  const Tensor output =
      program.activation("attention", {tokens, options.query_heads * value.size}, dtype);
  Attributes attributes = attention_attributes(options, query, key, value);
  attributes.set("capacity", static_cast<double>(capacity));
  program.append(kCachedAttention,
                 {query.tensor, key.tensor, value.tensor, positions, key_cache, value_cache},
                 {output, key_cache, value_cache}, std::move(attributes));
  return output;
}

}  // namespace ingot
