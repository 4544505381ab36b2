#include "io/model_files.h"

#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include "io/hash.h"
#include "io/test_folder.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

constexpr const char* kGoldens[] = {
    "deepseek_v2_group", "deepseek_v2_lite", "deepseek_v3", "deepseek_v3_yarn", "llama",
    "qwen2_tied"};

std::vector<TensorDeclaration> declarations_of(const ModelFiles& model) {
  std::vector<TensorDeclaration> tensors;
  for (const auto& [name, tensor] : model.tensors()) tensors.push_back(*tensor.values);
  return tensors;
}

void copy_model(const ModelFiles& source, const fs::path& target, std::uint64_t shard_limit) {
  ModelWriter writer(target, declarations_of(source),
                     {.shard_limit = shard_limit, .companions = read_companions(source.folder())});
  for (const TensorDeclaration& tensor : writer.order()) {
    writer.append(tensor.name, source.at(tensor.name).values->bytes);
  }
  writer.commit(source.config_text());
}

void expect_same_tensors(const ModelFiles& a, const ModelFiles& b) {
  ASSERT_EQ(a.tensors().size(), b.tensors().size());
  for (const auto& [name, tensor] : a.tensors()) {
    const SafetensorsEntry &left = *tensor.values, &right = *b.at(name).values;
    EXPECT_EQ(describe(left), describe(right));
    EXPECT_TRUE(std::ranges::equal(left.bytes, right.bytes)) << name;
  }
}

// A small one-file model with these tensors, each filled with one byte.
void write_shard(const fs::path& path, std::vector<TensorDeclaration> tensors, char fill = 1) {
  SafetensorsWriter writer(path, std::move(tensors));
  for (const TensorDeclaration& tensor : writer.order()) {
    const std::string bytes(bytes_of(tensor), fill);
    writer.append(tensor.name, std::as_bytes(std::span(bytes)));
  }
  writer.commit();
}

TEST(ModelFiles, EveryGoldenFolderOpens) {
  for (const std::string name : kGoldens) {
    const ModelFiles model = ModelFiles::open("tests/golden/" + name + "/model");
    EXPECT_EQ(model.at("model.norm.weight").values->shape, std::vector<std::int64_t>{64});
    EXPECT_EQ(model.find("no"), nullptr);
    EXPECT_TRUE(model.unreferenced().empty());
    EXPECT_NE(model.config_text().find("\"model_type\""), std::string::npos);
    model.release(model.at("model.embed_tokens.weight"));
  }
}

