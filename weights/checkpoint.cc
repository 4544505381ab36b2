#include "weights/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/base/error.h"
#include "io/convert.h"
#include "weights/manifest.h"
#include "weights/stored_state.h"
#include "weights/weight_copy.h"

namespace ingot {
namespace {

constexpr std::int64_t kChunk = 1 << 18;  // elements on their way at a time
constexpr std::int64_t kChunkBytes = 4 * kChunk;

// What is saved of a weight, and what stands behind its name then.
struct SavedState {
  WeightState Weight::*state;
  const char* suffix;
};
constexpr SavedState kStates[] = {{&Weight::value, ""},
                                  {&Weight::first_moment, ".first_moment"},
                                  {&Weight::second_moment, ".second_moment"}};

std::vector<std::int64_t> dims_of(const Shape& shape) {
  std::vector<std::int64_t> dims;
  for (int axis = 0; axis < shape.rank(); ++axis) dims.push_back(shape[axis]);
  return dims;
}

struct Stored {
  const Weight* weight;
  const WeightPart* part;
  WeightState Weight::*which;

  const WeightState& state() const { return weight->*which; }
};

// Every state a checkpoint of this program has, by the name of its values.
std::map<std::string, Stored> stored_states(const Program& program) {
  std::map<std::string, Stored> stored;
  for (const Weight& weight : program.weights()) {
    for (const WeightPart& part : weight.parts) {
      for (const auto& [state, suffix] : kStates) {
        if (weight.*state) stored.emplace(part.name + suffix, Stored{&weight, &part, state});
      }
    }
  }
  return stored;
}

StateDeclarations declaration_of(const std::string& name, const Stored& stored) {
  return declare_state(name, stored.state().form, dims_of(stored.part->shape));
}

// Bytes of one tensor of a checkpoint, where they lie in the executor.
struct Source {
  Tensor tensor;
  std::int64_t offset = 0, bytes = 0;
};

struct RawTensors {
  std::vector<TensorDeclaration> declarations;
  std::map<std::string, Source> sources;

  explicit RawTensors(const Program& program) {
    for (const auto& [name, stored] : stored_states(program)) {
      const StateDeclarations declared = declaration_of(name, stored);
      const PartBytes bytes =
          part_bytes(program, stored.state(), stored.part->offset, stored.part->shape.elements());
      add(declared.values, {stored.state().values, bytes.values_offset, bytes.values_bytes});
      if (declared.extra) {
        add(*declared.extra, {stored.state().extra, bytes.extra_offset, bytes.extra_bytes});
      }
    }
  }

 private:
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

// Fills a state from a file's rows, read(rows, values), in pieces.
template <class Read>
void read_into(Executor& executor, const Stored& stored, const TensorDeclaration& source,
               const Read& read) {
  const std::int64_t rows = rows_of(source), width = elements_per_row(source);
  const std::int64_t step = std::max<std::int64_t>(1, kChunk / std::max<std::int64_t>(1, width));
  std::vector<float> values(std::min(rows, step) * width);
  for (std::int64_t row = 0; row < rows; row += step) {
    const std::int64_t count = std::min(step, rows - row);
    const std::span<float> chunk(values.data(), count * width);
    read(RowRange{row, row + count}, chunk);
    const WeightPart piece{stored.part->name, stored.part->offset + row * width, {count * width}};
    write_weight_part(executor, *stored.weight, stored.which, piece, chunk);
  }
}

// Some of a file's pages are resident beside the arena while it is read: those of a piece, not of
// the largest tensor.
void copy_released(const CheckpointReader& reader, Executor& executor, Tensor tensor,
                   std::int64_t offset, const SafetensorsEntry& entry) {
  const Range place = executor.range(tensor);
  for (std::size_t first = 0; first < entry.bytes.size(); first += kChunkBytes) {
    const std::size_t count = std::min<std::size_t>(kChunkBytes, entry.bytes.size() - first);
    executor.backend().write(
        place.subrange(offset + static_cast<std::int64_t>(first), static_cast<std::int64_t>(count)),
        entry.bytes.subspan(first, count));
    reader.release(entry);
  }
}

// What was saved in the form that is wanted goes where it was, bit for bit.
void copy_raw(const CheckpointReader& reader, Executor& executor, const Stored& stored,
              const StoredState& source) {
  const Program& program = executor.program();
  const PartBytes bytes =
      part_bytes(program, stored.state(), stored.part->offset, stored.part->shape.elements());
  copy_released(reader, executor, stored.state().values, bytes.values_offset, *source.values);
  copy_released(reader, executor, stored.state().extra, bytes.extra_offset, *source.extra);
}

void load_state(const CheckpointReader& reader, Executor& executor, const std::string& name,
                const Stored& stored) {
  const StoredState source = find_state(reader, name);
  check_shape(name, source.values->shape, dims_of(stored.part->shape), reader.path().string());
  if (source.form == stored.state().form && source.extra != nullptr) {
    copy_raw(reader, executor, stored, source);
  } else {
    read_into(executor, stored, *source.values, [&](RowRange rows, std::span<float> values) {
      read_rows(source, rows, values);
      reader.release(*source.values);
    });
  }
}

void clear_state(Executor& executor, const Stored& stored) {
  const TensorDeclaration part{stored.part->name, StoredType::f32, dims_of(stored.part->shape)};
  read_into(executor, stored, part, [](RowRange, std::span<float> values) {
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
  writer.commit(manifest_text(config, sections));
}

void load_checkpoint(const CheckpointReader& reader, Executor& executor) {
  check_version(reader);
  for (const auto& [name, stored] : stored_states(executor.program())) {
    if (stored.which != &Weight::value && reader.find(name) == nullptr) {
      clear_state(executor, stored);
    } else {
      load_state(reader, executor, name, stored);
    }
  }
}

std::vector<std::string> load_model_files(const ModelFiles& files, const ModelConfig& config,
                                          Executor& executor) {
  std::set<std::string> used;
  for (const auto& [name, stored] : stored_states(executor.program())) {
    if (stored.which != &Weight::value) continue;
    used.insert(name);
    const StoredTensor* found = files.find(name);
    if (found == nullptr && name.ends_with("e_score_correction_bias")) {
      continue;  // absent in checkpoints that never balanced: it is zero
    }
    const StoredTensor& source = found != nullptr ? *found : files.at(name);
    check_shape(name, source.values->shape, dims_of(stored.part->shape), files.folder().string());
    read_into(executor, stored, *source.values, [&](RowRange rows, std::span<float> values) {
      read_rows(source, rows, DType::f32, std::as_writable_bytes(values));
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
