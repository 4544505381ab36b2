#include "ops/cached_attention/cached_attention_cpu.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "ops/attention/attention_attributes.h"
#include "ops/attention/flash_simd.h"
#include "ops/cached_attention/decode_simd.h"
#include "ops/cached_attention/key_parts.h"

namespace ingot::cpu {
namespace {

constexpr std::int64_t kDecodePartKeys = 256;  // 64 KiB of keys of 128 x 16 bits
constexpr std::int64_t kTileTokens = 16;       // of a tile that copies or combines

// "rows": the queries that read the same key/value head, sequence * group of them, token by token.
struct Shape : AttentionShape {
  Shape(const Program& program, const Op& op)
      : AttentionShape(program, op), capacity(op.attributes.integer("capacity")) {}

  std::int64_t tokens() const { return batch * sequence; }
  std::int64_t rows() const { return sequence * group; }
  std::int64_t streams() const { return batch * kv_heads; }

  template <class T>
  const T* key_cache(const KernelArguments& arguments, std::int64_t stream) const {
    return arguments.output<T>(1) + stream * capacity * key.size;
  }
  template <class T>
  const T* value_cache(const KernelArguments& arguments, std::int64_t stream) const {
    return arguments.output<T>(2) + stream * capacity * value.size;
  }

  std::int64_t capacity;
};

// Copies the heads of some new tokens to their places in a cache.
template <class T>
void write_cache(const Shape& s, const HeadPlaces& heads, const T* from,
                 const std::int32_t* positions, T* cache, std::int64_t tile) {
  const std::int64_t last = std::min(s.tokens(), (tile + 1) * kTileTokens);
  for (std::int64_t token = tile * kTileTokens; token < last; ++token) {
    for (std::int64_t head = 0; head < s.kv_heads; ++head) {
      const std::int64_t stream = token / s.sequence * s.kv_heads + head;
      std::memcpy(cache + (stream * s.capacity + positions[token]) * heads.size,
                  from + heads.at(token, head), heads.size * sizeof(T));
    }
  }
}

// The two ways to attend. Both leave for each stream, part and row a partial output and its lse:
// partial [streams, parts, rows, value size], lse [streams, parts, rows].
struct Partials {
  float *output, *lse;
  std::int64_t rows, value_size;
  std::int64_t parts;

  std::int64_t index(std::int64_t stream, std::int64_t part, std::int64_t row) const {
    return (stream * parts + part) * rows + row;
  }
  float* output_of(std::int64_t stream, std::int64_t part, std::int64_t row) const {
    return output + index(stream, part, row) * value_size;
  }
};

// Few rows: dot products, as fast as the cache can be read. Tile: one part of one stream.
template <class T>
void decode_tile(const Shape& s, const KernelArguments& arguments, const KeyParts& parts,
                 const Partials& partials, std::int64_t tile, float* scores,
                 const DecodeFunctions<T>& functions) {
  const std::int64_t stream = tile / parts.count, part = tile % parts.count;
  const std::int64_t first = part * parts.keys;
  const std::int64_t sequence = stream / s.kv_heads, kv_head = stream % s.kv_heads;
  Decode<T> task{.key = s.key_cache<T>(arguments, stream) + first * s.key.size,
                 .key_stride = s.key.size,
                 .key_size = s.key.size,
                 .value = s.value_cache<T>(arguments, stream) + first * s.value.size,
                 .value_stride = s.value.size,
                 .value_size = s.value.size,
                 .rows = static_cast<int>(s.rows()),
                 .scale = s.scale,
                 .scores = scores,
                 .keys = 0};
  for (std::int64_t row = 0; row < s.rows(); ++row) {
    const std::int64_t token = sequence * s.sequence + row / s.group;
    const std::int64_t head = kv_head * s.group + row % s.group;
    task.query[row] = arguments.input<T>(0) + s.query.at(token, head);
    const std::int64_t visible = arguments.input<std::int32_t>(3)[token] + 1 - first;
    task.visible[row] = std::clamp<std::int64_t>(visible, 0, parts.keys);
    task.keys = std::max(task.keys, task.visible[row]);
    task.output[row] = partials.output_of(stream, part, row);
    task.lse[row] = partials.lse + partials.index(stream, part, row);
  }
  if (task.keys > 0) functions.decode(task);
}

// Many rows: blocks of matrix products, in units of up to 64 rows: the tokens of one head, or, when
// there are fewer tokens than heads in a group, the heads of one token.
struct Units {
  explicit Units(const Shape& s)
      : by_token(s.sequence < s.group),
        blocks(((by_token ? s.group : s.sequence) + kFlashBlock - 1) / kFlashBlock),
        count(blocks * (by_token ? s.sequence : s.group)) {}