TEST(ModelWriter, CopiesOfGoldenFoldersAreEqualInOneFileAndInShards) {
  for (const std::string name : kGoldens) {
    TestFolder folder;
    const ModelFiles source = ModelFiles::open("tests/golden/" + name + "/model");
    copy_model(source, folder / "deep/single", 1 << 30);
    copy_model(source, folder / "sharded", 100'000);
    expect_same_tensors(source, ModelFiles::open(folder / "deep/single"));
    expect_same_tensors(source, ModelFiles::open(folder / "sharded"));
    EXPECT_EQ(files_in(folder / "deep/single"), 3u);  // config, generation config, weights
    EXPECT_EQ(hash_of_file(folder / "deep/single/model.safetensors"),
              hash_of_file(source.folder() / "model.safetensors"));
    std::size_t shards = 0, shard_bytes = 0;
    for (const auto& entry : fs::directory_iterator(folder / "sharded")) {
      if (entry.path().extension() != ".safetensors") continue;
      ++shards;
      shard_bytes += SafetensorsFile(entry.path()).entries().size();
      EXPECT_LT(entry.file_size(), 110'000u);
    }
    EXPECT_GT(shards, 4u);
    EXPECT_EQ(shard_bytes, source.tensors().size());
    const std::string index = contents_of(folder / "sharded/model.safetensors.index.json");
    EXPECT_NE(index.find("\"total_size\""), std::string::npos);
    EXPECT_NE(index.find("model-00001-of-000"), std::string::npos);
  }
}

TEST(ModelWriter, ATensorLargerThanTheLimitGetsItsOwnShard) {
  TestFolder folder;
  ModelWriter writer(folder / "m",
                     {{"a", StoredType::u8, {10}},
                      {"b", StoredType::u8, {1000}},
                      {"c", StoredType::u8, {0}},
                      {"d", StoredType::u8, {10}}},
                     {.shard_limit = 20});
  const std::string bytes(1000, 'x');
  for (const TensorDeclaration& tensor : writer.order()) {
    writer.append(tensor.name, std::as_bytes(std::span(bytes)).first(bytes_of(tensor)));
  }
  writer.commit("{}");
  EXPECT_EQ(ModelFiles::open(folder / "m").tensors().size(), 4u);
  EXPECT_TRUE(fs::exists(folder / "m/model-00003-of-00003.safetensors"));
}

TEST(ModelWriter, NeverOverwritesAFolderWithSomethingInIt) {
  TestFolder folder;
  put_file(folder / "precious", "data");
  expect_error(
      ErrorCode::usage, [&] { ModelWriter(folder.path(), {}, {}); }, "not empty", "new folder");
  EXPECT_EQ(files_in(folder.path()), 1u);
  put_file(folder / "file", "");
  expect_error(
      ErrorCode::device, [&] { ModelWriter(folder / "file", {}, {}); }, "folder");
}

TEST(ModelWriter, GivingUpLeavesAnEmptyFolder) {
  TestFolder folder;
  const ModelFiles source = ModelFiles::open("tests/golden/llama/model");
  {
    ModelWriter writer(folder / "m", declarations_of(source), {.shard_limit = 100'000});
    for (std::size_t i = 0; i < 5; ++i) {
      const auto& name = writer.order()[i].name;
      writer.append(name, source.at(name).values->bytes);
    }
  }
  EXPECT_EQ(files_in(folder / "m"), 0u);
  expect_error(ErrorCode::usage, [&] {
    ModelWriter(folder / "m", {{"a", StoredType::u8, {1}}, {"a", StoredType::u8, {1}}}, {});
  });
  EXPECT_EQ(files_in(folder / "m"), 0u);
  copy_model(source, folder / "m", 1 << 30);
}

TEST(ModelWriter, AKilledWriterLeavesNoModelAndCanBeRepeated) {
  TestFolder folder;
  const ModelFiles source = ModelFiles::open("tests/golden/llama/model");
  EXPECT_EQ(status_of_child([&] {
              ModelWriter writer(folder / "m", declarations_of(source), {.shard_limit = 100'000});
              for (const TensorDeclaration& tensor : writer.order()) {
                writer.append(tensor.name, source.at(tensor.name).values->bytes);
              }
              ::_exit(7);  // no destructors, as when killed
              return 0;
            }),
            7);
  EXPECT_GT(files_in(folder / "m"), 3u);
  expect_error(
      ErrorCode::data, [&] { ModelFiles::open(folder / "m"); }, "interrupted");
  copy_model(source, folder / "m", 1 << 30);
  expect_same_tensors(source, ModelFiles::open(folder / "m"));
  EXPECT_EQ(files_in(folder / "m"), 3u);
}

TEST(ModelWriter, AFullDiskIsADeviceErrorAndLeavesNothing) {
  TestFolder folder;
  const ModelFiles source = ModelFiles::open("tests/golden/llama/model");
  EXPECT_EQ(status_of_child([&] {
              ::signal(SIGXFSZ, SIG_IGN);
              const rlimit limit{300'000, 300'000};
              ::setrlimit(RLIMIT_FSIZE, &limit);
              expect_error(
                  ErrorCode::device, [&] { copy_model(source, folder / "m", 1 << 30); },
                  "model.safetensors");
              return ::testing::Test::HasFailure() ? 1 : 0;
            }),
            0);
  EXPECT_EQ(files_in(folder / "m"), 0u);
}

class BrokenModel : public ::testing::Test {
 protected:
  BrokenModel() {
    put_file(folder_ / "config.json", "{}");
    write_shard(folder_ / "1.safetensors", {{"a", StoredType::u8, {4}}});
    write_shard(folder_ / "2.safetensors", {{"b", StoredType::f32, {4}}});
    index(R"({"a":"1.safetensors","b":"2.safetensors"})");
  }
  void index(const std::string& weight_map) {
    put_file(folder_ / "model.safetensors.index.json", R"({"weight_map":)" + weight_map + "}");
  }
  template <class... Parts>
  void expect_refused(const Parts&... parts) {
    expect_error(
        ErrorCode::data, [&] { ModelFiles::open(folder_.path()); }, parts...);
  }
  TestFolder folder_;
};

TEST_F(BrokenModel, WithoutDamageOpens) {
  EXPECT_EQ(ModelFiles::open(folder_.path()).tensors().size(), 2u);
}

TEST_F(BrokenModel, MissingPartsAreNamed) {
  expect_error(
      ErrorCode::data, [&] { ModelFiles::open(folder_ / "no"); }, "is not a folder");
  fs::remove(folder_ / "2.safetensors");
  expect_refused("shard 2.safetensors is missing");
  fs::remove(folder_ / "model.safetensors.index.json");
  expect_refused("has neither model.safetensors nor");
  put_file(folder_ / "pytorch_model.bin", "");
  expect_refused("convert it to safetensors");
  write_shard(folder_ / "model.safetensors", {{"a", StoredType::u8, {4}}});
  EXPECT_NO_THROW(ModelFiles::open(folder_.path()));
  fs::remove(folder_ / "config.json");
  expect_refused("config.json", "no such file");
}

TEST_F(BrokenModel, TruncatedShardsAreNamed) {
  fs::resize_file(folder_ / "2.safetensors", fs::file_size(folder_ / "2.safetensors") - 1);
  expect_refused("2.safetensors", "ends within tensor \"b\"");
  fs::resize_file(folder_ / "2.safetensors", 0);
  expect_refused("2.safetensors", "too short");
}

TEST_F(BrokenModel, IndexAndShardsThatDisagreeAreRefused) {
  index(R"({"a":"1.safetensors","b":"2.safetensors","c":"2.safetensors"})");
  expect_refused("\"c\" is not in its shard 2.safetensors");
  index(R"({"a":"2.safetensors","b":"1.safetensors"})");
  expect_refused("is not in its shard");
  index(R"({"b":"2.safetensors"})");
  EXPECT_EQ(ModelFiles::open(folder_.path()).tensors().size(), 1u);
  write_shard(folder_ / "2.safetensors",
              {{"b", StoredType::f32, {4}}, {"extra", StoredType::u8, {1}}});
  EXPECT_EQ(ModelFiles::open(folder_.path()).unreferenced(), std::vector<std::string>{"extra"});
  index(R"({"a":"1.safetensors","b":"2.safetensors"})");
  write_shard(folder_ / "2.safetensors", {{"b", StoredType::f32, {4}}, {"a", StoredType::u8, {1}}});
  expect_refused("\"a\" is in 1.safetensors and in 2.safetensors");
}

TEST_F(BrokenModel, TheIndexMayNotLeaveTheFolder) {
  for (const char* name :
       {"../1.safetensors", "/etc/passwd", "x/1.safetensors", "..", "", ".hidden.safetensors",
        "1.txt", "a\\\\b.safetensors", "\\u0000.safetensors"}) {
    index(std::string(R"({"a":")") + name + "\"}");
    SCOPED_TRACE(name);
    expect_refused("model.safetensors.index.json");
  }
  index(R"({"a":1})");
  expect_refused("not a file name");
  index("[]");
  expect_refused("no weight_map");
  index(R"({"a":"1.safetensors","a":"1.safetensors"})");
  expect_refused("twice");
  put_file(folder_ / "model.safetensors.index.json", "{");
  expect_refused("not valid JSON");
}

TEST_F(BrokenModel, BrokenConfigsAreRefused) {
  put_file(folder_ / "config.json", "{");
  expect_refused("config.json", "not valid JSON");
  put_file(folder_ / "config.json", "[]");
  expect_refused("config.json", "not a JSON object");
  for (const char* block :
       {"[128]", "[0,128]", "[128,-1]", "\"x\"", "[1e3,1]", "[128,4294967296]"}) {
    put_file(folder_ / "config.json",
             std::string(R"({"quantization_config":{"weight_block_size":)") + block + "}}");
    SCOPED_TRACE(block);
    expect_refused("weight_block_size");
  }
}

TEST_F(BrokenModel, Fp8WeightsGetTheirScalesAndTheBlockSizeOfTheConfig) {
  index(R"({"w":"2.safetensors","w_scale_inv":"2.safetensors"})");
  const std::vector<TensorDeclaration> tensors = {{"w", StoredType::f8_e4m3, {40, 70}},
                                                  {"w_scale_inv", StoredType::f32, {2, 3}}};
  write_shard(folder_ / "2.safetensors", tensors, 0x3f);
  expect_refused("w_scale_inv", "do not fit");
  put_file(folder_ / "config.json", R"({"quantization_config":{"weight_block_size":[32,24]}})");
  const ModelFiles model = ModelFiles::open(folder_.path());
  ASSERT_EQ(model.tensors().size(), 1u);
  std::vector<float> values(40 * 70);
  read_tensor(model.at("w"), values);
  float scale;
  std::memcpy(&scale, "\x3f\x3f\x3f\x3f", 4);
  for (const float value : values) ASSERT_EQ(value, 1.875f * scale);  // 0x3f: 1.111 (binary) * 2^0
}

// What is published: Qwen's scales a block are BF16, others' one a tensor or a row, of any of these
// types. 0x3f3f is 0.746 in BF16, 1.81 in F16.
TEST_F(BrokenModel, Fp8WeightsAreReadWithEveryKindOfScale) {
  struct Case {
    const char* suffix;
    StoredType type;
    std::vector<std::int64_t> shape;
    float scale;
  };
  float f32;
  std::memcpy(&f32, "\x3f\x3f\x3f\x3f", 4);
  const float bf16 = 0x1.7ep-1f, f16 = 0x1.cfcp0f, e8m0 = 0x1p-64f;
  const Case cases[] = {{"_scale_inv", StoredType::bf16, {2, 3}, bf16},
                        {"_scale_inv", StoredType::f16, {2, 3}, f16},
                        {"_scale_inv", StoredType::f8_e8m0, {2, 3}, e8m0},
                        {"_scale", StoredType::f32, {}, f32},
                        {"_scale", StoredType::f32, {1}, f32},
                        {"_scale", StoredType::bf16, {1, 1}, bf16},
                        {"_scale", StoredType::f32, {40, 1}, f32},
                        {"_scale", StoredType::f16, {40}, f16},
                        {"_scale", StoredType::f32, {2, 3}, f32}};
  put_file(folder_ / "config.json", R"({"quantization_config":{"weight_block_size":[32,24]}})");
  for (const Case& each : cases) {
    const std::string name = std::string("w") + each.suffix;
    SCOPED_TRACE(describe({name, each.type, each.shape}) + each.suffix);
    index("{\"w\":\"2.safetensors\",\"" + name +
          "\":\"2.safetensors\",\"input_scale\":\"2.safetensors\"}");
    write_shard(folder_ / "2.safetensors",
                {{"w", StoredType::f8_e4m3, {40, 70}},
                 {name, each.type, each.shape},
                 {"input_scale", StoredType::f32, {}}},
                0x3f);
    const ModelFiles model = ModelFiles::open(folder_.path());
    EXPECT_EQ(model.tensors().size(), 2u);  // those of activations stay, by name
    std::vector<float> values(40 * 70);
    read_tensor(model.at("w"), values);
    for (const float value : values) ASSERT_EQ(value, 1.875f * each.scale);
  }
}

TEST_F(BrokenModel, Fp8WeightsWithoutAScaleAreNotReadInSilence) {
  const auto write = [&](std::vector<TensorDeclaration> tensors) {
    std::string text;
    for (const auto& each : tensors)
      text += (text.empty() ? "{\"" : ",\"") + each.name + "\":\"2.safetensors\"";
    index(text + "}");
    write_shard(folder_ / "2.safetensors", std::move(tensors), 0x3f);
  };
  write({{"w", StoredType::f8_e4m3, {4, 4}}});
  const ModelFiles model = ModelFiles::open(folder_.path());
  expect_error(
      ErrorCode::data, [&] { model.at("w"); }, "\"w\" is F8_E4M3 and has no scale", "w_scale_inv");
  write({{"w", StoredType::f8_e4m3, {4, 4}}, {"w_scale", StoredType::i32, {}}});
  expect_refused("scales are I32", "w_scale");
  write({{"w", StoredType::f8_e4m3, {4, 4}}, {"w_scale", StoredType::f32, {3}}});
  expect_refused("F32 [3]", "do not fit");
  write({{"w", StoredType::f8_e4m3, {4, 4}},
         {"w_scale", StoredType::f32, {}},
         {"w_scale_inv", StoredType::f32, {1, 1}}});
  expect_refused("scales of two kinds");
  // Of a weight that is no fp8, it is a tensor like others.
  write({{"w", StoredType::bf16, {4, 4}}, {"w_scale", StoredType::f32, {}}});
  EXPECT_EQ(ModelFiles::open(folder_.path()).tensors().size(), 2u);
}

}  // namespace
}  // namespace ingot
