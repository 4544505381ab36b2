#include "engine/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/error.h"
#include "engine/json.h"
#include "engine/weight_copy.h"
#include "io/convert.h"

namespace ingot {
namespace {

constexpr std::int64_t kChunk = 1 << 20;  // elements on their way at a time

constexpr WeightState kStates[] = {WeightState::value, WeightState::first_moment,
                                   WeightState::second_moment};

std::string tensor_name(const WeightPart& part, WeightState state) {
  switch (state) {
    case WeightState::first_moment:
      return part.name + ".first_moment";
    case WeightState::second_moment:
      return part.name + ".second_moment";
    default:
      return part.name;
  }
}

std::vector<std::int64_t> dims_of(const Shape& shape) {
  std::vector<std::int64_t> dims;
  for (int axis = 0; axis < shape.rank(); ++axis) dims.push_back(shape[axis]);
  return dims;
}

struct Stored {
  const Weight* weight;
  const WeightPart* part;
  WeightState state;
};

// Every tensor a checkpoint of this program has, by name.
std::map<std::string, Stored> stored_tensors(const Program& program) {
  std::map<std::string, Stored> stored;
  for (const Weight& weight : program.weights()) {
    for (const WeightPart& part : weight.parts) {
      for (const WeightState state : kStates) {
        if (state_tensor(weight, state)) {
          stored.emplace(tensor_name(part, state), Stored{&weight, &part, state});
        }
      }
    }
  }
  return stored;
}

// The elements [first, first + count) of a part, as a part of their own.
WeightPart piece_of(const WeightPart& part, std::int64_t first, std::int64_t count) {
  return {part.name, part.offset + first, {count}};
}

std::vector<TensorDeclaration> declarations(const std::map<std::string, Stored>& stored) {
  std::vector<TensorDeclaration> tensors;
  for (const auto& [name, tensor] : stored) {
    tensors.push_back({name, StoredType::f32, dims_of(tensor.part->shape)});
  }
  return tensors;
}

void append_tensor(CheckpointWriter& writer, const Executor& executor, const std::string& name,
                   const Stored& stored, std::vector<float>& buffer) {
  const std::int64_t elements = stored.part->shape.elements();
  for (std::int64_t first = 0; first < elements; first += kChunk) {
    const std::int64_t count = std::min(kChunk, elements - first);
    const std::span<float> values(buffer.data(), count);
    read_weight_part(executor, *stored.weight, piece_of(*stored.part, first, count), stored.state,
                     values);
    if (!std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); })) {
      throw Error(ErrorCode::diverged, "checkpoint not saved: '" + name + "' is not finite", name,
                  "go back to an earlier checkpoint with a smaller learning rate");
    }
    writer.append(name, std::as_bytes(values));
  }
}

nlohmann::json state_to_json(const TrainerState& state) {
  return {{"step", state.step},
          {"updates", state.updates},
          {"tokens", state.tokens},
          {"data", {{"epoch", state.data.epoch}, {"sample", state.data.sample}}},
          {"loss_scale", state.loss_scale.scale},
          {"loss_scale_good_steps", state.loss_scale.good_steps},
          {"recent_losses", state.recent_losses},
          {"recent_norms", state.recent_norms}};
}

nlohmann::json manifest_of(const CheckpointReader& reader) {
  return parse_json(reader.manifest_text(), (reader.path() / "manifest.json").string(),
                    ErrorCode::data);
}

void read_into(Executor& executor, const Stored& stored, const StoredTensor& source,
               const std::string& where) {
  const std::vector<std::int64_t> wanted = dims_of(stored.part->shape);
  if (source.values->shape != wanted) {
    const auto text = [](const std::vector<std::int64_t>& dims) {
      std::string joined;
      for (const std::int64_t dim : dims)
        joined += (joined.empty() ? "" : ", ") + std::to_string(dim);
      return "[" + joined + "]";
    };
    throw Error(ErrorCode::data,
                "shape of '" + source.values->name + "' is " + text(source.values->shape) +
                    ", the config says " + text(wanted),
                where, "use the config.json that belongs to these weights");
  }
  const std::int64_t rows = rows_of(*source.values), width = elements_per_row(*source.values);
  const std::int64_t step = std::max<std::int64_t>(1, kChunk / std::max<std::int64_t>(1, width));
  std::vector<float> values(std::min(rows, step) * width);
  for (std::int64_t row = 0; row < rows; row += step) {
    const std::int64_t count = std::min(step, rows - row);
    const std::span<float> chunk(values.data(), count * width);
    read_rows(source, {row, row + count}, DType::f32, std::as_writable_bytes(chunk));
    const WeightPart piece = piece_of(*stored.part, row * width, count * width);
    if (stored.state == WeightState::value) {
      write_weight_part(executor, *stored.weight, piece, chunk);
    } else {
      write_state_part(executor, *stored.weight, piece, stored.state, chunk);
    }
  }
}

