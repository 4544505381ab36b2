// The softmax is made again from the scores and the saved log sum of exponents:
//   P = exp(S scale - lse)      dP = dO V^T      dS = P (dP - delta),  delta = rowsum(dO O)
//   dV = P^T dO                 dK = dS^T Q scale                      dQ = dS K scale
// Queries go by in units of 64, a few units share the packing of the keys; sums over queries are
// kept in fp32 for the whole sequence, so that every product is added in a fixed order.
#include "ops/attention/flash_layout.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

constexpr float kLog2E = 1.44269504f;

// One unit: 64 queries of one head.
struct UnitState {
  Word* query_columns;     // right [words(key size), 64]
  Word* query_pairs;       // right [words(64), key size]
  Word* gradient_columns;  // of the output: right [words(value size), 64]
  Word* gradient_pairs;    // right [words(64), value size]
  float* query_gradient;   // [key size, 64]
  float* lse;              // [64], base 2
  float* delta;            // [64]
  std::int64_t head, first, count;
};

template <class Format>
struct Layout {
  Layout(std::byte* memory, std::int64_t key_size, std::int64_t value_size) {
    Carver carver(memory);
    block_words = kBlock / Format::kPerWord;
    key_stride = padded(words<Format>(key_size));
    value_stride = padded(words<Format>(value_size));
    key_columns = padded(key_size);
    value_columns = padded(value_size);
    key_rows = carver.take(kBlock * key_stride);
    value_rows = carver.take(kBlock * value_stride);
    keys_turned = carver.take(key_columns * block_words);
    scores = (float*)carver.take(kBlock * kBlock);
    weight_gradients = (float*)carver.take(kBlock * kBlock);
    weights = carver.take(kBlock * block_words);
    score_gradients = carver.take(kBlock * block_words);
    // Of Fp32 the same words serve as left and as right operand.
    score_gradient_pairs =
        Format::kPerWord == 1 ? score_gradients : carver.take(block_words * kBlock);
    scratch = carver.take(kBlock * (key_columns > value_columns ? key_columns : value_columns));
    for (UnitState& unit : units) {
      unit.query_columns = carver.take(key_stride * kBlock);
      unit.query_pairs = carver.take(block_words * key_columns);
      unit.gradient_columns = carver.take(value_stride * kBlock);
      unit.gradient_pairs = carver.take(block_words * value_columns);
      unit.query_gradient = (float*)carver.take(key_columns * kBlock);
      unit.lse = (float*)carver.take(kBlock);
      unit.delta = (float*)carver.take(kBlock);
    }
    bytes = carver.bytes();
  }

  std::int64_t block_words, key_stride, value_stride, key_columns, value_columns;
  Word* key_rows;              // left [64, words(key size)]
  Word* value_rows;            // left [64, words(value size)]
  Word* keys_turned;           // left [key size, words(64)]
  float* scores;               // S [64 keys, 64 queries]
  float* weight_gradients;     // dP [64 keys, 64 queries]
  Word* weights;               // P: left [64 keys, words(64)]
  Word* score_gradients;       // dS: left [64 keys, words(64)]
  Word* score_gradient_pairs;  // dS: right [words(64), 64 queries]
  Word* scratch;
  UnitState units[kFlashUnits];
  std::int64_t bytes;
};

template <class T>
float dot(const T* a, const T* b, std::int64_t count) {
  F16 sum = zero();
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int n = lanes_left(count - i);
    sum = fma(load_partial(a + i, n), load_partial(b + i, n), sum);
  }
  return horizontal_sum(sum);
}

// to = factor * sum of `parts` rows of sums; or added to it.
template <class T>
void sum_parts(const float* from, std::int64_t part_stride, std::int64_t parts, std::int64_t count,
               float factor, T* to, bool add) {
  for (std::int64_t c = 0; c < count; c += kLanes) {
    const int n = lanes_left(count - c);
    F16 sum = load_partial(from + c, n);
    for (std::int64_t part = 1; part < parts; ++part) {
      sum += load_partial(from + part * part_stride + c, n);
    }
    sum *= broadcast(factor);
    if (add) sum += load_partial(to + c, n);
    store_partial(to + c, sum, n);
  }
}

