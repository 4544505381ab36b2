#include "ops/attention/flash_layout.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

// Scores below any real one, in units of log2; finite, so that differences are no NaN.
constexpr float kLowest = -1e30f;
constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;

// The state of one unit while the keys go by.
struct UnitState {
  Word* query;        // right operand [words(key size), 64]
  float* output;      // [value size, 64], not yet divided by `sum`
  float* maximum;     // [64] of the scores so far, times log2 e
  float* sum;         // [64] of 2^(score - maximum)
  float* rescale;     // [64] what the last block multiplied `sum` and `output` by
  std::int64_t most;  // largest and smallest of FlashQueries::visible, within the range of keys
  std::int64_t least;
  std::int64_t columns;  // queries, rounded up to whole vectors; the rest of the 64 are left out
  std::int32_t visible[kBlock];
};

// All of a tile's scratch memory.
template <class Format>
struct Layout {
  Layout(std::byte* memory, std::int64_t key_size, std::int64_t value_size) {
    Carver carver(memory);
    key_stride = padded(words<Format>(key_size));
    value_rows = padded(value_size);
    const std::int64_t block_words = kBlock / Format::kPerWord;
    const std::int64_t widest = key_stride > value_rows ? key_stride : value_rows;
    keys = carver.take(kBlock * key_stride);
    values = carver.take(value_rows * block_words);
    scores = (float*)carver.take(kBlock * kBlock);
    weights = carver.take(block_words * kBlock);
    scratch = carver.take(kBlock * widest);
    for (UnitState& unit : units) {
      unit.query = carver.take(key_stride * kBlock);
      unit.output = (float*)carver.take(value_rows * kBlock);
      unit.maximum = (float*)carver.take(kBlock);
      unit.sum = (float*)carver.take(kBlock);
      unit.rescale = (float*)carver.take(kBlock);
    }
    bytes = carver.bytes();
  }

  std::int64_t key_stride, value_rows;
  Word* keys;     // left [64, words(key size)]
  Word* values;   // left [value size, words(64)]: turned
  float* scores;  // [64 keys, 64 queries]
  Word* weights;  // right [words(64), 64 queries]: softmax without its denominator
  Word* scratch;
  UnitState units[kFlashUnits];
  std::int64_t bytes;
};

template <class Format, class T>
void begin_unit(const FlashForward<T>& task, const FlashQueries<T>& queries, UnitState& unit,
                const Layout<Format>& layout) {
  const std::int64_t key_size = task.keys.key_size + task.keys.rope_size;
  pack_columns<Format>(queries.query, queries.query_stride, queries.count, key_size, unit.query,
                       layout.scratch);
  fill_zero((Word*)unit.output, layout.value_rows * kBlock);
  unit.columns = padded(queries.count);
  unit.most = task.first_key;
  unit.least = task.last_key;
  for (std::int64_t i = 0; i < kBlock; ++i) {
    // Columns without a query see what the last one sees: they don't call for masks of their own.
    const std::int64_t own = queries.visible[i < queries.count ? i : queries.count - 1];
    const std::int64_t visible = smaller(own, task.last_key);
    unit.visible[i] = static_cast<std::int32_t>(visible);
    if (visible > unit.most) unit.most = visible;
    if (visible < unit.least) unit.least = visible;
    unit.maximum[i] = kLowest;
    unit.sum[i] = 0;
  }
}

// Scores of `rows` keys, from key `first` on, become weights; maximum, sum and rescale are brought
// up to date. rows is even; kMasked: a column has fewer keys.
template <class Format, bool kMasked>
INGOT_SIMD void softmax_columns(const float* scores, Word* weights, std::int64_t rows,
                                std::int64_t first, float scale, UnitState& unit, int column) {
  const I16 visible = load_int(unit.visible + column) - broadcast_int(static_cast<int>(first));
  const auto score = [&](std::int64_t row) {
    const F16 value = load(scores + row * kBlock + column);
    if constexpr (!kMasked) return value;
    return select(broadcast_int(static_cast<int>(row)) < visible, value, broadcast(kLowest));
  };
  F16 largest[2] = {score(0), score(1)};
  for (std::int64_t row = 2; row < rows; row += 2) {
    largest[0] = max(largest[0], score(row));
    largest[1] = max(largest[1], score(row + 1));
  }
  const F16 before = load(unit.maximum + column);
  // A NaN among the scores must survive: max() keeps its second operand then.
  const F16 maximum = max(before, max(largest[0], largest[1]) * scale);
  const F16 rescale = exp2_of_negative(before - maximum);
  F16 sum[2] = {load(unit.sum + column) * rescale, zero()};
  for (std::int64_t row = 0; row < rows; row += 2) {
    F16 weight[2];
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      const F16 value = load(scores + (row + i) * kBlock + column);
      weight[i] = exp2_of_negative(fma(value, broadcast(scale), -maximum));
      if constexpr (kMasked) {
        const I16 seen = broadcast_int(static_cast<int>(row) + i) < visible;
        weight[i] = select(seen, weight[i], zero());
      }
      sum[i] += weight[i];
    }
    store_pair<Format>(weights + row / Format::kPerWord * kBlock + column, kBlock, weight[0],
                       weight[1]);
  }
  store(unit.maximum + column, maximum);
  store(unit.rescale + column, rescale);
  store(unit.sum + column, sum[0] + sum[1]);
}

