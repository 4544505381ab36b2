#include "training/run/run_model.h"

#include <algorithm>
#include <optional>

#include "weights/manifest.h"

namespace ingot {
namespace {

bool gives_dtype(const GivenKeys& given) {
  return given.contains("torch_dtype") || given.contains("dtype");
}

}  // namespace

void take_model_of(const CheckpointReader& found, const GivenKeys& given, ModelConfig& model) {
  const ModelConfig then = config_of_checkpoint(found).model;
  if (!given.contains("bos_token_id")) model.bos_token_id = then.bos_token_id;
  if (!given.contains("eos_token_id")) model.eos_token_ids = then.eos_token_ids;
  if (!given.contains("pad_token_id")) model.pad_token_id = then.pad_token_id;
  if (!gives_dtype(given)) model.dtype = then.dtype;
}

std::string settle_fresh_model(const Tokenizer* tokenizer, const Dataset& data,
                               const GivenKeys& given, RunConfig& config) {
  ModelConfig& model = config.model;
  if (!gives_dtype(given)) model.dtype = storage_dtype(config.precision.compute);
  std::optional<std::uint32_t> bos = data.begin_of_text(), eos = data.end_of_text(), pad;
  if (tokenizer != nullptr) {
    const auto begin = tokenizer->begin_ids();
    if (!bos) bos = tokenizer->bos_id();
    if (!bos && begin.size() == 1) bos = begin.front();
    if (!eos) eos = tokenizer->eos_id();
    pad = tokenizer->pad_id();
  }
  if (eos) {  // else nothing is known of the tokens that begin and end
    if (!given.contains("bos_token_id")) model.bos_token_id = bos;
    if (!given.contains("pad_token_id")) model.pad_token_id = pad;
    if (!given.contains("eos_token_id")) model.eos_token_ids = {*eos};
  }
  const auto end = data.end_of_text();
  const auto& ends = model.eos_token_ids;
  if (!end || ends.empty() || std::ranges::find(ends, *end) != ends.end()) return "";
  return "warning: documents of data.train end with token " + std::to_string(*end) +
         ", model.eos_token_id is " + std::to_string(ends.front()) +
         ": texts that the model writes will not end there";
}

}  // namespace ingot
