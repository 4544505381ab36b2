// Models in and out of the program: import, export, verify, eval and generate agree with the
// reference runs in tests/golden.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "data/shards/shard_testing.h"
#include "engine/numbers/random.h"
#include "io/checkpoint_files.h"
#include "io/model_files.h"
#include "io/safetensors.h"
#include "io/test_folder.h"
#include "tests/subprocess.h"

namespace ingot {
namespace {

using nlohmann::json;

const char* const kModels[] = {
    "deepseek_v3", "deepseek_v3_yarn", "deepseek_v2_lite", "deepseek_v2_group",
    "llama",       "qwen2_tied"};

std::string golden(const std::string& model) { return "tests/golden/" + model; }

std::map<std::string, std::string> tensors_of(const SafetensorsFile& file) {
  std::map<std::string, std::string> tensors;
  for (const SafetensorsEntry& entry : file.entries()) {
    tensors[describe(entry)] = {reinterpret_cast<const char*>(entry.bytes.data()),
                                entry.bytes.size()};
  }
  return tensors;
}

std::vector<std::int32_t> integers_of(const SafetensorsFile& file, const std::string& name) {
  const SafetensorsEntry& entry = file.at(name);
  std::vector<std::int32_t> values(entry.bytes.size() / sizeof(std::int32_t));
  std::memcpy(values.data(), entry.bytes.data(), entry.bytes.size());
  return values;
}

float float_of(const SafetensorsFile& file, const std::string& name) {
  float value;
  std::memcpy(&value, file.at(name).bytes.data(), sizeof value);
  return value;
}

class Transfer : public testing::TestWithParam<const char*> {
 protected:
  std::string path(const std::string& name) const { return folder_ / name; }
  std::string model() const { return golden(GetParam()) + "/model"; }
  SafetensorsFile reference() const {
    return SafetensorsFile(golden(GetParam()) + "/golden.safetensors");
  }
  TestFolder folder_{fast_temporary_folder()};
};

TEST_P(Transfer, AnExportOfAnImportIsTheOriginalBitForBit) {
  const ProcessResult imported = run_ingot({"import", model(), path("run")});
  ASSERT_EQ(imported.exit_code, 0) << imported.err;
  EXPECT_EQ(imported.err, "");  // every tensor found its place
  ASSERT_EQ(run_ingot({"export", path("run"), path("hf")}).exit_code, 0);
  EXPECT_EQ(tensors_of(SafetensorsFile(path("hf/model.safetensors"))),
            tensors_of(SafetensorsFile(model() + "/model.safetensors")));
  const ProcessResult verified =
      run_ingot({"verify", path("hf"), golden(GetParam()) + "/golden.safetensors", "--json"});
  EXPECT_EQ(verified.exit_code, 0) << verified.out << verified.err;
  EXPECT_TRUE(json::accept(verified.out)) << verified.out;
}

TEST_P(Transfer, ABf16ExportKeepsNamesAndRoundsOnce) {
  ASSERT_EQ(run_ingot({"import", model(), path("run")}).exit_code, 0);
  ASSERT_EQ(run_ingot({"export", path("run"), path("hf"), "--dtype", "bf16"}).exit_code, 0);
  const SafetensorsFile exported(path("hf/model.safetensors"));
  const SafetensorsFile original(model() + "/model.safetensors");
  ASSERT_EQ(exported.entries().size(), original.entries().size());
  for (const SafetensorsEntry& entry : original.entries()) {
    const SafetensorsEntry& other = exported.at(entry.name);
    EXPECT_EQ(other.shape, entry.shape);
    const bool kept = entry.name.ends_with("e_score_correction_bias");  // stays fp32
    ASSERT_EQ(other.type, kept ? StoredType::f32 : StoredType::bf16) << entry.name;
    for (std::size_t i = 0; !kept && i < entry.bytes.size() / 4; ++i) {
      float value;
      std::uint16_t rounded;
      std::memcpy(&value, entry.bytes.data() + 4 * i, 4);
      std::memcpy(&rounded, other.bytes.data() + 2 * i, 2);
      ASSERT_EQ(rounded, float_to_bf16(value)) << entry.name << " " << i;
    }
  }
}

// A tokenizer in which token i, 0 .. 255, is the text "<i>": any ids can be written as a prompt.
std::string numeral_tokenizer() {
  json vocabulary = json::object(), added = json::array();
  // Bytes as byte-level BPE spells them, behind the model's own 256 ids.
  int id = 256, shifted = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const int point = printable ? byte : shifted++;
    std::string text;
    if (point < 128) {
      text = static_cast<char>(point);
    } else {
      text = {static_cast<char>(0xC0 | point >> 6), static_cast<char>(0x80 | (point & 63))};
    }
    vocabulary[text] = id++;
  }
  for (int token = 0; token < 256; ++token) {
    added.push_back({{"id", token},
                     {"content", "<" + std::to_string(token) + ">"},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", false}});
  }
  return json{{"version", "1.0"},
              {"added_tokens", added},
              {"normalizer", nullptr},
              {"pre_tokenizer",
               {{"type", "ByteLevel"},
                {"add_prefix_space", false},
                {"trim_offsets", true},
                {"use_regex", true}}},
              {"post_processor", nullptr},
              {"decoder",
               {{"type", "ByteLevel"},
                {"add_prefix_space", true},
                {"trim_offsets", true},
                {"use_regex", true}}},
              {"model",
               {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", nullptr},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", false},
                {"byte_fallback", false},
                {"ignore_merges", false},
                {"vocab", vocabulary},
                {"merges", json::array()}}}}
      .dump();
}

std::string text_of(std::span<const std::int32_t> ids) {
  std::string text;
  for (const std::int32_t id : ids) text += "<" + std::to_string(id) + ">";
  return text;
}

TEST_P(Transfer, GreedyTextIsTheReferences) {
  put_file(path("tokenizer.json"), numeral_tokenizer());
  const std::vector<std::int32_t> greedy = integers_of(reference(), "greedy");
  ASSERT_EQ(greedy.size(), 32u);
  const ProcessResult result = run_ingot(
      {"generate", "--checkpoint", model(), "--tokenizer", path("tokenizer.json"), "--prompt",
       text_of(std::span(greedy).first(8)), "--max-tokens", "24", "--temperature", "0"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, text_of(greedy) + "\n");
}

// A tokenizer that puts tokens before a text does so before a prompt, as the model was trained; not
// before a prompt that brings them.
TEST_P(Transfer, APromptBeginsAsTheTokenizersPostProcessorSays) {
  constexpr std::size_t kBegin = 2;
  const std::vector<std::int32_t> greedy = integers_of(reference(), "greedy");
  const std::string name = text_of(std::span(greedy).first(1));
  const json begin = {{"SpecialToken", {{"id", name}, {"type_id", 0}}}};
  const json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  json tokenizer = json::parse(numeral_tokenizer());
  tokenizer["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", {begin, text}},
      {"pair", {begin, text}},
      {"special_tokens",
       {{name, {{"id", name}, {"ids", {greedy[0], greedy[1]}}, {"tokens", json::array({name})}}}}}};
  put_file(path("tokenizer.json"), tokenizer.dump());
  for (const std::size_t left_out : {std::size_t{0}, kBegin}) {
    const auto prompt = std::span(greedy).first(8).subspan(left_out);
    const ProcessResult result =
        run_ingot({"generate", "--checkpoint", model(), "--tokenizer", path("tokenizer.json"),
                   "--prompt", text_of(prompt), "--max-tokens", "24", "--temperature", "0"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out, text_of(std::span(greedy).subspan(left_out)) + "\n");
  }
}

TEST_P(Transfer, SampledTextDependsOnTheSeedAlone) {
  put_file(path("tokenizer.json"), numeral_tokenizer());
  const auto sample = [&](const std::string& seed) {
    const ProcessResult result =
        run_ingot({"generate", "--checkpoint", model(), "--tokenizer", path("tokenizer.json"),
                   "--prompt", "<5><6>", "--max-tokens", "40", "--temperature", "1", "--top-p",
                   "0.9", "--top-k", "50", "--seed", seed});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  };
  const std::string first = sample("1");
  EXPECT_TRUE(first.starts_with("<5><6><"));
  EXPECT_EQ(sample("1"), first);
  EXPECT_NE(sample("2"), first);
}

TEST_P(Transfer, EvalOnShardsGivesTheReferencesLoss) {
  const SafetensorsFile reference = this->reference();
  const std::vector<std::int32_t> rows = integers_of(reference, "tokens");
  ASSERT_EQ(rows.size(), 2u * 49);
  double loss = 0;
  for (int row = 0; row < 2; ++row) {
    const std::vector<std::uint32_t> tokens(rows.begin() + row * 49, rows.begin() + row * 49 + 49);
    const std::string name = "row" + std::to_string(row);
    write_shard(folder_ / name, tokens, 256);
    const ProcessResult result =
        run_ingot({"eval", "--checkpoint", model(), "--data", path(name + ".bin"), "--sequence",
                   "48", "--batch", row == 0 ? "1" : "3", "--json"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const json values = json::parse(result.out);
    EXPECT_EQ(values.at("tokens"), 48);
    EXPECT_NEAR(values.at("perplexity"), std::exp(values.at("loss").get<double>()), 1e-6);
    loss += values.at("loss").get<double>() / 2;
  }
  EXPECT_NEAR(loss, float_of(reference, "loss"), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Models, Transfer, testing::ValuesIn(kModels),
                         [](const auto& info) { return std::string(info.param); });

// E4M3 without infinities: sign, 4 bits of exponent with bias 7, 3 bits of mantissa.
double e4m3(std::uint8_t code) {
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  const double size =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return code & 128 ? -size : size;
}

// DeepSeek-V3's release format: matrices of attention and experts as fp8 codes with a scale for
// each block, here of 16 x 32 elements so that small matrices have several, the last ones partial.
TEST(Fp8Import, MultipliesEveryCodeWithItsBlocksScale) {
  constexpr std::int64_t kRows = 16, kColumns = 32;
  const TestFolder folder(fast_temporary_folder());
  const std::string source = golden("deepseek_v3") + "/model", hf = folder / "hf";
  std::filesystem::create_directory(hf);
  json config = json::parse(contents_of(source + "/config.json"));
  config["quantization_config"] = {{"quant_method", "fp8"},
                                   {"fmt", "e4m3"},
                                   {"activation_scheme", "dynamic"},
                                   {"weight_block_size", {kRows, kColumns}}};
  put_file(hf + "/config.json", config.dump());

  const SafetensorsFile original(source + "/model.safetensors");
  std::vector<TensorDeclaration> declarations;
  std::map<std::string, std::string> bytes;
  std::map<std::string, std::vector<float>> expected;
  std::uint64_t stream = 0;
  for (const SafetensorsEntry& entry : original.entries()) {
    const bool quantized = entry.name.find("_proj") != entry.name.npos;
    if (!quantized) {
      declarations.push_back({entry.name, entry.type, entry.shape});
      bytes[entry.name] = {reinterpret_cast<const char*>(entry.bytes.data()), entry.bytes.size()};
      continue;
    }
    const std::int64_t rows = entry.shape[0], columns = entry.shape[1];
    const std::int64_t across = (columns + kColumns - 1) / kColumns;
    const std::int64_t down = (rows + kRows - 1) / kRows;
    std::vector<float> scales(down * across), values(rows * columns);
    ++stream;
    for (std::size_t i = 0; i < scales.size(); ++i) {
      scales[i] = static_cast<float>(0.001 + 0.01 * random_uniform(1, stream, i));
    }
    std::string codes(rows * columns, '\0');
    for (std::int64_t i = 0; i < rows * columns; ++i) {
      auto code = static_cast<std::uint8_t>(philox(2, stream, i)[0]);
      if ((code & 127) == 127) code = 0;  // NaN
      codes[i] = static_cast<char>(code);
      values[i] = static_cast<float>(e4m3(code)) *
                  scales[i / columns / kRows * across + i % columns / kColumns];
    }
    declarations.push_back({entry.name, StoredType::f8_e4m3, entry.shape});
    bytes[entry.name] = codes;
    declarations.push_back({entry.name + "_scale_inv", StoredType::f32, {down, across}});
    bytes[entry.name + "_scale_inv"] = {reinterpret_cast<const char*>(scales.data()),
                                        scales.size() * sizeof(float)};
    expected[entry.name] = values;
  }
  ASSERT_GT(expected.size(), 50u);
  SafetensorsWriter writer(hf + "/model.safetensors", declarations);
  for (const TensorDeclaration& tensor : writer.order()) {
    writer.append(tensor.name, std::as_bytes(std::span(bytes.at(tensor.name))));
  }
  writer.commit();

  const ProcessResult imported = run_ingot({"import", hf, folder / "run"});
  ASSERT_EQ(imported.exit_code, 0) << imported.err;
  const CheckpointReader reader = CheckpointReader::open(folder / "run/step_00000000");
  for (const auto& [name, values] : expected) {
    const SafetensorsEntry& entry = reader.at(name);
    ASSERT_EQ(entry.bytes.size(), values.size() * sizeof(float)) << name;
    EXPECT_EQ(std::memcmp(entry.bytes.data(), values.data(), entry.bytes.size()), 0) << name;
  }
}

}  // namespace
}  // namespace ingot
