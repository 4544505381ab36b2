#include "ops/latent_attention/latent_attention_cpu.h"

#include <algorithm>
#include <cstring>

#include "ops/attention/flash_simd.h"
#include "ops/cached_attention/decode_simd.h"
#include "ops/cached_attention/key_parts.h"
#include "ops/latent_attention/absorb_simd.h"

namespace ingot::cpu {
namespace {

constexpr std::int64_t kTileTokens = 16;  // of a tile that multiplies with one head's weights

// "rows": the queries of one sequence, all of which read the same cache: token by token, head by
// head. Absorbed queries and their results are stored in that order.
struct Shape {
  Shape(const Program& program, const Op& op)
      : batch(op.attributes.integer("batch")),
        sequence(op.attributes.integer("sequence")),
        heads(op.attributes.integer("heads")),
        nope(op.attributes.integer("nope")),
        rotary(op.attributes.integer("rotary")),
        value(op.attributes.integer("value")),
        rank(op.attributes.integer("rank")),
        capacity(op.attributes.integer("capacity")),
        query_stride(program.row_stride(op.inputs[0])),
        latent_stride(program.row_stride(op.inputs[1])),
        rope_stride(program.row_stride(op.inputs[2])),
        scale(static_cast<float>(op.attributes.real("scale"))),
        parts(capacity, rows() <= kMostSplitRows ? kCombineParts / 2 : 1, 256) {
    // Units of a tile share the packing of the keys; but some tens of tiles there should be.
    units_per_tile = std::clamp<std::int64_t>(units() * batch * parts.count / 32, 1, kFlashUnits);
  }

  std::int64_t tokens() const { return batch * sequence; }
  std::int64_t rows() const { return sequence * heads; }
  std::int64_t width() const { return rank + rotary; }  // of an absorbed query, of a cache row
  std::int64_t units() const { return (rows() + kFlashBlock - 1) / kFlashBlock; }
  std::int64_t unit_tiles() const { return (units() + units_per_tile - 1) / units_per_tile; }
  // Rows so few that blocks of 64 would mostly be empty.
  bool few() const { return rows() <= 4 * kDecodeRows; }
  std::int64_t decode_tiles() const { return (rows() + kDecodeRows - 1) / kDecodeRows; }
  std::int64_t token_tiles() const { return (tokens() + kTileTokens - 1) / kTileTokens; }
  // Of W_UK of a head; W_UV follows.
  std::int64_t weight_at(std::int64_t head) const { return head * (nope + value) * rank; }

