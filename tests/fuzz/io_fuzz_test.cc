// Mutated safetensors files, model indexes and checkpoint manifests: each is read as it should be
// or is Error(data), under the sanitizers and with allocations over 1 GiB forbidden.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "io/checkpoint_files.h"
#include "io/convert.h"
#include "io/hash.h"
#include "io/model_files.h"
#include "io/safetensors.h"
#include "io/test_folder.h"
#include "tests/fuzz/mutate.h"

namespace ingot {
namespace {

constexpr int kInputs = 20'000;

// Runs `read`, which may throw Error(data) and nothing else. Returns whether it succeeded.
template <class Read>
bool is_read_or_refused(Read&& read) {
  try {
    read();
    return true;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::data) << error.what();
    EXPECT_LT(std::string(error.what()).size(), 2000u);
    return false;
  }
}

std::string length_prefix(std::size_t length) {
  std::string prefix(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) prefix[i] = static_cast<char>(length >> (8 * i));
  return prefix;
}

// Header of a file with one tensor of each kind ingot reads, and its buffer.
std::pair<std::string, std::string> small_safetensors() {
  std::string header = R"({"__metadata__":{"format":"pt","lr":"0.002"})";
  std::size_t offset = 0;
  const auto add = [&](const std::string& name, const char* type, const char* shape,
                       std::size_t bytes) {
    header += ",\"" + name + "\":{\"dtype\":\"" + type + "\",\"shape\":" + shape +
              ",\"data_offsets\":[" + std::to_string(offset) + "," +
              std::to_string(offset + bytes) + "]}";
    offset += bytes;
  };
  add("d", "F64", "[3]", 24);
  add("tokens", "I64", "[2,2]", 32);
  add("w_scale_inv", "F32", "[1,2]", 8);
  add("f", "F32", "[2,3]", 24);
  add("scalar", "I32", "[]", 4);
  add("b", "BF16", "[4,2]", 16);
  add("h", "F16", "[5]", 10);
  add("w", "F8_E4M3", "[4,130]", 520);
  add("x", "F8_E5M2", "[7]", 7);
  add("none", "I8", "[3,0,2]", 0);
  header += "}  ";
  return {header, std::string(offset, '\x05')};
}

// Everything a reader may do with what was accepted.
void use_all(const SafetensorsIndex& index, std::span<const std::byte> file) {
  if (index.entries().empty()) return;
  const std::byte* position = index.entries().front().bytes.data();
  for (const SafetensorsEntry& entry : index.entries()) {
    ASSERT_EQ(index.find(entry.name), &entry);
    ASSERT_GE(entry.bytes.data(), file.data());
    ASSERT_LE(entry.bytes.data() + entry.bytes.size(), file.data() + file.size());
    ASSERT_EQ(entry.bytes.data(), position);
    position = entry.bytes.data() + entry.bytes.size();
    const std::size_t count = entry.bytes.size() / static_cast<std::size_t>(size_of(entry.type));
    std::vector<float> floats(count);
    std::vector<std::int32_t> integers(count);
    is_read_or_refused([&] { read_tensor({&entry}, floats); });
    is_read_or_refused([&] { read_tensor({&entry}, integers); });
    const SafetensorsEntry* scales = index.find(entry.name + "_scale_inv");
    is_read_or_refused([&] { read_tensor({&entry, scales}, floats); });
  }
  ASSERT_EQ(position, file.data() + file.size());
}

TEST(Fuzz, SafetensorsFiles) {
  const auto [header, buffer] = small_safetensors();
  const std::string whole = length_prefix(header.size()) + header + buffer;
  fuzz::Rng rng(1);
  int accepted = 0;
  for (int i = 0; i < kInputs; ++i) {
    std::string input;
    if (i % 3 == 0) {
      input = fuzz::mutate(whole, rng);
    } else {  // with a right length the header itself is read
      const std::string mutated = fuzz::mutate(header, rng);
      input = length_prefix(mutated.size()) + mutated + buffer;
    }
    // A block of exactly this size, so that one byte too far is noticed.
    const auto block = std::make_unique<std::byte[]>(input.size());
    std::memcpy(block.get(), input.data(), input.size());
    const std::span<const std::byte> file(block.get(), input.size());
    accepted += is_read_or_refused([&] { use_all(SafetensorsIndex(file, "x.safetensors"), file); });
    ASSERT_FALSE(HasFailure()) << "input " << i << ": " << input;
  }
  // Spaces, names, metadata, and swapped types of the same size: some mutations stay valid.
  EXPECT_GT(accepted, kInputs / 100);
  EXPECT_LT(accepted, kInputs / 2);
}

TEST(Fuzz, CheckpointManifests) {
  const std::string manifest = format_manifest(
      {.step = 500,
       .sequence = 7,
       .files = {{"tensors-00001-of-00002.safetensors", 1234, 0x0123456789abcdef},
                 {"tensors-00002-of-00002.safetensors", 99, 0xfedcba9876543210},
                 {"tokenizer.json", 0, 1}}},
      R"({"config":{"model":{"hidden_size":64},"seed":1},"mesh":[1,1],"data":{"position":[3,4096]}})");
  const std::size_t behind_hash = manifest.find("\",\n");
  fuzz::Rng rng(2);
  int accepted = 0;
  for (int i = 0; i < kInputs; ++i) {
    std::string input;
    if (i % 5 == 0) {
      input = fuzz::mutate(manifest, rng);
    } else {  // with a right hash, what the manifest says is read
      const std::string rest = fuzz::mutate(manifest.substr(behind_hash), rng);
      input = "{\n \"manifest_xxh3\": \"" + to_hex(hash_of(rest)) + rest;
    }
    accepted += is_read_or_refused([&] {
      const CheckpointManifest parsed = parse_manifest(input, "manifest.json");
      EXPECT_EQ(parsed.text, input);
      EXPECT_GE(parsed.step, 0);
      for (const WrittenFile& file : parsed.files) {
        EXPECT_EQ(file.name.find('/'), std::string::npos);
        EXPECT_FALSE(file.name.starts_with('.'));
      }
    });
    ASSERT_FALSE(HasFailure()) << "input " << i << ": " << input;
  }
  EXPECT_GT(accepted, kInputs / 100);
  EXPECT_LT(accepted, kInputs / 2);
}

class FuzzFolder : public ::testing::Test {
 protected:
  // Two shards and an index over them.
  void write_model() {
    const auto [header, buffer] = small_safetensors();
    put_file(folder_ / "1.safetensors", length_prefix(header.size()) + header + buffer);
    const std::string other = R"({"y":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})";
    put_file(folder_ / "2.safetensors", length_prefix(other.size()) + other + "abc");
    put_file(folder_ / "config.json", config_);
  }
  bool opens() {
    return is_read_or_refused([&] {
      const ModelFiles model = ModelFiles::open(folder_.path());
      for (const auto& [name, tensor] : model.tensors()) {
        std::vector<float> values(tensor.values->bytes.size() /
                                  static_cast<std::size_t>(size_of(tensor.values->type)));
        is_read_or_refused([&, &stored = tensor] { read_tensor(stored, values); });
      }
    });
  }
  const TestFolder folder_{fast_temporary_folder()};
  const std::string config_ =
      R"({"model_type":"deepseek_v3","quantization_config":{"fmt":"e4m3","weight_block_size":[128,128]}})";
  const std::string index_ =
      R"({"metadata":{"total_size":648},"weight_map":{"d":"1.safetensors","f":"1.safetensors",)"
      R"("w":"1.safetensors","w_scale_inv":"1.safetensors","y":"2.safetensors"}})";
};

TEST_F(FuzzFolder, ModelIndexes) {
  write_model();
  fuzz::Rng rng(3);
  int accepted = 0, opened = 0;
  for (int i = 0; i < kInputs; ++i) {
    const std::string input = fuzz::mutate(index_, config_, rng);
    const bool is_accepted = is_read_or_refused([&] {
      for (const auto& [tensor, file] : parse_weight_map(input, "index.json")) {
        EXPECT_EQ(file.find('/'), std::string::npos);
        EXPECT_FALSE(file.starts_with('.'));
      }
    });
    if (is_accepted && accepted++ < kInputs / 10) {
      put_file(folder_ / "model.safetensors.index.json", input);
      opened += opens();
    }
    ASSERT_FALSE(HasFailure()) << "input " << i << ": " << input;
  }
  EXPECT_GT(opened, kInputs / 200);
  EXPECT_LT(accepted, kInputs / 2);
}

TEST_F(FuzzFolder, BlockSizesInModelConfigs) {
  write_model();
  put_file(folder_ / "model.safetensors.index.json", index_);
  fuzz::Rng rng(4);
  for (int i = 0; i < kInputs / 10; ++i) {
    const std::string input = fuzz::mutate(config_, rng);
    put_file(folder_ / "config.json", input);
    opens();
    ASSERT_FALSE(HasFailure()) << "input " << i << ": " << input;
  }
}

TEST_F(FuzzFolder, CheckpointFilesAreUsedOnlyWhenUntouched) {
  const std::vector<TensorDeclaration> tensors = {{"a", StoredType::f32, {5}},
                                                  {"b", StoredType::i8, {40}}};
  const std::string bytes(40, '\x07');
  for (const std::int64_t step : {1, 2}) {
    CheckpointWriter writer(folder_.path(), step, tensors, {.shard_limit = 30});
    for (const TensorDeclaration& tensor : writer.order()) {
      writer.append(tensor.name, std::as_bytes(std::span(bytes)).first(bytes_of(tensor)));
    }
    writer.commit("{\"seed\": 1}");
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "step_00000002")) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  fuzz::Rng rng(5);
  for (int i = 0; i < kInputs / 20; ++i) {
    const auto& file = files[rng.below(files.size())];
    const std::string original = contents_of(file), mutated = fuzz::mutate(original, rng);
    put_file(file, mutated);
    int bad = 0;
    const auto found = CheckpointReader::find_newest_good(
        folder_.path(), [&](const std::string&, const std::string&) { ++bad; });
    ASSERT_TRUE(found);
    ASSERT_EQ(found->step(), mutated == original ? 2 : 1) << file << ": " << mutated;
    ASSERT_EQ(bad, mutated == original ? 0 : 1);
    put_file(file, original);
  }
}

}  // namespace
}  // namespace ingot
