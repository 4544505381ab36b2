#include "weights/model_transfer.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/base/error.h"
#include "io/checkpoint_files.h"
#include "io/companion_files.h"
#include "io/convert.h"
#include "io/model_files.h"
#include "layers/model.h"
#include "weights/checkpoint_states.h"
#include "weights/cut.h"
#include "weights/exported_config.h"
#include "weights/finite_values.h"
#include "weights/manifest.h"
#include "weights/stored_state.h"

namespace ingot {
namespace {

// Names and shapes of all tensors of a model, MTP modules included.
std::vector<TensorDeclaration> model_tensors(const ModelConfig& model, StoredType type) {
  Program program;
  program.begin(Part::micro_step);
  Builder builder(program, model, {.learning = learn_everything});
  model_losses(builder, model_inputs(builder, /*with_mtp=*/true));
  std::vector<TensorDeclaration> tensors;
  for (const Weight& weight : program.weights()) {
    for (const WeightPart& part : weight.parts) {
      TensorDeclaration tensor{.name = part.name, .type = type, .shape = dims_of(part.whole)};
      // The selection bias stays fp32 (spec 4.1).
      if (weight.learning == Learning::rule) tensor.type = StoredType::f32;
      tensors.push_back(std::move(tensor));
    }
  }
  return tensors;
}

// Calls append(bytes) with a tensor's values as `dtype`, some rows at a time, from read(piece,
// values in fp32).
template <class Read, class Append>
void stream(const Shape& shape, DType dtype, const Read& read, const Append& append) {
  std::vector<float> values;
  std::vector<std::byte> rounded;
  for_rows({.shape = shape}, /*grouped=*/false, [&](const WeightPart& piece) {
    const std::int64_t count = piece.shape.elements();
    values.resize(count);
    rounded.resize(count * size_of(dtype));
    read(piece, std::span(values));
    encode_state(plain_form(dtype), {1, count}, values, rounded.data(), nullptr);
    append(std::span<const std::byte>(rounded));
  });
}

void check_shape(const TensorDeclaration& wanted, const std::vector<std::int64_t>& found,
                 const std::string& where) {
  if (wanted.shape == found) return;
  throw Error(ErrorCode::data, "shape of '" + wanted.name + "' does not fit the config", where,
              "use the config.json that belongs to these weights");
}

}  // namespace

std::vector<std::string> import_model(const std::filesystem::path& model_folder,
                                      const std::filesystem::path& directory) {
  if (!CheckpointReader::list(directory).empty()) {
    throw Error(ErrorCode::usage, "there are checkpoints of a run here", directory.string(),
                "nothing is overwritten: name a new folder");
  }
  const ModelFiles files = ModelFiles::open(model_folder);
  RunConfig config;
  config.model = load_model_config(model_folder, ErrorCode::data);
  // A folder may say that it has MTP modules and not hold them.
  const std::string mtp_prefix =
      "model.layers." + std::to_string(config.model.num_hidden_layers) + ".eh_proj.weight";
  if (files.find(mtp_prefix) == nullptr) config.model.num_nextn_predict_layers = 0;
  // What the weights are stored in says more than the config, which may be silent.
  if (const StoredTensor* embedding = files.find("model.embed_tokens.weight")) {
    const auto stored = dtype_of(embedding->values->type);
    if (stored && is_float(*stored)) config.model.dtype = *stored;
  }
  config.checkpoint.directory = directory.string();
  config.precision.compute = inference_compute(config.model);
  // What is stored must be a config that reads back: no sequence longer than the model's.
  config.data.sequence_length =
      std::min(config.data.sequence_length, config.model.max_position_embeddings);
  config.batch.tokens_per_step -= config.batch.tokens_per_step % config.data.sequence_length;

  std::vector<TensorDeclaration> tensors = model_tensors(config.model, StoredType::f32);
  std::map<std::string, TensorDeclaration> wanted;
  for (const TensorDeclaration& tensor : tensors) wanted.emplace(tensor.name, tensor);
  const auto optional = [](const std::string& name) {
    return name.ends_with("e_score_correction_bias");
  };
  for (const auto& [name, tensor] : wanted) {
    if (const StoredTensor* found = files.find(name)) {
      check_shape(tensor, found->values->shape, model_folder.string());
    } else if (!optional(name)) {
      files.at(name);  // says what is missing
    }
  }
  CheckpointWriter writer(directory, 0, std::move(tensors), {});
  for (const TensorDeclaration& tensor : writer.order()) {
    if (const StoredTensor* found = files.find(tensor.name)) {
      const auto read = [&](const WeightPart& piece, std::span<float> values) {
        read_rows(*found, {piece.first[0], piece.first[0] + piece.shape[0]}, DType::f32,
                  std::as_writable_bytes(values));
        require_finite(tensor.name, piece, values, model_folder.string());
      };
      stream(*shape_of(tensor.shape), DType::f32, read,
             [&](std::span<const std::byte> bytes) { writer.append(tensor.name, bytes); });
      files.release(*found);
    } else {
      const std::vector<float> zeros(tensor.shape.at(0));
      writer.append(tensor.name, std::as_bytes(std::span(zeros)));
    }
  }
  for (const auto& [name, text] : read_companions(model_folder)) writer.add_file(name, text);
  writer.commit(manifest_text(config, nlohmann::json::object()));
  std::vector<std::string> unused;
  for (const auto& [name, tensor] : files.tensors()) {
    if (wanted.count(name) == 0) unused.push_back(name);
  }
  return unused;
}

void export_model(const std::filesystem::path& checkpoint, const std::filesystem::path& folder,
                  std::optional<DType> chosen, const OnDamaged& on_damaged) {
  const ModelSource source = find_model(checkpoint, on_damaged);
  if (source.hugging_face) {
    throw Error(ErrorCode::usage, "this is a Hugging Face folder already", checkpoint.string(),
                "name a checkpoint");
  }
  const CheckpointReader& reader = *source.checkpoint;
  ModelConfig model = source.config.model;
  const DType dtype = model.dtype = chosen.value_or(model.dtype);
  std::vector<TensorDeclaration> tensors = model_tensors(model, stored_type_of(dtype));
  // The released layout repeats embedding and head in each MTP module (spec 5.3).
  std::map<std::string, std::string> copies;
  for (std::int64_t i = 0; i < model.num_nextn_predict_layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(model.num_hidden_layers + i) + ".";
    copies[layer + "embed_tokens.weight"] = "model.embed_tokens.weight";
    copies[layer + "shared_head.head.weight"] =
        model.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
  }
  for (const auto& [name, original] : copies) {
    tensors.push_back({name, stored_type_of(dtype), {model.vocab_size, model.hidden_size}});
  }
  CompanionFiles files = read_companions(source.folder);
  const auto original = files.extract(kConfigFile);
  const std::string config = exported_config(model, original ? original.mapped() : "",
                                             (source.folder / kConfigFile).string());
  ModelWriter writer(folder, std::move(tensors), {.companions = std::move(files)});
  const CheckpointStates states(reader);
  for (const TensorDeclaration& tensor : writer.order()) {
    const auto copy = copies.find(tensor.name);
    const CheckpointState state = states.at(copy == copies.end() ? tensor.name : copy->second);
    check_shape(tensor, dims_of(state.whole), source.folder.string());
    const auto read = [&](const WeightPart& piece, std::span<float> values) {
      read_part(state, piece, values);
    };
    stream(state.whole, *dtype_of(tensor.type), read,
           [&](std::span<const std::byte> bytes) { writer.append(tensor.name, bytes); });
    release(reader, state);
  }
  writer.commit(config);
}

}  // namespace ingot