// Tensors of DeepSeek-V3 checkpoints that repeat the main model's for its MTP modules.
bool is_mtp_duplicate(const std::string& name) {
  return name.starts_with("model.layers.") &&
         (name.ends_with(".embed_tokens.weight") || name.ends_with(".shared_head.head.weight"));
}

}  // namespace

std::uint64_t checkpoint_bytes(const Program& program) {
  std::uint64_t bytes = 0;
  for (const auto& [name, stored] : stored_tensors(program)) {
    bytes += static_cast<std::uint64_t>(stored.part->shape.elements()) * sizeof(float);
  }
  return bytes;
}

void save_checkpoint(const Executor& executor, const TrainerState& state, const RunConfig& config,
                     const SaveOptions& options) {
  const std::map<std::string, Stored> stored = stored_tensors(executor.program());
  CheckpointWriter writer(options.directory, state.step, declarations(stored),
                          {.keep = static_cast<std::size_t>(options.keep), .warn = options.warn});
  std::vector<float> buffer(kChunk);
  for (const TensorDeclaration& tensor : writer.order()) {
    append_tensor(writer, executor, tensor.name, stored.at(tensor.name), buffer);
  }
  if (!options.tokenizer_json.empty()) writer.add_file("tokenizer.json", options.tokenizer_json);
  const nlohmann::json manifest = {{"config", to_json(config)},
                                   {"seed", config.seed},
                                   {"mesh", {{"ranks", 1}}},
                                   {"plan", to_json(options.plan)},
                                   {"trainer", state_to_json(state)}};
  writer.commit(manifest.dump());
}

void load_checkpoint(const CheckpointReader& reader, Executor& executor) {
  for (const auto& [name, stored] : stored_tensors(executor.program())) {
    if (stored.state != WeightState::value && reader.find(name) == nullptr) {
      const std::vector<float> zeros(stored.part->shape.elements(), 0.0f);
      write_state_part(executor, *stored.weight, *stored.part, stored.state, zeros);
      continue;
    }
    const SafetensorsEntry& entry = reader.at(name);
    read_into(executor, stored, {.values = &entry}, reader.path().string());
    reader.release(entry);
  }
}

TrainerState load_trainer_state(const CheckpointReader& reader) {
  const nlohmann::json manifest = manifest_of(reader);
  try {
    const nlohmann::json& from = manifest.at("trainer");
    return {.step = from.at("step").get<std::int64_t>(),
            .updates = from.at("updates").get<std::int64_t>(),
            .tokens = from.at("tokens").get<std::int64_t>(),
            .data = {.epoch = from.at("data").at("epoch").get<std::int64_t>(),
                     .sample = from.at("data").at("sample").get<std::int64_t>()},
            .loss_scale = {.scale = from.at("loss_scale").get<double>(),
                           .good_steps = from.at("loss_scale_good_steps").get<std::int64_t>()},
            .recent_losses = from.at("recent_losses").get<std::vector<double>>(),
            .recent_norms = from.at("recent_norms").get<std::vector<double>>()};
  } catch (const nlohmann::json::exception&) {
    throw Error(ErrorCode::data, "the trainer's state is missing or malformed",
                (reader.path() / "manifest.json").string(), "use another checkpoint");
  }
}

std::optional<PlanRecord> load_plan_record(const CheckpointReader& reader) {
  const nlohmann::json manifest = manifest_of(reader);
  const auto plan = manifest.find("plan");
  if (plan == manifest.end()) return std::nullopt;
  return parse_plan_record(*plan, (reader.path() / "manifest.json").string());
}

ModelConfig checkpoint_model(const CheckpointReader& reader) {
  const std::string where = (reader.path() / "manifest.json").string();
  const nlohmann::json manifest = manifest_of(reader);
  const auto config = manifest.find("config");
  if (config == manifest.end() || !config->is_object() || !config->contains("model")) {
    throw Error(ErrorCode::data, "no model config", where, "use another checkpoint");
  }
  return parse_model_config(config->at("model"), where, ErrorCode::data);
}

std::vector<std::string> load_model_files(const ModelFiles& files, const ModelConfig& config,
                                          Executor& executor) {
  std::set<std::string> used;
  for (const auto& [name, stored] : stored_tensors(executor.program())) {
    if (stored.state != WeightState::value) continue;
    used.insert(name);
    const StoredTensor* found = files.find(name);
    if (found == nullptr && !stored.weight->gradient && name.ends_with("e_score_correction_bias")) {
      continue;  // absent in checkpoints that never balanced: it is zero
    }
    const StoredTensor& source = found != nullptr ? *found : files.at(name);
    read_into(executor, stored, source, files.folder().string());
    files.release(source);
  }
  std::vector<std::string> unused;
  for (const auto& [name, tensor] : files.tensors()) {
    const bool tied = config.tie_word_embeddings && name == "lm_head.weight";
    if (used.count(name) == 0 && !tied && !is_mtp_duplicate(name)) unused.push_back(name);
  }
  return unused;
}

}  // namespace ingot
