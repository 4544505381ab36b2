#include "ops/attention/attention.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/program/autodiff.h"
#include "ops/attention/attention_attributes.h"

namespace ingot {
namespace {

void attention_gradient(Gradients& gradients, const Op& op);

// Two products for each pair of a query and a key it may see.
Cost attention_cost(const Program& program, const Op& op) {
  const Attributes& a = op.attributes;
  const double sequence = a.real("sequence");
  const double pairs = a.real("batch") * a.real("query_heads") * sequence * (sequence + 1) / 2;
  double bytes = 0;
  for (const auto* operands : {&op.inputs, &op.outputs}) {
    for (std::size_t i = 0; i < operands->size(); ++i) {
      const Tensor t = (*operands)[i];
      const auto same = std::find(operands->begin(), operands->end(), t);
      if (!t || same - operands->begin() != static_cast<std::ptrdiff_t>(i)) continue;
      bytes += static_cast<double>(program.rows(t) * t.columns * size_of(program.dtype(t)));
    }
  }
  return {2 * pairs * (a.real("query_size") + a.real("value_size")), bytes};
}

// Five products: the scores again, dP, dV, dK, dQ.
Cost backward_cost(const Program& program, const Op& op) {
  Cost cost = attention_cost(program, op);
  const Attributes& a = op.attributes;
  const double query = a.real("query_size"), value = a.real("value_size");
  cost.flops *= (3 * query + 2 * value) / (query + value);
  return cost;
}

}  // namespace

const OpKind kAttention{
    .name = "attention", .gradient = attention_gradient, .cost = attention_cost};
const OpKind kAttentionBackward{.name = "attention_backward", .cost = backward_cost};

namespace {

struct Piece {
  Tensor tensor;
  std::int64_t offset, stride, size, heads;
};

// The gradient op writes a tensor's columns through its heads only: they must be all, each once.
void check_coverage(const Program& program, Tensor tensor, const std::vector<Piece>& pieces) {
  std::vector<int> times(tensor.columns);
  for (const Piece& piece : pieces) {
    if (!(piece.tensor == tensor)) continue;
    for (std::int64_t head = 0; head < piece.heads; ++head) {
      const auto first = times.begin() + piece.offset + head * piece.stride;
      std::for_each(first, first + piece.size, [](int& n) { ++n; });
    }
  }
  if (std::any_of(times.begin(), times.end(), [](int n) { return n != 1; })) {
    throw std::logic_error("attention: a gradient flows into " + program.info(tensor).name +
                           ", but its heads don't cover each column once");
  }
}

Piece piece_of(const Op& op, int input, const std::string& name, std::string_view heads) {
  const Attributes& a = op.attributes;
  return {op.inputs[input], a.integer(name + "_offset"), a.integer(name + "_stride"),
          a.integer(name + "_size"), a.integer(heads)};
}

void attention_gradient(Gradients& gradients, const Op& op) {
  const Tensor gradient = gradients.of(op.outputs[0]);
  if (!gradient) return;
  Program& program = gradients.program();
  std::vector<Piece> pieces = {piece_of(op, 0, "query", "query_heads"),
                               piece_of(op, 1, "key", "key_value_heads"),
                               piece_of(op, 2, "value", "key_value_heads")};
  if (op.inputs[3]) pieces.push_back({op.inputs[3], 0, 0, op.inputs[3].columns, 1});

  Attributes attributes = op.attributes;
  std::vector<Gradients::Target> targets(4);
  constexpr std::string_view kAccumulate[] = {"query_accumulate", "key_accumulate",
                                              "value_accumulate", "rope_accumulate"};
  for (int i = 0; i < 4; ++i) {
    const Tensor input = op.inputs[i];
    const auto same = std::find(op.inputs.begin(), op.inputs.begin() + i, input);
    if (same != op.inputs.begin() + i) {
      targets[i] = targets[same - op.inputs.begin()];
    } else if (input && gradients.wanted(input)) {
      check_coverage(program, input, pieces);
      targets[i] = gradients.into(input);
    }
    attributes.set(kAccumulate[i], targets[i].accumulate);
  }
  if (std::none_of(targets.begin(), targets.end(), [](const auto& t) { return bool(t); })) return;
  program.append(kAttentionBackward,
                 {op.inputs[0], op.inputs[1], op.inputs[2], op.inputs[3], op.outputs[0],
                  op.outputs[1], gradient},
                 {targets[0].tensor, targets[1].tensor, targets[2].tensor, targets[3].tensor},
                 std::move(attributes));
}

void check_heads(const Program& program, const AttentionHeads& heads, std::int64_t count,
                 std::int64_t tokens, DType dtype) {
  if (heads.size < 1 || heads.offset < 0 || (count > 1 && heads.stride < heads.size) ||
      heads.offset + (count - 1) * heads.stride + heads.size > heads.tensor.columns) {
    throw std::logic_error("attention: heads don't fit into the columns of " +
                           program.info(heads.tensor).name);
  }
  if (program.rows(heads.tensor) != tokens || program.dtype(heads.tensor) != dtype ||
      !is_float(dtype)) {
    throw std::logic_error("attention: operands differ in rows or dtype");
  }
}

}  // namespace

Tensor attention(Program& program, const AttentionHeads& query, const AttentionHeads& key,
                 const AttentionHeads& value, Tensor key_rope, const AttentionOptions& options) {
  const std::int64_t tokens = options.batch * options.sequence;
  const DType dtype = program.dtype(query.tensor);
  if (options.batch < 1 || options.sequence < 1 || options.key_value_heads < 1 ||
      options.query_heads % options.key_value_heads != 0 || !(options.scale > 0)) {
    throw std::logic_error("attention: bad options");
  }
  check_heads(program, query, options.query_heads, tokens, dtype);
  check_heads(program, key, options.key_value_heads, tokens, dtype);
  check_heads(program, value, options.key_value_heads, tokens, dtype);
  const std::int64_t rope = key_rope ? key_rope.columns : 0;
  if (key_rope) {
    check_heads(program, {.tensor = key_rope, .size = rope}, 1, tokens, dtype);
  }
  if (query.size != key.size + rope) {
    throw std::logic_error("attention: query heads and key heads differ in size");
  }
  const Tensor output =
      program.activation("attention", {tokens, options.query_heads * value.size}, dtype);
  const Tensor lse = program.activation("lse", {tokens, options.query_heads}, DType::f32);
  program.info(lse).saving = Saving::exact;
  program.append(kAttention, {query.tensor, key.tensor, value.tensor, key_rope}, {output, lse},
                 attention_attributes(options, query, key, value));
  return output;
}

}  // namespace ingot