  std::int64_t batch, sequence, heads, nope, rotary, value, rank, capacity;
  std::int64_t query_stride, latent_stride, rope_stride;
  float scale;
  KeyParts parts;
  std::int64_t units_per_tile;
};

// Between the phases of the op.
template <class T>
struct Intermediate {
  T* query;       // [tokens, heads, width]
  float* latent;  // [batch, parts, rows, rank]: sums of latents
  float* lse;     // [batch, parts, rows]
};

struct Range {
  Range(std::int64_t tile, std::int64_t count)
      : first(tile * kTileTokens), count(std::min(kTileTokens, count - first)) {}
  std::int64_t first, count;
};

template <class T>
void write_cache(const Shape& s, const KernelArguments& arguments, Range tokens) {
  for (std::int64_t token = tokens.first; token < tokens.first + tokens.count; ++token) {
    const std::int64_t position = arguments.input<std::int32_t>(4)[token];
    T* row = arguments.output<T>(1) + (token / s.sequence * s.capacity + position) * s.width();
    std::memcpy(row, arguments.input<T>(1) + token * s.latent_stride, s.rank * sizeof(T));
    std::memcpy(row + s.rank, arguments.input<T>(2) + token * s.rope_stride, s.rotary * sizeof(T));
  }
}

// [W_UK^T q_nope | q_rope] of one head.
template <class T>
void absorb_query(const Shape& s, const KernelArguments& arguments, Range tokens, std::int64_t head,
                  T* to, const AbsorbFunctions<T>& functions) {
  const T* query =
      arguments.input<T>(0) + tokens.first * s.query_stride + head * (s.nope + s.rotary);
  T* row = to + (tokens.first * s.heads + head) * s.width();
  functions.absorb(query, s.query_stride, arguments.input<T>(3) + s.weight_at(head), tokens.count,
                   s.nope, s.rank, row, s.heads * s.width());
  for (std::int64_t i = 0; i < tokens.count; ++i) {
    std::memcpy(row + i * s.heads * s.width() + s.rank, query + i * s.query_stride + s.nope,
                s.rotary * sizeof(T));
  }
}

// Tile: some units of 64 rows against one part of the cache of one sequence.
template <class T>
void attend(const Shape& s, const KernelArguments& arguments, std::int64_t tile,
            const Intermediate<T>& between, std::byte* workspace,
            void (*forward)(const FlashForward<T>&)) {
  const std::int64_t part = tile / s.unit_tiles() % s.parts.count;
  const std::int64_t sequence = tile / (s.unit_tiles() * s.parts.count);
  const std::int64_t first_unit = tile % s.unit_tiles() * s.units_per_tile;
  FlashQueries<T> queries[kFlashUnits];
  const auto count = static_cast<int>(std::min(s.units_per_tile, s.units() - first_unit));
  for (int u = 0; u < count; ++u) {
    FlashQueries<T>& unit = queries[u];
    const std::int64_t row = (first_unit + u) * kFlashBlock;
    unit.query = between.query + (sequence * s.rows() + row) * s.width();
    unit.query_stride = s.width();
    unit.count = static_cast<int>(std::min(kFlashBlock, s.rows() - row));
    for (int i = 0; i < unit.count; ++i) {
      const std::int64_t token = sequence * s.sequence + (row + i) / s.heads;
      unit.visible[i] = arguments.input<std::int32_t>(4)[token] + 1;
    }
    const std::int64_t at = (sequence * s.parts.count + part) * s.rows() + row;
    unit.output = nullptr;
    unit.partial = between.latent + at * s.rank;
    unit.output_stride = s.rank;
    unit.lse = between.lse + at;
    unit.lse_stride = 1;
  }
  const T* cache = arguments.output<T>(1) + sequence * s.capacity * s.width();
  forward({.keys = {.key = cache,
                    .key_stride = s.width(),
                    .key_size = s.width(),
                    .rope = nullptr,
                    .rope_stride = 0,
                    .rope_size = 0,
                    .value = cache,
                    .value_stride = s.width(),
                    .value_size = s.rank},
           .first_key = part * s.parts.keys,
           .last_key = std::min(s.capacity, (part + 1) * s.parts.keys),
           .units = queries,
           .unit_count = count,
           .scale = s.scale,
           .workspace = workspace});
}

// Tile: up to kDecodeRows rows of one sequence, which all read the same part of its cache, by dot
// products.
template <class T>
void attend_few(const Shape& s, const KernelArguments& arguments, std::int64_t tile,
                const Intermediate<T>& between, float* scores,
                const DecodeFunctions<T>& functions) {
  const std::int64_t part = tile / s.decode_tiles() % s.parts.count;
  const std::int64_t sequence = tile / (s.decode_tiles() * s.parts.count);
  const std::int64_t first_row = tile % s.decode_tiles() * kDecodeRows;
  const std::int64_t first = part * s.parts.keys;
  const T* cache = arguments.output<T>(1) + (sequence * s.capacity + first) * s.width();
  Decode<T> task{
      .key = cache,
      .key_stride = s.width(),
      .key_size = s.width(),
      .value = cache,
      .value_stride = s.width(),
      .value_size = s.rank,
      .rows = static_cast<int>(std::min<std::int64_t>(kDecodeRows, s.rows() - first_row)),
      .scale = s.scale,
      .scores = scores,
      .keys = 0};
  for (int i = 0; i < task.rows; ++i) {
    const std::int64_t row = first_row + i;
    const std::int64_t token = sequence * s.sequence + row / s.heads;
    const std::int64_t visible = arguments.input<std::int32_t>(4)[token] + 1 - first;
    const std::int64_t at = (sequence * s.parts.count + part) * s.rows() + row;
    task.query[i] = between.query + (sequence * s.rows() + row) * s.width();
    task.visible[i] = std::clamp<std::int64_t>(visible, 0, s.parts.keys);
    task.keys = std::max(task.keys, task.visible[i]);
    task.output[i] = between.latent + at * s.rank;
    task.lse[i] = between.lse + at;
  }
  if (task.keys > 0) functions.decode(task);
}

// Puts the parts of one head's rows together and multiplies with W_UV.
template <class T>
void project_output(const Shape& s, const KernelArguments& arguments, Range tokens,
                    std::int64_t head, const Intermediate<T>& between,
                    const DecodeFunctions<T>& decode, const AbsorbFunctions<T>& functions) {
  const T* weight = arguments.input<T>(3) + s.weight_at(head) + s.nope * s.rank;
  for (std::int64_t token = tokens.first; token < tokens.first + tokens.count; ++token) {
    const std::int64_t row = token % s.sequence * s.heads + head;
    const std::int64_t at = token / s.sequence * s.parts.count * s.rows() + row;
    float* latent = between.latent + at * s.rank;
    const std::int64_t used = s.parts.used(arguments.input<std::int32_t>(4)[token] + 1);
    if (used > 1) {
      decode.combine(latent, s.rows() * s.rank, between.lse + at, s.rows(), used, s.rank, nullptr);
    }
    functions.project(latent, 0, weight, 1, s.rank, s.value,
                      arguments.output<T>(0) + (token * s.heads + head) * s.value, 0);
  }
}

template <class T>
std::unique_ptr<Kernel> make(const Shape& s, const Context& context,
                             void (*forward)(const FlashForward<T>&),
                             const DecodeFunctions<T>& decode, const AbsorbFunctions<T>& absorb) {
  const std::int64_t scratch = s.few() ? kDecodeRows * s.parts.keys * 4
                                       : flash_forward(context.isa).workspace({s.width(), s.rank});
  ThreadPool& pool = context.pool;
  const std::int64_t all_scratch = pool.threads() * scratch;
  const std::int64_t partial_rows = s.batch * s.parts.count * s.rows();
  const std::int64_t floats = partial_rows * (s.rank + 1);
  const std::int64_t queries = s.batch * s.rows() * s.width();
  return make_kernel(
      all_scratch + floats * 4 + queries * static_cast<std::int64_t>(sizeof(T)),
      [=, &pool](const KernelArguments& arguments, const Turn&) {
        std::byte* memory = arguments.workspace.data();
        auto* latent = reinterpret_cast<float*>(memory + all_scratch);
        const Intermediate<T> between{.query = reinterpret_cast<T*>(latent + floats),
                                      .latent = latent,
                                      .lse = latent + partial_rows * s.rank};
        const std::int64_t head_tiles = s.token_tiles() * s.heads;
        pool.parallel_for(head_tiles, [&](std::int64_t tile, int) {
          const Range tokens(tile / s.heads, s.tokens());
          if (tile % s.heads == 0) write_cache<T>(s, arguments, tokens);
          absorb_query(s, arguments, tokens, tile % s.heads, between.query, absorb);
        });
        const std::int64_t tiles = s.few() ? s.decode_tiles() : s.unit_tiles();
        pool.parallel_for(s.batch * s.parts.count * tiles, [&](std::int64_t tile, int thread) {
          std::byte* own = memory + thread * scratch;
          if (s.few()) {
            attend_few<T>(s, arguments, tile, between, reinterpret_cast<float*>(own), decode);
          } else {
            attend<T>(s, arguments, tile, between, own, forward);
          }
        });
        pool.parallel_for(head_tiles, [&](std::int64_t tile, int) {
          project_output(s, arguments, Range(tile / s.heads, s.tokens()), tile % s.heads, between,
                         decode, absorb);
        });
      });
}

std::unique_ptr<Kernel> make_latent_attention(const Program& program, const Op& op,
                                              const Context& context) {
  const Shape shape(program, op);
  const FlashForwardTable& flash = flash_forward(context.isa);
  const DecodeTable& decode = decode_kernels(context.isa);
  const AbsorbTable& absorb = absorb_kernels(context.isa);
  switch (program.dtype(op.inputs[0])) {
    case DType::bf16:
      return make(shape, context, flash.bf16, decode.bf16, absorb.bf16);
    case DType::f16:
      return make(shape, context, flash.f16, decode.f16, absorb.f16);
    default:
      return make(shape, context, flash.f32, decode.f32, absorb.f32);
  }
}

}  // namespace

std::span<const KernelEntry> latent_attention_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"latent_attention", make_latent_attention}};
  return kEntries;
}

}  // namespace ingot::cpu
