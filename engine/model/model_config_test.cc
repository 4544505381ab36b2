#include "engine/model/model_config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "engine/base/mistakes.h"

namespace ingot {
namespace {

using Json = nlohmann::json;

const std::filesystem::path kModels = "configs/models";

// The config "v3" of spec/deepseek.md, appendix A, with `changes`.
Json tiny_v3(const Json& changes = Json::object()) {
  Json json = {{"model_type", "deepseek_v3"}, {"vocab_size", 256},      {"hidden_size", 64},
               {"intermediate_size", 128},    {"num_hidden_layers", 3}, {"num_attention_heads", 4},
               {"moe_intermediate_size", 32}, {"n_routed_experts", 8},  {"n_shared_experts", 1},
               {"num_experts_per_tok", 2},    {"q_lora_rank", 24},      {"kv_lora_rank", 16},
               {"qk_nope_head_dim", 8},       {"qk_rope_head_dim", 8},  {"v_head_dim", 8},
               {"first_k_dense_replace", 1},  {"n_group", 4},           {"topk_group", 2}};
  for (const auto& [key, value] : changes.items()) json[key] = value;
  return json;
}

Json tiny_llama(const Json& changes = Json::object()) {
  Json json = {{"model_type", "llama"},    {"vocab_size", 256},      {"hidden_size", 64},
               {"intermediate_size", 128}, {"num_hidden_layers", 2}, {"num_attention_heads", 4},
               {"num_key_value_heads", 2}};
  for (const auto& [key, value] : changes.items()) json[key] = value;
  return json;
}

ModelConfig parsed(const Json& json) { return parse_model_config(json, "config.json"); }

// The one mistake of a config; "" if it has none.
std::string mistake(const Json& json) {
  try {
    parsed(json);
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.mistakes().size(), 1u) << error.mistakes().back();
    return error.mistakes().front();
  }
  return "";
}

TEST(ModelConfig, MissingFieldsTakeTheDefaultsOfTheFamily) {
  const ModelConfig v3 = parsed({{"model_type", "deepseek_v3"}});
  EXPECT_EQ(v3.hidden_size, 7168);
  EXPECT_EQ(v3.mla->q_lora_rank, 1536);
  EXPECT_EQ(v3.moe->n_routed_experts, 256);
  EXPECT_EQ(v3.moe->scoring_func, ScoringFunc::sigmoid);
  EXPECT_EQ(v3.moe->routed_scaling_factor, 2.5);
  EXPECT_EQ(v3.num_nextn_predict_layers, 1);
  EXPECT_EQ(v3.head_dim, 64);
  EXPECT_TRUE(v3.rope.interleaved);
  EXPECT_EQ(v3.bos_token_id, 0);

  const ModelConfig v2 = parsed({{"model_type", "deepseek_v2"}, {"num_experts_per_tok", 6}});
  EXPECT_EQ(v2.moe->topk_method, TopkMethod::greedy);
  EXPECT_FALSE(v2.moe->norm_topk_prob);
  EXPECT_EQ(v2.moe->moe_intermediate_size, 1407);
  EXPECT_EQ(v2.num_key_value_heads, 32);
  EXPECT_EQ(v2.num_nextn_predict_layers, 0);

  const ModelConfig llama = parsed({{"model_type", "llama"}});
  EXPECT_EQ(llama.vocab_size, 32000);
  EXPECT_EQ(llama.num_key_value_heads, 32);
  EXPECT_EQ(llama.head_dim, 128);
  EXPECT_EQ(llama.rms_norm_eps, 1e-6);
  EXPECT_FALSE(llama.qkv_bias || llama.qk_norm || llama.mla || llama.moe);

  EXPECT_TRUE(parsed({{"model_type", "qwen2"}}).qkv_bias);
  EXPECT_FALSE(parsed({{"model_type", "qwen2"}}).o_bias);
  const ModelConfig qwen3 = parsed({{"model_type", "qwen3"}, {"hidden_size", 1000}});
  EXPECT_TRUE(qwen3.qk_norm);
  EXPECT_EQ(qwen3.head_dim, 128);  // does not follow hidden_size
  EXPECT_FALSE(qwen3.bos_token_id);
}

TEST(ModelConfig, NullIsNotMissing) {
  EXPECT_EQ(parsed(tiny_v3({{"q_lora_rank", nullptr}})).mla->q_lora_rank, std::nullopt);
  Json without = tiny_v3();
  without.erase("q_lora_rank");
  EXPECT_EQ(parsed(without).mla->q_lora_rank, 1536);
  EXPECT_EQ(parsed(tiny_llama({{"num_key_value_heads", nullptr}})).num_key_value_heads, 4);
  EXPECT_FALSE(
      parsed(tiny_v3({{"n_routed_experts", nullptr}, {"num_nextn_predict_layers", 0}})).moe);
}

TEST(ModelConfig, ReadsBothSpellingsOfYarn) {
  const Json yarn = {{"factor", 40},    {"original_max_position_embeddings", 4096},
                     {"beta_fast", 32}, {"beta_slow", 1},
                     {"mscale", 0.707}, {"mscale_all_dim", 0.707}};
  Json old_style = yarn, new_style = yarn;
  old_style["type"] = "yarn";
  new_style["rope_type"] = "yarn";
  new_style["rope_theta"] = 50000;
  const ModelConfig first = parsed(tiny_v3({{"rope_theta", 50000}, {"rope_scaling", old_style}}));
  const ModelConfig second = parsed(tiny_v3({{"rope_parameters", new_style}}));
  EXPECT_EQ(first, second);
  EXPECT_EQ(first.rope.rope_type, RopeType::yarn);
  EXPECT_EQ(first.rope.rope_theta, 50000);
  EXPECT_EQ(first.rope.factor, 40);
  EXPECT_EQ(first.rope.mscale_all_dim, 0.707);
  EXPECT_TRUE(first.rope.truncate);
  EXPECT_EQ(first.rope.attention_factor, std::nullopt);
}

TEST(ModelConfig, ReadsLlama3AndLinearScaling) {
  const ModelConfig llama3 = load_model_config(kModels / "r1_distill_llama_8b.json");
  EXPECT_EQ(llama3.rope.rope_type, RopeType::llama3);
  EXPECT_EQ(llama3.rope.factor, 8);
  EXPECT_EQ(llama3.rope.low_freq_factor, 1);
  EXPECT_EQ(llama3.rope.high_freq_factor, 4);
  EXPECT_EQ(llama3.rope.original_max_position_embeddings, 8192);
  EXPECT_FALSE(llama3.rope.interleaved);

  const ModelConfig linear =
      parsed(tiny_llama({{"rope_scaling", {{"type", "linear"}, {"factor", 2}}}}));
  EXPECT_EQ(linear.rope.rope_type, RopeType::linear);
  EXPECT_EQ(linear.rope.factor, 2);
  const ModelConfig plain =
      parsed(tiny_llama({{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 5e5}}}}));
  EXPECT_EQ(plain.rope.rope_type, RopeType::plain);
  EXPECT_EQ(plain.rope.rope_theta, 5e5);
}

