#include "weights/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/base/error.h"
#include "io/convert.h"
#include "weights/checkpoint_states.h"
#include "weights/cut.h"
#include "weights/manifest.h"
#include "weights/stored_state.h"
#include "weights/weight_copy.h"

namespace ingot {
namespace {

constexpr std::int64_t kChunkBytes = 1 << 20;  // on their way at a time

// What is saved of a weight, and what stands behind its name then.
struct SavedState {
  WeightState Weight::*state;
  const char* suffix;
};
constexpr SavedState kStates[] = {{&Weight::value, ""},
                                  {&Weight::first_moment, ".first_moment"},
                                  {&Weight::second_moment, ".second_moment"}};

// One state of one part.
struct Stored {
  std::string name;  // of the checkpoint's tensor
  const Weight* weight;
  const WeightPart* part;
  WeightState Weight::*which;

  const WeightState& state() const { return weight->*which; }
};

// By set: whether its weights are saved, since one of them learns. Where nothing does (evaluation,
// generation) it is the model that is loaded.
std::vector<bool> saved_sets(const Program& program) {
  std::vector<bool> saved(program.sets().size());
  for (const Weight& weight : program.weights()) {
    if (weight.learning != Learning::frozen) saved[weight.set] = true;
  }
  if (std::find(saved.begin(), saved.end(), true) == saved.end()) saved[0] = true;
  return saved;
}

std::vector<bool> only_set(const Program& program, int set) {
  std::vector<bool> sets(program.sets().size());
  sets.at(set) = true;
  return sets;
}

// Every state of the weights of some sets, by name.
std::vector<Stored> stored_states(const Program& program, const std::vector<bool>& sets) {
  std::vector<Stored> stored;
  for (const Weight& weight : program.weights()) {
    if (!sets[weight.set]) continue;
    for (const WeightPart& part : weight.parts) {
      for (const auto& [state, suffix] : kStates) {
        if (weight.*state) stored.push_back({part.name + suffix, &weight, &part, state});
      }
    }
  }
  std::sort(stored.begin(), stored.end(),
            [](const Stored& a, const Stored& b) { return a.name < b.name; });
  return stored;
}

bool is_whole(const WeightPart& part) { return part.shape == part.whole; }

std::string entry_name(const Stored& stored) {
  if (is_whole(*stored.part)) return stored.name;
  std::string name = stored.name + '@';
  for (int axis = 0; axis < stored.part->whole.rank(); ++axis) {
    name += (axis > 0 ? "," : "") + std::to_string(stored.part->first[axis]);
  }
  return name;
}

// Bytes of one tensor of a checkpoint, where they lie in the executor.
struct Source {
  Tensor tensor;
  std::int64_t offset = 0, bytes = 0;
};

struct RawTensors {
  std::vector<TensorDeclaration> declarations;
  std::map<std::string, Source> sources;
  nlohmann::json blocks = nlohmann::json::object();  // of the manifest

  explicit RawTensors(const Program& program) {
    for (const Stored& stored : stored_states(program, saved_sets(program))) {
      if (!stored.weight->owner) continue;
      const std::string name = entry_name(stored);
      const StateDeclarations declared =
          declare_state(name, stored.state().form, dims_of(stored.part->shape));
      const PartBytes bytes = part_bytes(program, stored.state(), *stored.part);
      add(declared.values, {stored.state().values, bytes.values_offset, bytes.values_bytes});
      if (declared.extra) {
        add(*declared.extra, {stored.state().extra, bytes.extra_offset, bytes.extra_bytes});
      }
      if (!is_whole(*stored.part)) blocks[name] = block_json(stored);
    }
  }