template <class Format>
void attend(Layout<Format>& layout, UnitState& unit, std::int64_t first, std::int64_t rows,
            std::int64_t key_words, std::int64_t value_size, float scale) {
  // How many keys of this block each vector of columns sees.
  std::int32_t visible[kBlockVectors] = {};
  for (int v = 0; v < unit.columns / kLanes; ++v) {
    std::int64_t most = 0;
    for (int i = 0; i < kLanes; ++i) {
      const std::int64_t own = unit.visible[v * kLanes + i] - first;
      if (own > most) most = own;
    }
    visible[v] = static_cast<std::int32_t>(smaller(most, rows));
  }
  multiply_visible_rows<Format>({.left = layout.keys,
                                 .left_stride = layout.key_stride,
                                 .right = unit.query,
                                 .right_stride = kBlock,
                                 .product = layout.scores,
                                 .product_stride = kBlock,
                                 .rows = rows,
                                 .columns = unit.columns,
                                 .depth = key_words},
                                visible);
  const bool masked = unit.least < first + rows || rows % 2 != 0;
  for (int column = 0; column < unit.columns; column += kLanes) {
    const int strip = column / (kStripVectors * kLanes) * (kStripVectors * kLanes);
    const std::int64_t seen = (most_visible(visible, strip) + 1) / 2 * 2;
    if (seen == 0) {
      store(unit.rescale + column, broadcast(1.0f));
    } else if (masked) {
      softmax_columns<Format, true>(layout.scores, layout.weights, seen, first, scale, unit,
                                    column);
    } else {
      softmax_columns<Format, false>(layout.scores, layout.weights, seen, first, scale, unit,
                                     column);
    }
  }
  multiply_visible_depth<Format, Into::scaled>({.left = layout.values,
                                                .left_stride = kBlock / Format::kPerWord,
                                                .right = layout.weights,
                                                .right_stride = kBlock,
                                                .product = unit.output,
                                                .product_stride = kBlock,
                                                .rows = value_size,
                                                .columns = kBlock,
                                                .depth = words<Format>(rows)},
                                               visible, unit.rescale);
}

template <class Format, class T>
void end_unit(const FlashForward<T>& task, const FlashQueries<T>& queries, UnitState& unit,
              Layout<Format>& layout) {
  const std::int64_t value_size = task.keys.value_size, stride = layout.value_rows;
  transpose((const Word*)unit.output, kBlock, stride, kBlock, layout.scratch, stride);
  float lse[kBlock], inverse[kBlock];
  for (int i = 0; i < kBlock; i += kLanes) {
    const F16 sum = load(unit.sum + i);
    const I16 none = sum == zero();
    store(inverse + i, select(none, zero(), 1.0f / sum));
    const F16 maximum = load(unit.maximum + i);
    store(lse + i, queries.partial != nullptr ? fma(maximum, broadcast(kLn2), log(sum))
                                              : fma(log(sum), broadcast(kLog2E), maximum));
  }
  for (int i = 0; i < queries.count; ++i) {
    const auto* row = (const float*)(layout.scratch + i * stride);
    for (std::int64_t c = 0; c < value_size; c += kLanes) {
      const F16 value = load(row + c) * inverse[i];
      const int count = lanes_left(value_size - c);
      if (queries.partial != nullptr) {
        store_partial(queries.partial + i * queries.output_stride + c, value, count);
      } else {
        store_partial(queries.output + i * queries.output_stride + c, value, count);
      }
    }
    if (queries.lse != nullptr) queries.lse[i * queries.lse_stride] = lse[i];
  }
}

template <class Format, class T>
void forward(const FlashForward<T>& task) {
  const FlashKeys<T>& keys = task.keys;
  const std::int64_t key_size = keys.key_size + keys.rope_size;
  Layout<Format> layout(task.workspace, key_size, keys.value_size);
  std::int64_t end = task.first_key;
  for (int u = 0; u < task.unit_count; ++u) {
    begin_unit<Format>(task, task.units[u], layout.units[u], layout);
    if (layout.units[u].most > end) end = layout.units[u].most;
  }
  for (std::int64_t first = task.first_key; first < end; first += kBlock) {
    const std::int64_t rows = smaller(kBlock, end - first);
    pack_key_rows<Format>(keys, first, rows, layout.keys, layout.key_stride);
    pack_pairs<Format>(keys.value + first * keys.value_stride, keys.value_stride, rows,
                       keys.value_size, layout.scratch, layout.value_rows, 0);
    turn(layout.scratch, layout.value_rows, kBlock / Format::kPerWord, words<Format>(rows),
         layout.values, kBlock / Format::kPerWord);
    for (int u = 0; u < task.unit_count; ++u) {
      if (layout.units[u].most <= first) continue;
      attend<Format>(layout, layout.units[u], first, rows, words<Format>(key_size), keys.value_size,
                     task.scale * kLog2E);
    }
  }
  for (int u = 0; u < task.unit_count; ++u) {
    end_unit<Format>(task, task.units[u], layout.units[u], layout);
  }
}

std::int64_t workspace(const FlashSizes& sizes) {
  // Words of Fp32 tiles are no fewer than those of pairs.
  return Layout<Fp32>(nullptr, sizes.key_size, sizes.value_size).bytes;
}

}  // namespace

const FlashForwardTable flash_forward = {.workspace = workspace,
                                         .f32 = forward<Fp32, float>,
                                         .bf16 = forward<Bf16Format, BFloat16>,
                                         .f16 = forward<Fp32, Half>};

}  // namespace ingot::cpu::INGOT_ISA