TEST(ModelConfig, YarnTakesTheTrainedLengthFromMaxPositionsWhenMissing) {
  const ModelConfig config =
      parsed(tiny_v3({{"max_position_embeddings", 64},
                      {"rope_scaling", {{"type", "yarn"}, {"factor", 4}, {"mscale", nullptr}}}}));
  EXPECT_EQ(config.rope.original_max_position_embeddings, 64);
  EXPECT_EQ(config.rope.beta_fast, 32);
  EXPECT_EQ(config.rope.mscale, 0);
}

TEST(ModelConfig, EmptyRopeScalingIsNone) {
  const Json linear = {{"rope_type", "linear"}, {"factor", 2}, {"rope_theta", 5e5}};
  const ModelConfig config =
      parsed(tiny_llama({{"rope_scaling", Json::object()}, {"rope_parameters", linear}}));
  EXPECT_EQ(config.rope.rope_type, RopeType::linear);
  EXPECT_EQ(config.rope.rope_theta, 5e5);
}

// transformers' latent attention looks at mscale_all_dim whatever the type is.
TEST(ModelConfig, LatentAttentionReadsMscaleAllDimOfEveryScaling) {
  const Json linear = {{"rope_type", "linear"}, {"factor", 2}, {"mscale_all_dim", 0.5}};
  const ModelConfig v3 = parsed(tiny_v3({{"rope_scaling", linear}}));
  EXPECT_EQ(v3.rope.mscale_all_dim, 0.5);
  EXPECT_EQ(parsed(to_hf_json(v3)), v3);
  EXPECT_EQ(parsed(tiny_llama({{"rope_scaling", linear}})).rope.mscale_all_dim, 0);
}