template <class Format, class T>
void begin_unit(const FlashBackward<T>& task, std::int64_t index, UnitState& unit,
                const Layout<Format>& layout) {
  const std::int64_t key_size = task.keys.key_size + task.keys.rope_size;
  const std::int64_t value_size = task.keys.value_size;
  unit.head = index % task.group;
  unit.first = index / task.group * kBlock;
  unit.count = smaller(kBlock, task.sequence - unit.first);

  const T* query = task.query + unit.first * task.query_stride + unit.head * task.query_head;
  pack_columns<Format>(query, task.query_stride, unit.count, key_size, unit.query_columns,
                       layout.scratch);
  const std::int64_t output_head = unit.head * task.output_head;
  const T* gradient = task.output_gradient + unit.first * task.output_gradient_stride + output_head;
  pack_columns<Format>(gradient, task.output_gradient_stride, unit.count, value_size,
                       unit.gradient_columns, layout.scratch);

  fill_zero(unit.query_pairs, layout.block_words * layout.key_columns);
  pack_pairs<Format>(query, task.query_stride, unit.count, key_size, unit.query_pairs,
                     layout.key_columns, 0);
  fill_zero(unit.gradient_pairs, layout.block_words * layout.value_columns);
  pack_pairs<Format>(gradient, task.output_gradient_stride, unit.count, value_size,
                     unit.gradient_pairs, layout.value_columns, 0);

  fill_zero((Word*)unit.query_gradient, layout.key_columns * kBlock);
  for (std::int64_t i = 0; i < kBlock; ++i) {
    unit.lse[i] = unit.delta[i] = 0;
    if (i >= unit.count) continue;
    const std::int64_t token = unit.first + i;
    unit.lse[i] = task.lse[token * task.lse_stride + unit.head];
    unit.delta[i] = dot(task.output + token * task.output_stride + output_head,
                        gradient + i * task.output_gradient_stride, value_size);
  }
}

// P and dS from S and dP, for `rows` keys (even) and all 64 queries. On the diagonal block, query i
// sees the keys 0..i.
template <class Format, bool kDiagonal>
void differentiate_softmax(const Layout<Format>& layout, const UnitState& unit, std::int64_t rows,
                           float scale) {
  for (int column = 0; column < kBlock; column += kLanes) {
    const F16 lse = load(unit.lse + column), delta = load(unit.delta + column);
    const I16 query = lane_numbers() + broadcast_int(column);
    for (std::int64_t row = 0; row < rows; row += 2) {
      F16 gradient[2];
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
        const std::int64_t at = (row + i) * kBlock + column;
        F16 weight = exp2_of_negative(fma(load(layout.scores + at), broadcast(scale), -lse));
        gradient[i] = weight * (load(layout.weight_gradients + at) - delta);
        if constexpr (kDiagonal) {
          const I16 hidden = broadcast_int(static_cast<int>(row) + i) > query;
          weight = select(hidden, zero(), weight);
          gradient[i] = select(hidden, zero(), gradient[i]);
        }
        store((typename Format::Element*)layout.weights + at, weight);
        store((typename Format::Element*)layout.score_gradients + at, gradient[i]);
      }
      if constexpr (Format::kPerWord == 2) {
        store_pair<Format>(layout.score_gradient_pairs + row / 2 * kBlock + column, kBlock,
                           gradient[0], gradient[1]);
      }
    }
  }
}

// The block of keys [first, first + rows) and one unit that sees it.
template <class Format>
void accumulate(Layout<Format>& layout, UnitState& unit, const FlashSums& sums, std::int64_t first,
                std::int64_t rows, std::int64_t key_size, std::int64_t value_size, float scale) {
  const bool diagonal = unit.first == first;
  std::int32_t visible[kBlockVectors];
  for (int v = 0; v < kBlockVectors; ++v) {
    const std::int64_t seen = diagonal ? smaller(rows, (v + 1) * kLanes) : rows;
    visible[v] = static_cast<std::int32_t>(seen);
  }
  TileProduct scores{.left = layout.key_rows,
                     .left_stride = layout.key_stride,
                     .right = unit.query_columns,
                     .right_stride = kBlock,
                     .product = layout.scores,
                     .product_stride = kBlock,
                     .rows = rows,
                     .columns = kBlock,
                     .depth = words<Format>(key_size)};
  multiply_visible_rows<Format>(scores, visible);
  TileProduct weight_gradients = scores;
  weight_gradients.left = layout.value_rows;
  weight_gradients.left_stride = layout.value_stride;
  weight_gradients.right = unit.gradient_columns;
  weight_gradients.product = layout.weight_gradients;
  weight_gradients.depth = words<Format>(value_size);
  multiply_visible_rows<Format>(weight_gradients, visible);

  const std::int64_t even_rows = (rows + 1) / 2 * 2;
  if (diagonal) {
    differentiate_softmax<Format, true>(layout, unit, even_rows, scale);
  } else {
    differentiate_softmax<Format, false>(layout, unit, even_rows, scale);
  }

  const TileProduct value_gradient{.left = layout.weights,
                                   .left_stride = layout.block_words,
                                   .right = unit.gradient_pairs,
                                   .right_stride = layout.value_columns,
                                   .product = sums.value + first * layout.value_columns,
                                   .product_stride = layout.value_columns,
                                   .rows = rows,
                                   .columns = layout.value_columns,
                                   .depth = words<Format>(unit.count)};
  const TileProduct key_gradient{.left = layout.score_gradients,
                                 .left_stride = layout.block_words,
                                 .right = unit.query_pairs,
                                 .right_stride = layout.key_columns,
                                 .product = sums.key + first * layout.key_columns,
                                 .product_stride = layout.key_columns,
                                 .rows = rows,
                                 .columns = layout.key_columns,
                                 .depth = words<Format>(unit.count)};
  if (diagonal) {
    multiply_triangle<Format>(value_gradient);
    multiply_triangle<Format>(key_gradient);
  } else {
    multiply<Format, Into::add>(value_gradient);
    multiply<Format, Into::add>(key_gradient);
  }
  multiply_visible_depth<Format, Into::add>({.left = layout.keys_turned,
                                             .left_stride = layout.block_words,
                                             .right = layout.score_gradient_pairs,
                                             .right_stride = kBlock,
                                             .product = unit.query_gradient,
                                             .product_stride = kBlock,
                                             .rows = key_size,
                                             .columns = kBlock,
                                             .depth = layout.block_words},
                                            visible, nullptr);
}