 private:
  static nlohmann::json block_json(const Stored& stored) {
    const WeightPart& part = *stored.part;
    const auto rank = part.first.begin() + part.whole.rank();
    return {{"tensor", stored.name},
            {"whole", dims_of(part.whole)},
            {"first", std::vector<std::int64_t>(part.first.begin(), rank)}};
  }
  void add(const TensorDeclaration& declaration, const Source& source) {
    declarations.push_back(declaration);
    sources.emplace(declaration.name, source);
  }
};

bool all_finite(DType dtype, std::span<const std::byte> raw) {
  if (!is_float(dtype)) return true;
  // Infinities and NaN: every bit of the exponent.
  const std::uint32_t exponent = dtype == DType::f32    ? 0x7f800000u
                                 : dtype == DType::bf16 ? 0x7f80u
                                                        : 0x7c00u;
  const auto size = static_cast<std::size_t>(size_of(dtype));
  for (std::size_t i = 0; i < raw.size(); i += size) {
    std::uint32_t word = 0;
    std::memcpy(&word, raw.data() + i, size);
    if ((word & exponent) == exponent) return false;
  }
  return true;
}

void append_tensor(CheckpointWriter& writer, const Executor& executor, const std::string& name,
                   const Source& source, std::vector<std::byte>& buffer) {
  const Program& program = executor.program();
  const Range place = executor.range(source.tensor).subrange(source.offset, source.bytes);
  for (std::int64_t first = 0; first < source.bytes; first += kChunkBytes) {
    const auto piece = std::span(buffer).first(std::min(kChunkBytes, source.bytes - first));
    executor.backend().read(piece, place.subrange(first, std::ssize(piece)));
    if (!all_finite(program.dtype(source.tensor), piece)) {
      throw Error(ErrorCode::diverged, "checkpoint not saved: '" + name + "' is not finite", name,
                  "go back to an earlier checkpoint with a smaller learning rate");
    }
    writer.append(name, piece);
  }
}

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
void fill_state(Executor& executor, const Stored& stored, const Fill& fill) {
  std::vector<float> values;
  for_rows(*stored.part, is_grouped(stored.state().form), [&](const WeightPart& piece) {
    values.resize(piece.shape.elements());
    fill(piece, std::span(values));
    write_weight_part(executor, *stored.weight, stored.which, piece, values);
  });
}

// What was saved in the form and the groups that are wanted goes where it was, bit for bit.
bool load_raw(const CheckpointReader& reader, Executor& executor, const Stored& stored,
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
                const Stored& stored) {
  const CheckpointState source = states.at(stored.name);
  check_shape(stored.name, dims_of(source.whole), dims_of(stored.part->whole),
              reader.path().string());
  if (load_raw(reader, executor, stored, source)) return;
  fill_state(executor, stored, [&](const WeightPart& piece, std::span<float> values) {
    read_part(source, piece, values);
    // Some of a file's pages are resident beside the arena while it is read: those of a piece, not
    // of the largest tensor.
    release(reader, source);
  });
}

void clear_state(Executor& executor, const Stored& stored) {
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

std::uint64_t checkpoint_bytes(const Program& program) {
  std::uint64_t bytes = 0;
  for (const auto& [name, source] : RawTensors(program).sources) bytes += source.bytes;
  return bytes;
}

void save_checkpoint(const Executor& executor, std::int64_t step, const RunConfig& config,
                     const nlohmann::json& sections, const SaveOptions& options) {
  const RawTensors tensors(executor.program());
  CheckpointWriter writer(options.directory, step, tensors.declarations,
                          {.keep = static_cast<std::size_t>(options.keep), .warn = options.warn});
  std::vector<std::byte> buffer(kChunkBytes);
  for (const TensorDeclaration& tensor : writer.order()) {
    append_tensor(writer, executor, tensor.name, tensors.sources.at(tensor.name), buffer);
  }
  if (!options.tokenizer_json.empty()) writer.add_file("tokenizer.json", options.tokenizer_json);
  nlohmann::json all = sections;
  if (!tensors.blocks.empty()) all["blocks"] = tensors.blocks;
  writer.commit(manifest_text(config, all));
}

void load_checkpoint(const CheckpointReader& reader, Executor& executor, std::optional<int> set) {
  check_version(reader);
  const CheckpointStates states(reader);
  const Program& program = executor.program();
  const std::vector<bool> sets = set ? only_set(program, *set) : saved_sets(program);
  for (const Stored& stored : stored_states(program, sets)) {
    if (stored.which != &Weight::value && !states.has(stored.name)) {
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
  for (const Stored& stored : stored_states(program, only_set(program, set))) {
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