TEST(ModelConfig, DeepSeekMayHaveBiases) {
  const ModelConfig v3 = parsed(tiny_v3({{"attention_bias", true}}));
  EXPECT_TRUE(v3.qkv_bias && v3.o_bias);
  EXPECT_FALSE(v3.mlp_bias);
  const ModelConfig v2 = parsed(tiny_v3({{"model_type", "deepseek_v2"}, {"mlp_bias", true}}));
  EXPECT_FALSE(v2.qkv_bias || v2.o_bias);
  EXPECT_TRUE(v2.mlp_bias);
  EXPECT_EQ(parsed(to_hf_json(v3)), v3);
  EXPECT_EQ(parsed(to_hf_json(v2)), v2);
}

// Its score is that of the best expert, which one expert has too.
TEST(ModelConfig, GroupsOfV2MayHoldOneExpert) {
  const Json v2 = {{"model_type", "deepseek_v2"},
                   {"topk_method", "group_limited_greedy"},
                   {"n_routed_experts", 8},
                   {"n_group", 8},
                   {"topk_group", 3},
                   {"num_experts_per_tok", 3}};
  EXPECT_EQ(parsed(v2).moe->n_group, 8);
}

TEST(ModelConfig, TakesTokenIdsAsNumberListOrNull) {
  EXPECT_EQ(parsed(tiny_llama({{"eos_token_id", {7, 9}}})).eos_token_ids,
            (std::vector<std::int64_t>{7, 9}));
  EXPECT_TRUE(parsed(tiny_llama({{"eos_token_id", nullptr}})).eos_token_ids.empty());
  EXPECT_FALSE(parsed(tiny_llama({{"bos_token_id", nullptr}})).bos_token_id);
  EXPECT_NE(mistake(tiny_llama({{"eos_token_id", "</s>"}})), "");
}

TEST(ModelConfig, KnowsOtherNamesOfFields) {
  EXPECT_EQ(parsed(tiny_v3({{"num_mtp_layers", 2}})).num_nextn_predict_layers, 2);
  EXPECT_EQ(parsed(tiny_llama({{"torch_dtype", "float16"}})).dtype, DType::f16);
  EXPECT_EQ(parsed(tiny_llama({{"dtype", "float32"}})).dtype, DType::f32);
}

TEST(ModelConfig, SkipsUnknownFields) {
  EXPECT_EQ(mistake(tiny_llama({{"hiden_size", 7}, {"auto_map", Json::object()}})), "");
}

TEST(ModelConfig, ReadsFp8Quantization) {
  const ModelConfig v3 = load_model_config(kModels / "deepseek_v3.json");
  ASSERT_TRUE(v3.quantization);
  EXPECT_EQ(v3.quantization->block_rows, 128);
  EXPECT_EQ(
      mistake(tiny_llama({{"quantization_config", {{"quant_method", "gptq"}}}})),
      "config.json: \"quant_method\" is \"gptq\": only weights in FP8 can be imported: \"fp8\", "
      "\"fbgemm_fp8\", and those of \"compressed-tensors\", \"modelopt\" and \"quark\" in that "
      "type");
}

