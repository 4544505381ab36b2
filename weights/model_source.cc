#include "weights/model_source.h"

#include <utility>
#include <vector>

#include "engine/base/error.h"
#include "weights/manifest.h"

namespace ingot {
namespace {

ModelSource source_of(CheckpointReader reader) {
  const auto checkpoint = std::make_shared<const CheckpointReader>(std::move(reader));
  return {.folder = checkpoint->path(),
          .config = config_of_checkpoint(*checkpoint),
          .checkpoint = checkpoint};
}

}  // namespace

ComputeType inference_compute(const ModelConfig& model) {
  return model.dtype == DType::f32 ? ComputeType::fp32 : ComputeType::bf16;
}

ModelSource find_model(const std::filesystem::path& path, const OnDamaged& on_damaged) {
  if (std::filesystem::exists(path / "manifest.json")) {
    return source_of(CheckpointReader::open(path));
  }
  if (std::filesystem::exists(path / "config.json")) {
    ModelSource source{.folder = path, .hugging_face = true};
    source.config.model = load_model_config(path, ErrorCode::data);
    source.config.precision.compute = inference_compute(source.config.model);
    return source;
  }
  std::string damaged;
  std::vector<std::string> lines;
  auto newest = CheckpointReader::find_newest_good(
      path, [&](const std::string& name, const std::string& reason) {
        damaged += "; " + name + " is damaged: " + reason;
        lines.push_back("damaged checkpoint " + name + " passed over: " + reason);
      });
  if (!newest) {
    throw Error(ErrorCode::data, "no checkpoint and no model here" + damaged, path.string(),
                "name a checkpoint, a run's directory or a Hugging Face folder");
  }
  for (const std::string& line : lines) {
    if (on_damaged) on_damaged(line);
  }
  return source_of(std::move(*newest));
}

}  // namespace ingot