  bool by_token;
  std::int64_t blocks, count;
};

template <class T>
FlashQueries<T> make_unit(const Shape& s, const KernelArguments& arguments, const KeyParts& parts,
                          const Partials& partials, const Units& units, std::int64_t stream,
                          std::int64_t part, std::int64_t index) {
  const std::int64_t line = index / units.blocks, first = index % units.blocks * kFlashBlock;
  const std::int64_t in_sequence = units.by_token ? line : first;
  const std::int64_t in_group = units.by_token ? first : line;
  const std::int64_t token = stream / s.kv_heads * s.sequence + in_sequence;
  const std::int64_t head = stream % s.kv_heads * s.group + in_group;
  const std::int64_t rows = units.by_token ? s.group : s.sequence;
  FlashQueries<T> unit;
  unit.query = arguments.input<T>(0) + s.query.at(token, head);
  unit.query_stride = units.by_token ? s.query.head_stride : s.query.row_stride;
  unit.count = static_cast<int>(std::min(kFlashBlock, rows - first));
  for (int i = 0; i < unit.count; ++i) {
    unit.visible[i] = arguments.input<std::int32_t>(3)[token + (units.by_token ? 0 : i)] + 1;
  }
  if (parts.count == 1) {  // nothing to combine
    unit.output = arguments.output<T>(0) + token * s.output_columns() + head * s.value.size;
    unit.output_stride = units.by_token ? s.value.size : s.output_columns();
    unit.partial = unit.lse = nullptr;
  } else {
    const std::int64_t row = in_sequence * s.group + in_group;
    unit.output = nullptr;
    unit.partial = partials.output_of(stream, part, row);
    unit.output_stride = units.by_token ? s.value.size : s.group * s.value.size;
    unit.lse = partials.lse + partials.index(stream, part, row);
  }
  unit.lse_stride = units.by_token ? 1 : s.group;
  return unit;
}

// Tile: some units of one part of one stream.
template <class T>
void flash_tile(const Shape& s, const KernelArguments& arguments, const KeyParts& parts,
                const Partials& partials, std::int64_t tile, const Units& units,
                std::int64_t units_per_tile, std::byte* workspace,
                void (*forward)(const FlashForward<T>&)) {
  const std::int64_t tiles = (units.count + units_per_tile - 1) / units_per_tile;
  const std::int64_t stream = tile / (tiles * parts.count), part = tile / tiles % parts.count;
  const std::int64_t first_unit = tile % tiles * units_per_tile;
  FlashQueries<T> queries[kFlashUnits];
  const auto count = static_cast<int>(std::min(units_per_tile, units.count - first_unit));
  for (int u = 0; u < count; ++u) {
    queries[u] = make_unit<T>(s, arguments, parts, partials, units, stream, part, first_unit + u);
  }
  forward({.keys = {.key = s.key_cache<T>(arguments, stream),
                    .key_stride = s.key.size,
                    .key_size = s.key.size,
                    .rope = nullptr,
                    .rope_stride = 0,
                    .rope_size = 0,
                    .value = s.value_cache<T>(arguments, stream),
                    .value_stride = s.value.size,
                    .value_size = s.value.size},
           .first_key = part * parts.keys,
           .last_key = std::min(s.capacity, (part + 1) * parts.keys),
           .units = queries,
           .unit_count = count,
           .scale = s.scale,
           .workspace = workspace});
}

// Tile: kTileTokens tokens, all their heads.
template <class T>
void combine_tile(const Shape& s, const KernelArguments& arguments, const KeyParts& parts,
                  const Partials& partials, std::int64_t tile,
                  const DecodeFunctions<T>& functions) {
  const std::int64_t last = std::min(s.tokens(), (tile + 1) * kTileTokens);
  for (std::int64_t token = tile * kTileTokens; token < last; ++token) {
    const std::int64_t used = parts.used(arguments.input<std::int32_t>(3)[token] + 1);
    for (std::int64_t head = 0; head < s.query_heads; ++head) {
      const std::int64_t stream = token / s.sequence * s.kv_heads + head / s.group;
      const std::int64_t row = token % s.sequence * s.group + head % s.group;
      functions.combine(partials.output_of(stream, 0, row), s.rows() * s.value.size,
                        partials.lse + partials.index(stream, 0, row), s.rows(), used, s.value.size,
                        arguments.output<T>(0) + token * s.output_columns() + head * s.value.size);
    }
  }
}

template <class T>
std::unique_ptr<Kernel> make(const Shape& s, const Context& context,
                             void (*forward)(const FlashForward<T>&),
                             const DecodeFunctions<T>& functions) {
  const bool dots = s.rows() <= kDecodeRows;
  const bool split = s.rows() <= kMostSplitRows;
  const KeyParts parts = dots ? KeyParts(s.capacity, kCombineParts, kDecodePartKeys)
                              : KeyParts(s.capacity, split ? kCombineParts / 2 : 1, 512);
  const Units units(s);
  // Units of a tile share the packing of the keys; but some tens of tiles there should be.
  const std::int64_t units_per_tile =
      std::clamp<std::int64_t>(units.count * s.streams() * parts.count / 32, 1, kFlashUnits);
  const std::int64_t tiles =
      s.streams() * parts.count * (dots ? 1 : (units.count + units_per_tile - 1) / units_per_tile);
  const std::int64_t token_tiles = (s.tokens() + kTileTokens - 1) / kTileTokens;
  const std::int64_t scratch =
      dots ? s.rows() * parts.keys * 4
           : flash_forward(context.isa).workspace({s.key.size, s.value.size});
  const bool partial = dots || parts.count > 1;
  const std::int64_t partial_rows = partial ? s.streams() * parts.count * s.rows() : 0;
  ThreadPool& pool = context.pool;
  const std::int64_t all_scratch = pool.threads() * scratch;
  return make_kernel(
      all_scratch + partial_rows * (s.value.size + 1) * 4,
      [=, &pool](const KernelArguments& arguments, const Turn&) {
        std::byte* memory = arguments.workspace.data();
        auto* outputs = reinterpret_cast<float*>(memory + all_scratch);
        const Partials partials{.output = outputs,
                                .lse = outputs + partial_rows * s.value.size,
                                .rows = s.rows(),
                                .value_size = s.value.size,
                                .parts = parts.count};
        const auto* positions = arguments.input<std::int32_t>(3);
        pool.parallel_for(token_tiles, [&](std::int64_t tile, int) {
          write_cache(s, s.key, arguments.input<T>(1), positions, arguments.output<T>(1), tile);
          write_cache(s, s.value, arguments.input<T>(2), positions, arguments.output<T>(2), tile);
        });
        pool.parallel_for(tiles, [&](std::int64_t tile, int thread) {
          std::byte* own = memory + thread * scratch;
          if (dots) {
            decode_tile(s, arguments, parts, partials, tile, reinterpret_cast<float*>(own),
                        functions);
          } else {
            flash_tile<T>(s, arguments, parts, partials, tile, units, units_per_tile, own, forward);
          }
        });
        if (!partial) return;
        pool.parallel_for(token_tiles, [&](std::int64_t tile, int) {
          combine_tile(s, arguments, parts, partials, tile, functions);
        });
      });
}

std::unique_ptr<Kernel> make_cached_attention(const Program& program, const Op& op,
                                              const Context& context) {
  const Shape shape(program, op);
  const FlashForwardTable& flash = flash_forward(context.isa);
  const DecodeTable& decode = decode_kernels(context.isa);
  switch (program.dtype(op.inputs[0])) {
    case DType::bf16:
      return make(shape, context, flash.bf16, decode.bf16);
    case DType::f16:
      return make(shape, context, flash.f16, decode.f16);
    default:
      return make(shape, context, flash.f32, decode.f32);
  }
}

}  // namespace

std::span<const KernelEntry> cached_attention_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"cached_attention", make_cached_attention}};
  return kEntries;
}

}  // namespace ingot::cpu