TEST(ModelConfig, RefusesByNameWhatItCantCompute) {
  const std::map<std::string, Json> refused = {
      {"hidden_act", "gelu"},
      {"attention_dropout", 0.1},
      {"moe_layer_freq", 2},
      {"scoring_func", "softmax"},
      {"topk_method", "greedy"},
      {"partial_rotary_factor", 0.5},
      {"torch_dtype", "float64"},
      {"layer_types", {"full_attention", "sliding_attention"}},
      {"rope_scaling", {{"type", "longrope"}, {"factor", 4}}},
  };
  for (const auto& [key, value] : refused) {
    const std::string message = mistake(tiny_v3({{key, value}}));
    EXPECT_NE(message.find(key == "rope_scaling" ? "\"type\" is \"longrope\"" : key),
              std::string::npos)
        << key << ": " << message;
  }
  EXPECT_NE(mistake({{"model_type", "qwen2"}, {"use_sliding_window", true}}), "");
  EXPECT_NE(
      mistake(
          {{"model_type", "deepseek_v2"}, {"num_experts_per_tok", 6}, {"norm_topk_prob", true}}),
      "");
  EXPECT_EQ(mistake({{"model_type", "deepseek_v32"}}),
            "config.json: \"model_type\" is \"deepseek_v32\": did you mean \"deepseek_v2\"? It is "
            "one of \"llama\", \"qwen2\", \"qwen3\", \"deepseek_v2\" or \"deepseek_v3\"");
  EXPECT_NE(mistake(Json::array()), "");
  EXPECT_NE(mistake({{"vocab_size", 5}}), "");
}

TEST(ModelConfig, RefusesSizesThatDontFitTogether) {
  EXPECT_EQ(mistake(tiny_llama({{"num_key_value_heads", 3}})),
            "config.json: \"num_key_value_heads\" is 3: a divisor of \"num_attention_heads\" (4)");
  EXPECT_EQ(mistake(tiny_llama({{"hidden_size", 66}})),
            "config.json: \"num_attention_heads\" is 4: a divisor of \"hidden_size\" (66)");
  EXPECT_NE(mistake(tiny_llama({{"head_dim", 15}})), "");
  EXPECT_NE(mistake(tiny_v3({{"num_key_value_heads", 2}})), "");
  EXPECT_NE(mistake(tiny_v3({{"qk_rope_head_dim", 7}})), "");
  EXPECT_EQ(mistake(tiny_v3({{"n_group", 3}})),
            "config.json: \"n_group\" is 3: a divisor of \"n_routed_experts\" (8)");
  EXPECT_EQ(
      mistake(tiny_v3({{"n_group", 8}})),
      "config.json: \"n_group\" is 8: at most 4: the score of a group is that of its two best "
      "experts");
  EXPECT_NE(mistake(tiny_v3({{"topk_group", 5}})), "");
  EXPECT_EQ(mistake(tiny_v3({{"num_experts_per_tok", 5}})),
            "config.json: \"num_experts_per_tok\" is 5: at most the 4 experts of \"topk_group\" "
            "groups");
  EXPECT_NE(mistake(tiny_v3({{"num_experts_per_tok", 9}})), "");
  EXPECT_NE(mistake(tiny_v3({{"n_routed_experts", nullptr}})), "");  // with an MTP module
}

TEST(ModelConfig, RefusesSizesOutOfRange) {
  for (const Json& value : {Json(0), Json(-1), Json(1e18), Json(3.5), Json("64"), Json(nullptr),
                            Json(true), Json(18446744073709551615u)}) {
    EXPECT_NE(mistake(tiny_llama({{"vocab_size", value}})), "") << value;
    EXPECT_NE(mistake(tiny_llama({{"num_hidden_layers", value}})), "") << value;
  }
  EXPECT_NE(mistake(tiny_llama({{"rms_norm_eps", 0}})), "");
}

TEST(ModelConfig, LargestAllowedModelHasACountInRange) {
  const Json largest = {{"model_type", "deepseek_v3"},
                        {"vocab_size", 1 << 24},
                        {"hidden_size", 1 << 16},
                        {"intermediate_size", 1 << 20},
                        {"num_hidden_layers", 1024},
                        {"num_attention_heads", 2048},
                        {"n_routed_experts", 4096},
                        {"n_shared_experts", 1},
                        {"moe_intermediate_size", 1 << 18},
                        {"first_k_dense_replace", 0},
                        {"q_lora_rank", 1 << 16},
                        {"kv_lora_rank", 1 << 16},
                        {"qk_nope_head_dim", 4096},
                        {"qk_rope_head_dim", 4096},
                        {"v_head_dim", 4096},
                        {"num_nextn_predict_layers", 16}};
  const ParameterCount count = count_parameters(parsed(largest));
  // Layers x experts x one expert, and everything else is far smaller.
  const double experts = 1024.0 * 4096 * 3 * 65536 * 262144;
  EXPECT_GT(static_cast<double>(count.total), experts);
  EXPECT_LT(static_cast<double>(count.total), 1.02 * experts);
  EXPECT_LT(static_cast<double>(count.total) * 16, 9.2e18);  // bytes with AdamW
}

