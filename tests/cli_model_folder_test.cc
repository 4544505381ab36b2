// All of a model's folder goes through import, training and export, and decides how texts begin and
// end.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/base/json.h"
#include "io/companion_files.h"
#include "io/test_folder.h"
#include "tests/subprocess.h"

namespace ingot {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

// Letters, a space, and two tokens of its own; texts begin with the first of them.
std::string tokenizer_json() {
  json vocabulary = json::object();
  for (int i = 0; i < 26; ++i) vocabulary[std::string(1, static_cast<char>('a' + i))] = i;
  vocabulary["\u0120"] = 26;
  vocabulary["\u010a"] = 27;
  for (int i = 28; i < 200; ++i) vocabulary["x" + std::to_string(i)] = i;  // something to write
  const auto special = [](int id, const char* content) {
    return json{{"id", id}, {"content", content}, {"special", true}};
  };
  return json{{"added_tokens", {special(200, "<begin>"), special(201, "<end>")}},
              {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
              {"post_processor",
               {{"type", "TemplateProcessing"},
                {"single",
                 {{{"SpecialToken", {{"id", "<begin>"}, {"type_id", 0}}}},
                  {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
                {"special_tokens", {{"<begin>", {{"ids", {200}}}}}}}},
              {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", json::array()}}}}
      .dump();
}

class ModelFolder : public testing::Test {
 protected:
  ModelFolder() {
    fs::create_directories(folder_ / "hf/additional_chat_templates");
    const fs::path golden = "tests/golden/llama/model";
    fs::copy_file(golden / "model.safetensors", folder_ / "hf/model.safetensors");
    json config = json::parse(contents_of(golden / "config.json"));
    config["max_window_layers"] = 1;
    config["use_cache"] = false;
    config["invented_here"] = {{"deep", {1, nullptr, "x"}}};
    std::string text = config.dump(1);
    text.insert(text.rfind('}'), ", \"time_limit\": [0.0, Infinity]");
    put("hf/config.json", text);
    for (const auto& [name, contents] : companions()) put("hf/" + name, contents);
    std::string letters;
    for (int i = 0; i < 4000; ++i) letters += static_cast<char>('a' + i * i % 26);
    put("text.txt", letters);
  }

  static CompanionFiles companions() {
    return {{"tokenizer.json", tokenizer_json()},
            {"tokenizer_config.json",
             R"({"bos_token": "<begin>", "eos_token": "<end>", "chat_template": "{{ x }}"})"},
            {"special_tokens_map.json", R"({"eos_token": "<end>"})"},
            {"generation_config.json", R"({"eos_token_id": [201, 5], "temperature": 0.6})"},
            {"chat_template.jinja", "{{ messages }}\n"},
            {"additional_chat_templates/tool.jinja", "{{ tools }}"},
            {"vocab.json", "{}"},
            {"merges.txt", "#version: 0.2\n"},
            {"added_tokens.json", "{\"<end>\": 201}"},
            {"modeling_own.py", "# code\n"},
            {"LICENSE", "do as you like\n"},
            {"README.md", "# a model\n"}};
  }

  std::string path(const std::string& name) const { return folder_ / name; }
  void put(const std::string& name, const std::string& text) { put_file(path(name), text); }

  ProcessResult run(const std::vector<std::string>& arguments) {
    ProcessResult result = run_ingot(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result;
  }

  // A run config on data made with the folder's tokenizer.
  void prepare(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {
        "prepare",  "--input",    path("text.txt"), "--tokenizer", path("hf/tokenizer.json"),
        "--output", path("data"), "--eos",          "<end>",       "--validation",
        "0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    run(arguments);
  }
  void write_run(const json& model) {
    put("run.json", json{{"model", model},
                         {"data", {{"train", {"data/train-*.bin"}}, {"sequence_length", 32}}},
                         {"batch", {{"tokens_per_step", 64}}},
                         {"schedule", {{"steps", 2}, {"warmup_steps", 0}}},
                         {"precision", {{"compute", "fp32"}}},
                         {"checkpoint", {{"directory", path("run")}, {"every", 1}}}}
                        .dump());
  }
  CompanionFiles companions_in(const std::string& name) {
    CompanionFiles files = read_companions(path(name));
    files.erase(kConfigFile);
    return files;
  }
  json config_in(const std::string& name) {
    return parse_json(contents_of(path(name + "/config.json")), name, ErrorCode::data,
                      {.python_numbers = true});
  }

  TestFolder folder_{fast_temporary_folder()};
};

TEST_F(ModelFolder, EveryFileAndKeyComesBackFromImportTrainingAndExport) {
  run({"import", path("hf"), path("imported")});
  EXPECT_EQ(companions_in("imported/step_00000000"), companions());
  run({"export", path("imported"), path("untrained")});
  EXPECT_EQ(companions_in("untrained"), companions());

  prepare();
  // A config of its own that says nothing of all this.
  json model = json::parse(contents_of("tests/golden/llama/model/config.json"));
  for (const char* key : {"eos_token_id", "bos_token_id", "torch_dtype", "dtype"}) model.erase(key);
  write_run(model);
  run({"train", path("run.json"), "--quiet", "--resume", path("imported/step_00000000")});
  for (const char* step : {"run/step_00000001", "run/step_00000002"}) {
    EXPECT_EQ(companions_in(step), companions()) << step;
  }
  run({"export", path("run"), path("trained")});
  EXPECT_EQ(companions_in("trained"), companions());

  for (const char* exported : {"untrained", "trained"}) {
    const json before = config_in("hf"), after = config_in(exported);
    for (const char* key : {"max_window_layers", "use_cache", "invented_here", "time_limit",
                            "eos_token_id", "bos_token_id"}) {
      EXPECT_EQ(after.value(key, json("-")), before.value(key, json())) << exported << " " << key;
    }
  }
}

TEST_F(ModelFolder, GenerateEndsAtEveryTokenOfGenerationConfig) {
  const auto text_with = [&](const std::string& stop) {
    put("hf/generation_config.json", "{\"eos_token_id\": " + stop + "}");
    return run({"generate", "--checkpoint", path("hf"), "--prompt", "hello", "--max-tokens", "30"})
        .out.size();
  };
  std::string all;
  for (int id = 0; id < 256; ++id) all += (id > 0 ? ", " : "") + std::to_string(id);
  const std::size_t longest = text_with("255"), shortest = text_with("[" + all + "]");
  EXPECT_LT(shortest, longest);
  EXPECT_LE(shortest, std::string("hello").size() + 2);  // one token and the end of the line
}

TEST_F(ModelFolder, APromptBeginsAsTheTokenizerBeginsTextsUnlessToldNotTo) {
  const auto text = [&](const std::string& prompt, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"generate", "--checkpoint", path("hf"), "--prompt",
                                          prompt,     "--max-tokens", "20"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const std::string out = run(arguments).out;
    return out.substr(prompt.size());
  };
  EXPECT_EQ(text("hello", {}), text("<begin>hello", {}));
  EXPECT_EQ(text("<begin>hello", {"--as-it-stands"}), text("hello", {}));
  EXPECT_NE(text("hello", {"--as-it-stands"}), text("hello", {}));
}

// What is not said of a fresh model is as its tokenizer and its training have it.
TEST_F(ModelFolder, AFreshModelHasTheIdsOfItsTokenizerAndTheTypeItWasTrainedIn) {
  prepare({"--begin-of-text"});
  write_run({{"model_type", "llama"},
             {"vocab_size", 256},
             {"hidden_size", 16},
             {"intermediate_size", 24},
             {"num_hidden_layers", 1},
             {"num_attention_heads", 2}});
  run({"train", path("run.json"), "--quiet"});
  run({"export", path("run"), path("fresh")});
  const json config = config_in("fresh");
  EXPECT_EQ(config["bos_token_id"], 200);
  EXPECT_EQ(config["eos_token_id"], 201);
  EXPECT_TRUE(config["pad_token_id"].is_null());
  EXPECT_EQ(config["torch_dtype"], "float32");
  const CompanionFiles files = read_companions(path("fresh"));
  EXPECT_TRUE(files.contains("tokenizer_config.json"));
  EXPECT_TRUE(files.contains("chat_template.jinja"));
  EXPECT_FALSE(files.contains("generation_config.json"));  // of another model
  EXPECT_FALSE(files.contains("LICENSE"));

  // A key that is given counts, and its contradiction is named.
  const ProcessResult other = run({"train", path("run.json"), "--set", "model.eos_token_id=7",
                                   "--set", "checkpoint.directory=" + path("other")});
  EXPECT_NE(other.out.find("documents of data.train end with token 201, model.eos_token_id is 7"),
            std::string::npos);
}

TEST_F(ModelFolder, ATokenizerThatIsTrainedTellsTransformersItsEnd) {
  run({"prepare", "--input", path("text.txt"), "--tokenizer", "train", "--vocab", "300", "--output",
       path("data")});
  const json config = json::parse(contents_of(path("data/tokenizer_config.json")));
  EXPECT_EQ(config["eos_token"], "<|endoftext|>");
}

}  // namespace
}  // namespace ingot
