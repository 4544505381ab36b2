#include "ops/latent_attention/latent_attention.h"

#include <stdexcept>
#include <string>

namespace ingot {
namespace {

// Taken when every position is the last one: what decoding at full context costs.
Cost latent_attention_cost(const Program& program, const Op& op) {
  const Attributes& a = op.attributes;
  const double rows = a.real("batch") * a.real("sequence") * a.real("heads");
  const double rank = a.real("rank"), rotary = a.real("rotary");
  const double absorbed = rows * rank * (a.real("nope") + a.real("value"));
  const double attended = rows * a.real("capacity") * (2 * rank + rotary);
  const double weights = a.real("heads") * rank * (a.real("nope") + a.real("value"));
  const double cache = a.real("batch") * a.real("capacity") * (rank + rotary);
  return {2 * (absorbed + attended), (weights + cache) * size_of(program.dtype(op.inputs[0]))};
}

void check(bool good, const char* what) {
  if (!good) throw std::logic_error(std::string("latent_attention: ") + what);
}

}  // namespace

const OpKind kLatentAttention{.name = "latent_attention", .cost = latent_attention_cost};

Tensor latent_attention(Program& program, Tensor query, Tensor latent, Tensor key_rope, Tensor kv_b,
                        Tensor cache, Tensor positions, const LatentAttentionOptions& options) {
  const AttentionOptions& attention = options.attention;
  const std::int64_t tokens = attention.batch * attention.sequence;
  const std::int64_t heads = attention.query_heads, rank = latent.columns;
  check(heads >= 1 && options.nope >= 1 && options.rotary >= 1 && options.value >= 1 &&
            attention.scale > 0,
        "bad options");
  check(query.columns == heads * (options.nope + options.rotary) &&
            key_rope.columns == options.rotary,
        "query or key_rope has the wrong number of columns");
  check(program.rows(query) == tokens && program.rows(latent) == tokens &&
            program.rows(key_rope) == tokens,
        "operands must have batch * sequence rows");
  check(kv_b.columns == rank && program.rows(kv_b) == heads * (options.nope + options.value),
        "kv_b must be [heads * (nope + value), rank]");
  const TensorInfo& cached = program.info(cache);
  check(cached.shape.rank() == 3 && cached.shape[0] >= attention.batch &&
            cached.shape[2] == rank + options.rotary && program.is_whole(cache),
        "the cache must be [batch or more, capacity, rank + rotary]");
  const DType dtype = program.dtype(query);
  check(is_float(dtype), "operands must be floats");
  for (const Tensor t : {latent, key_rope, kv_b, cache}) {
    check(program.dtype(t) == dtype, "operands differ in dtype");
  }
  check(
      program.dtype(positions) == DType::i32 && program.info(positions).shape.elements() == tokens,
      "positions must be [tokens] i32");

  const std::int64_t capacity = cached.shape[1];
  const Tensor output = program.activation("attention", {tokens, heads * options.value}, dtype);
  const auto number = [](std::int64_t n) { return static_cast<double>(n); };
  program.append(kLatentAttention, {query, latent, key_rope, kv_b, positions, cache},
                 {output, cache},
                 {{"batch", number(attention.batch)},
                  {"sequence", number(attention.sequence)},
                  {"heads", number(heads)},
                  {"nope", number(options.nope)},
                  {"rotary", number(options.rotary)},
                  {"value", number(options.value)},
                  {"rank", number(rank)},
                  {"capacity", number(capacity)},
                  {"scale", attention.scale}});
  return output;
}

}  // namespace ingot