TEST(ModelConfig, ListsAllMistakesWithTheirLines) {
  const auto path = std::filesystem::path(testing::TempDir()) / "bad_config.json";
  std::ofstream(path)
      << "{\"model_type\": \"llama\",\n\"hidden_size\": 0,\n\"vocab_size\": \"x\",\n"
         "\"vocab_size\": \"y\",\n\"hidden_act\": \"relu\"}";
  try {
    load_model_config(path, ErrorCode::data);
    FAIL() << "was accepted";
  } catch (const ConfigError& error) {
    const std::string name = path.string();
    EXPECT_EQ(error.code(), ErrorCode::data);
    EXPECT_EQ(error.mistakes(),
              (std::vector<std::string>{
                  name + ":2: \"hidden_size\" is 0: an integer from 1 to 65536",
                  name + ":4: \"vocab_size\" is given twice: it stands on line 3 already",
                  name + ":4: \"vocab_size\" is \"y\": an integer from 1 to 16777216",
                  name + ":5: \"hidden_act\" is \"relu\": only \"silu\" is supported"}));
  }
}

TEST(ModelConfig, FolderMeansItsConfigJson) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "hf_model";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "config.json") << tiny_v3().dump();
  EXPECT_EQ(load_model_config(folder), parsed(tiny_v3()));
}

TEST(ModelConfig, ExportedConfigReadsBackEqual) {
  int count = 0;
  for (const auto& file : std::filesystem::directory_iterator(kModels)) {
    ModelConfig config = load_model_config(file.path());
    const Json exported = to_hf_json(config);
    config.quantization.reset();  // what is exported is not quantized
    EXPECT_EQ(parse_model_config(exported, "exported"), config) << file.path();
    validate(config, "loaded");
    ++count;
  }
  EXPECT_EQ(count, 18);
}

// As llm-compressor, ModelOpt, Quark and FBGEMM name it; other types of theirs are refused.
TEST(ModelConfig, Fp8IsKnownByEveryNameItIsPublishedUnder) {
  const auto compressed = [](int bits, const char* type) {
    const Json weights = {{"num_bits", bits}, {"type", type}, {"strategy", "channel"}};
    return Json{{"quant_method", "compressed-tensors"},
                {"config_groups", {{"group_0", {{"weights", weights}}}}}};
  };
  for (const Json& quantization :
       {Json{{"quant_method", "fp8"}, {"activation_scheme", "static"}},
        Json{{"quant_method", "fp8"}, {"weight_block_size", nullptr}},
        Json{{"quant_method", "fbgemm_fp8"}},
        Json{{"quant_method", "modelopt"}, {"quant_algo", "FP8"}},
        Json{{"quant_method", "quark"},
             {"global_quant_config", {{"weight", {{"dtype", "fp8_e4m3"}}}}}},
        compressed(8, "float")}) {
    EXPECT_EQ(mistake(tiny_llama({{"quantization_config", quantization}})), "") << quantization;
  }
  for (const Json& quantization : {compressed(8, "int"), compressed(4, "float"),
                                   Json{{"quant_method", "modelopt"}, {"quant_algo", "NVFP4"}},
                                   Json{{"quant_method", "quark"}}}) {
    EXPECT_NE(mistake(tiny_llama({{"quantization_config", quantization}})), "") << quantization;
  }
}

