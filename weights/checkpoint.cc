#include "weights/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/base/error.h"
#include "io/convert.h"
#include "weights/checkpoint_states.h"
#include "weights/cut.h"
#include "weights/finite_values.h"
#include "weights/manifest.h"
#include "weights/saved_states.h"
#include "weights/stored_state.h"
#include "weights/weight_copy.h"

namespace ingot {
namespace {

void check_shape(const std::string& name, const std::vector<std::int64_t>& found,
                 const std::vector<std::int64_t>& wanted, const std::string& where) {
  if (found == wanted) return;
  const auto text = [](const std::vector<std::int64_t>& dims) {
    std::string joined;
    for (const std::int64_t dim : dims)
      joined += (joined.empty() ? "" : ", ") + std::to_string(dim);
    return "[" + joined + "]";
  };
  throw Error(ErrorCode::data,
              "shape of '" + name + "' is " + text(found) + ", the config says " + text(wanted),
              where, "use the config.json that belongs to these weights");
}

// Fills a state piece by piece, from fill(piece, values in fp32).
template <class Fill>
void fill_state(Executor& executor, const SavedState& stored, const Fill& fill) {
  std::vector<float> values;
  for_rows(*stored.part, is_grouped(stored.state().form), [&](const WeightPart& piece) {
    values.resize(piece.shape.elements());
    fill(piece, std::span(values));
    write_weight_part(executor, *stored.weight, stored.which, piece, values);
  });
}

// What was saved in the form and the groups that are wanted goes where it was, bit for bit.
bool load_raw(const CheckpointReader& reader, Executor& executor, const SavedState& stored,
              const CheckpointState& source) {
  const WeightState& state = stored.state();
  if (is_plain(state.form)) return false;
  bool loaded = true;
  std::vector<std::byte> values, extra;
  for_rows(*stored.part, is_grouped(state.form), [&](const WeightPart& piece) {
    const PartBytes bytes = part_bytes(executor.program(), state, piece);
    values.resize(bytes.values_bytes);
    extra.resize(bytes.extra_bytes);
    loaded = loaded && read_raw(source, state.form, piece, values, extra);
    if (loaded) write_raw_part(executor, state, piece, values, extra);
    release(reader, source);
  });
  return loaded;
}

void load_state(const CheckpointReader& reader, const CheckpointStates& states, Executor& executor,
                const SavedState& stored) {
  const CheckpointState source = states.at(stored.name);
  check_shape(stored.name, dims_of(source.whole), dims_of(stored.part->whole),
              reader.path().string());
  if (load_raw(reader, executor, stored, source)) return;
  fill_state(executor, stored, [&](const WeightPart& piece, std::span<float> values) {
    read_part(source, piece, values);
    require_finite(stored.name, piece, values, reader.path().string());
    // Some of a file's pages are resident beside the arena while it is read: those of a piece, not
    // of the largest tensor.
    release(reader, source);
  });
}

void clear_state(Executor& executor, const SavedState& stored) {
  fill_state(executor, stored, [](const WeightPart&, std::span<float> values) {
    std::fill(values.begin(), values.end(), 0.0f);
  });
}

void check_version(const CheckpointReader& reader) {
  const nlohmann::json manifest = read_manifest(reader);
  const auto version = manifest.find("state_forms");
  if (version == manifest.end() || *version == kStateFormsVersion) return;
  throw Error(ErrorCode::data, "its 8-bit states are of version " + version->dump(),
              manifest_path(reader),
              "this program reads version " + std::to_string(kStateFormsVersion));
}

// Tensors of DeepSeek-V3 checkpoints that repeat the main model's for its MTP modules.
bool is_mtp_duplicate(const std::string& name) {
  return name.starts_with("model.layers.") &&
         (name.ends_with(".embed_tokens.weight") || name.ends_with(".shared_head.head.weight"));
}

}  // namespace

void load_checkpoint(const CheckpointReader& reader, Executor& executor, std::optional<int> set,
                     Moments moments) {
  check_version(reader);
  const CheckpointStates states(reader);
  const Program& program = executor.program();
  const std::vector<bool> sets = set ? only_set(program, *set) : saved_sets(program);
  for (const SavedState& stored : saved_states(program, sets)) {
    const bool moment = stored.which != &Weight::value;
    if (moment && (moments == Moments::none || !states.has(stored.name))) {
      clear_state(executor, stored);
    } else {
      load_state(reader, states, executor, stored);
    }
  }
}

std::vector<std::string> load_model_files(const ModelFiles& files, const ModelConfig& config,
                                          Executor& executor, int set) {
  const Program& program = executor.program();
  std::set<std::string> used;
  for (const SavedState& stored : saved_states(program, only_set(program, set))) {
    if (stored.which != &Weight::value) continue;
    used.insert(stored.name);
    const StoredTensor* found = files.find(stored.name);
    if (found == nullptr && stored.name.ends_with("e_score_correction_bias")) {
      continue;  // absent in checkpoints that never balanced: it is zero
    }
    const StoredTensor& source = found != nullptr ? *found : files.at(stored.name);
    const Shape& whole = stored.part->whole;
    check_shape(stored.name, source.values->shape, dims_of(whole), files.folder().string());
    fill_state(executor, stored, [&](const WeightPart& piece, std::span<float> values) {
      read_common({.shape = whole}, piece, values,
                  [&](std::int64_t first, std::int64_t end, std::span<float> rows) {
                    read_rows(source, {first, end}, DType::f32, std::as_writable_bytes(rows));
                  });
      files.release(source);
    });
  }
  std::vector<std::string> unused;
  for (const auto& [name, tensor] : files.tensors()) {
    const bool tied = config.tie_word_embeddings && name == "lm_head.weight";
    if (used.count(name) == 0 && !tied && !is_mtp_duplicate(name)) unused.push_back(name);
  }
  return unused;
}

}  // namespace ingot
