#include "weights/exported_config.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "engine/base/json.h"

namespace ingot {
namespace {

using Json = nlohmann::json;

Json read(const std::string& text) {
  return parse_json(text, "config.json", ErrorCode::data, {.python_numbers = true});
}

ModelConfig tiny(const Json& given) { return parse_model_config(given, "config.json"); }

const Json kModel = {{"model_type", "llama"},  {"vocab_size", 256},
                     {"hidden_size", 64},      {"intermediate_size", 128},
                     {"num_hidden_layers", 2}, {"num_attention_heads", 4}};

// What ingot does not compute with comes back as it stood, what it does as it is now.
TEST(ExportedConfig, KeysThatAreNotComputedWithComeBack) {
  const std::string kept =
      R"("max_window_layers": 1, "sliding_window": null, "use_cache": false, "pretraining_tp": 2,
         "layer_types": ["full_attention", "full_attention"], "transformers_version": "4.41.2",
         "auto_map": {"AutoConfig": "configuration_mine.MineConfig"},
         "time_limit": [0.0, Infinity], "invented": {"deeply": [1, "two", null]})";
  std::string original = kModel.dump();
  original.insert(1, kept + R"(, "dtype": "float32", "quantization_config": {"quant_method": "fp8"},
                               "rope_parameters": {"rope_type": "default", "rope_theta": 5e5},)");
  const Json config = read(exported_config(tiny(read(original)), original, "config.json"));
  const Json expected = read("{" + kept + "}");
  for (const auto& [key, value] : expected.items()) {
    EXPECT_EQ(config.value(key, Json("-")), value) << key;
  }
  EXPECT_EQ(config["torch_dtype"], "float32");
  EXPECT_EQ(config["rope_theta"], 5e5);
  for (const char* key : {"dtype", "quantization_config", "rope_parameters"}) {
    EXPECT_FALSE(config.contains(key)) << key;
  }
}

TEST(ExportedConfig, AListOfLayersThatWereChangedIsLeftOut) {
  Json original = kModel;
  original["layer_types"] = Json::array({"full_attention", "full_attention"});
  ModelConfig model = tiny(original);
  model.num_hidden_layers = 3;
  const Json config = read(exported_config(model, original.dump(), "config.json"));
  EXPECT_FALSE(config.contains("layer_types"));
  EXPECT_EQ(config["num_hidden_layers"], 3);
}

TEST(ExportedConfig, WithoutAnOriginalItIsTheModels) {
  const ModelConfig model = tiny(kModel);
  EXPECT_EQ(read(exported_config(model, "", "")), to_hf_json(model));
}

}  // namespace
}  // namespace ingot