TEST(ModelConfig, ExportWritesEveryFieldOfAV3Config) {
  const Json json = to_hf_json(parsed(tiny_v3({{"q_lora_rank", nullptr}})));
  for (const char* const key : {"architectures",
                                "model_type",
                                "torch_dtype",
                                "vocab_size",
                                "hidden_size",
                                "intermediate_size",
                                "moe_intermediate_size",
                                "num_hidden_layers",
                                "num_attention_heads",
                                "num_key_value_heads",
                                "n_shared_experts",
                                "n_routed_experts",
                                "routed_scaling_factor",
                                "kv_lora_rank",
                                "q_lora_rank",
                                "qk_rope_head_dim",
                                "v_head_dim",
                                "qk_nope_head_dim",
                                "n_group",
                                "topk_group",
                                "num_experts_per_tok",
                                "first_k_dense_replace",
                                "norm_topk_prob",
                                "scoring_func",
                                "topk_method",
                                "moe_layer_freq",
                                "hidden_act",
                                "attention_bias",
                                "max_position_embeddings",
                                "rms_norm_eps",
                                "initializer_range",
                                "tie_word_embeddings",
                                "rope_theta",
                                "bos_token_id",
                                "eos_token_id",
                                "num_nextn_predict_layers",
                                "use_cache"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  EXPECT_TRUE(json["q_lora_rank"].is_null());
  EXPECT_EQ(json["num_key_value_heads"], 4);
}

TEST(ModelConfig, ValidateFindsAContradictionMadeByHand) {
  ModelConfig config = parsed(tiny_llama());
  validate(config, "by hand");
  config.qk_norm = true;  // no llama has it
  EXPECT_THROW(validate(config, "by hand"), Error);
  config = parsed(tiny_v3());
  config.moe->n_group = 3;
  EXPECT_THROW(validate(config, "by hand"), ConfigError);
}

// spec/deepseek.md 8.2.
struct Counted {
  const char* file;
  std::int64_t total, active, without_embedding;
};

TEST(ParameterCount, EqualsThePublishedModels) {
  const Counted published[] = {
      {"deepseek_llm_7b", 6'910'365'696, 6'910'365'696, 6'490'935'296},
      {"deepseek_llm_67b", 67'425'001'472, 67'425'001'472, 66'586'140'672},
      {"deepseek_v2_lite", 15'706'484'224, 2'661'150'208, 2'451'435'008},
      {"deepseek_v2", 235'741'434'880, 21'375'800'320, 20'851'512'320},
      {"deepseek_v3", 671'026'419'200, 37'552'297'472, 36'625'618'432},
      {"r1_distill_qwen_1_5b", 1'777'088'000, 1'777'088'000, 1'543'714'304},
      {"r1_distill_qwen_7b", 7'615'616'512, 7'615'616'512, 7'070'619'136},
      {"r1_distill_qwen_14b", 14'770'033'664, 14'770'033'664, 13'991'465'984},
      {"r1_distill_qwen_32b", 32'763'876'352, 32'763'876'352, 31'985'308'672},
      {"r1_distill_llama_8b", 8'030'261'248, 8'030'261'248, 7'504'924'672},
      {"r1_distill_llama_70b", 70'553'706'496, 70'553'706'496, 69'503'033'344},
      {"r1_0528_qwen3_8b", 8'190'735'360, 8'190'735'360, 7'568'405'504},
  };
  for (const Counted& model : published) {
    const auto count =
        count_parameters(load_model_config(kModels / (std::string(model.file) + ".json")));
    EXPECT_EQ(count.total, model.total) << model.file;
    EXPECT_EQ(count.active, model.active) << model.file;
    EXPECT_EQ(count.active_without_embedding, model.without_embedding) << model.file;
  }
}

TEST(ParameterCount, CountsMtpAndSelectionBiasOfV3Apart) {
  const auto count = count_parameters(load_model_config(kModels / "deepseek_v3.json"));
  EXPECT_EQ(count.mtp, 11'610'068'224);
  EXPECT_EQ(count.active_mtp, 585'318'656 + 102'760'448 + 21'504);
  EXPECT_EQ(count.selection_bias, 58 * 256);
  EXPECT_EQ(count.total - count.selection_bias, 671'026'404'352);
}

TEST(ParameterCount, EqualsTheTinyModelsOfTheReference) {
  const auto v3 = count_parameters(parsed(tiny_v3()));
  EXPECT_EQ(v3.total, 192'584);
  EXPECT_EQ(v3.active, 118'856);
  EXPECT_EQ(v3.selection_bias, 16);
  Json v2 = tiny_v3({{"model_type", "deepseek_v2"},
                     {"q_lora_rank", nullptr},
                     {"n_shared_experts", 2},
                     {"norm_topk_prob", false}});
  EXPECT_EQ(count_parameters(parsed(v2)).total, 207'856);
  EXPECT_EQ(count_parameters(parsed(v2)).active, 134'128);
  v2["q_lora_rank"] = 24;
  EXPECT_EQ(count_parameters(parsed(v2)).total, 204'856);
  EXPECT_EQ(count_parameters(parsed(tiny_llama())).total, 106'816);
  EXPECT_EQ(
      count_parameters(parsed(tiny_llama({{"model_type", "qwen2"}, {"tie_word_embeddings", true}})))
          .total,
      90'688);
  EXPECT_EQ(count_parameters(parsed(tiny_llama({{"model_type", "qwen3"}, {"head_dim", 32}}))).total,
            131'520);
}

TEST(ParameterCount, TiedMatrixCountsOnceAndAsHead) {
  Json tied = to_hf_json(load_model_config(kModels / "r1_distill_qwen_1_5b.json"));
  tied["tie_word_embeddings"] = true;
  const auto count = count_parameters(parsed(tied));
  EXPECT_EQ(count.total, 1'543'714'304);
  EXPECT_EQ(count.active_without_embedding, count.total);
}

TEST(ParameterCount, CountsEveryBias) {
  const auto without = count_parameters(parsed(tiny_llama())).total;
  // q 64, k and v 32 each, o 64; gate and up 128, down 64; two layers.
  EXPECT_EQ(count_parameters(parsed(tiny_llama({{"attention_bias", true}}))).total,
            without + 2 * 192);
  EXPECT_EQ(count_parameters(parsed(tiny_llama({{"mlp_bias", true}}))).total, without + 2 * 320);
  // q_a 24, kv_a 16 + 8, o 64; three layers. Without q_a the query has none.
  const auto v3 = [](const Json& changes) { return count_parameters(parsed(tiny_v3(changes))); };
  EXPECT_EQ(v3({{"attention_bias", true}}).total, v3({}).total + 3 * 112);
  EXPECT_EQ(v3({{"attention_bias", true}, {"q_lora_rank", nullptr}}).total,
            v3({{"q_lora_rank", nullptr}}).total + 3 * 88);
  // One dense layer 2 * 128 + 64, two with a shared expert 2 * 32 + 64; no routed expert.
  const auto v2 = [&](bool biased) {
    return v3({{"model_type", "deepseek_v2"}, {"norm_topk_prob", false}, {"mlp_bias", biased}});
  };
  EXPECT_EQ(v2(true).total, v2(false).total + 320 + 2 * 128);
}

TEST(TrainingFlops, EqualTheCheckValuesOfV3) {
  const ModelConfig v3 = load_model_config(kModels / "deepseek_v3.json");
  // Given to three decimals of a GFLOP.
  EXPECT_NEAR(training_flops_per_token(v3, 4096) / 1e9, 250.456, 5e-4);
  EXPECT_NEAR(training_flops_per_token(v3, 4096, false, false) / 1e9, 281.158, 5e-4);
}

TEST(TrainingFlops, MtpAddsItsLayerProjectionAndHead) {
  const ModelConfig v3 = load_model_config(kModels / "deepseek_v3.json");
  const double attention_of_a_layer = 3.0 * 128 * 320 * 4096;
  const double weights = 585'318'656.0 + 102'760'448 + 21'504 + 926'679'040;
  EXPECT_NEAR(training_flops_per_token(v3, 4096, true) - training_flops_per_token(v3, 4096),
              6 * weights + attention_of_a_layer, 1e3);  // doubles of 2.5e11: 3e-5 apart
}

TEST(ModelConfig, TwoNamesOfOneSettingSayTheSame) {
  EXPECT_EQ(mistake(tiny_llama({{"torch_dtype", "float32"}, {"dtype", "float32"}})), "");
  EXPECT_NE(mistake(tiny_llama({{"torch_dtype", "float32"}, {"dtype", "bfloat16"}}))
                .find("the same as \"torch_dtype\" (\"float32\")"),
            std::string::npos);
  EXPECT_EQ(mistake(tiny_v3({{"num_nextn_predict_layers", 1}, {"num_mtp_layers", 1}})), "");
  EXPECT_NE(mistake(tiny_v3({{"num_nextn_predict_layers", 1}, {"num_mtp_layers", 2}}))
                .find("the same as \"num_nextn_predict_layers\" (1)"),
            std::string::npos);
}

}  // namespace
}  // namespace ingot