template <class Format, class T>
void pack_keys(const FlashKeys<T>& keys, std::int64_t first, std::int64_t rows,
               Layout<Format>& layout) {
  pack_key_rows<Format>(keys, first, rows, layout.key_rows, layout.key_stride);
  pack_rows<Format>(keys.value + first * keys.value_stride, keys.value_stride, rows,
                    keys.value_size, layout.value_rows, layout.value_stride, 0);
  pack_pairs<Format>(keys.key + first * keys.key_stride, keys.key_stride, rows, keys.key_size,
                     layout.scratch, layout.key_columns, 0);
  if (keys.rope != nullptr) {
    pack_pairs<Format>(keys.rope + first * keys.rope_stride, keys.rope_stride, rows, keys.rope_size,
                       layout.scratch, layout.key_columns, keys.key_size);
  }
  turn(layout.scratch, layout.key_columns, layout.block_words, words<Format>(rows),
       layout.keys_turned, layout.block_words);
}

template <class Format, class T>
void end_unit(const FlashBackward<T>& task, UnitState& unit, Layout<Format>& layout) {
  if (task.query_gradient == nullptr) return;
  const std::int64_t stride = layout.key_columns;
  const std::int64_t columns = task.keys.key_size + task.keys.rope_size;
  transpose((const Word*)unit.query_gradient, kBlock, stride, kBlock, layout.scratch, stride);
  T* to =
      task.query_gradient + unit.first * task.query_gradient_stride + unit.head * task.query_head;
  for (std::int64_t i = 0; i < unit.count; ++i) {
    sum_parts((const float*)(layout.scratch + i * stride), 0, 1, columns, task.scale,
              to + i * task.query_gradient_stride, task.query_add);
  }
}

template <class Format, class T>
void backward(const FlashBackward<T>& task) {
  const std::int64_t key_size = task.keys.key_size + task.keys.rope_size;
  const std::int64_t value_size = task.keys.value_size;
  Layout<Format> layout(task.workspace, key_size, value_size);
  fill_zero((Word*)task.sums.key, task.sequence * layout.key_columns);
  fill_zero((Word*)task.sums.value, task.sequence * layout.value_columns);
  for (std::int64_t index = task.first_unit; index < task.last_unit; index += kFlashUnits) {
    const auto count = static_cast<int>(smaller(kFlashUnits, task.last_unit - index));
    for (int u = 0; u < count; ++u) begin_unit<Format>(task, index + u, layout.units[u], layout);
    const std::int64_t last = layout.units[count - 1].first;
    for (std::int64_t first = 0; first <= last; first += kBlock) {
      const std::int64_t rows = smaller(kBlock, task.sequence - first);
      pack_keys<Format>(task.keys, first, rows, layout);
      for (int u = 0; u < count; ++u) {
        if (layout.units[u].first < first) continue;
        accumulate<Format>(layout, layout.units[u], task.sums, first, rows, key_size, value_size,
                           task.scale * kLog2E);
      }
    }
    for (int u = 0; u < count; ++u) end_unit<Format>(task, layout.units[u], layout);
  }
}

template <class T>
void write_keys(const FlashKeyGradients<T>& task) {
  const std::int64_t key_columns = FlashSums::columns(task.key_size + task.rope_size);
  const std::int64_t value_columns = FlashSums::columns(task.value_size);
  for (std::int64_t row = 0; row < task.rows; ++row) {
    const float* key = task.sums.key + row * key_columns;
    if (task.key != nullptr) {
      sum_parts(key, task.part_stride, task.parts, task.key_size, task.scale,
                task.key + row * task.key_stride, task.key_add);
    }
    if (task.value != nullptr) {
      sum_parts(task.sums.value + row * value_columns, task.part_stride, task.parts,
                task.value_size, 1.0f, task.value + row * task.value_stride, task.value_add);
    }
    if (task.rope != nullptr) {
      sum_parts(key + task.key_size, task.part_stride, task.parts, task.rope_size, 1.0f,
                task.rope + row * task.rope_size, true);
    }
  }
}

std::int64_t workspace(const FlashSizes& sizes) {
  return Layout<Fp32>(nullptr, sizes.key_size, sizes.value_size).bytes;
}

template <class Format, class T>
constexpr FlashBackwardKernels<T> kKernels = {backward<Format, T>, write_keys<T>, sum_parts<T>};

}  // namespace

const FlashBackwardTable flash_backward = {.workspace = workspace,
                                           .f32 = kKernels<Fp32, float>,
                                           .bf16 = kKernels<Bf16Format, BFloat16>,
                                           .f16 = kKernels<Fp32, Half>};

}  // namespace ingot::cpu::INGOT_ISA
