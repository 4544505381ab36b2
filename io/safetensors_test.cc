#include "io/safetensors.h"

#include <cstring>
#include <string>
#include <vector>

#include "io/test_folder.h"

namespace ingot {
namespace {

std::string file_of(const std::string& header, const std::string& buffer) {
  std::string file(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(header.size() >> (8 * i));
  return file + header + buffer;
}

SafetensorsIndex index_of(const std::string& file) {
  return SafetensorsIndex(std::as_bytes(std::span(file)), "x.safetensors");
}

void expect_refused(const std::string& header, const std::string& buffer, const char* why) {
  const std::string file = file_of(header, buffer);
  SCOPED_TRACE(header);
  expect_error(
      ErrorCode::data, [&] { index_of(file); }, why, "x.safetensors");
}

TEST(Safetensors, ReadsWhatOthersWrote) {
  const SafetensorsFile file("tests/golden/llama/golden.safetensors");
  EXPECT_EQ(file.metadata().at("lr"), "0.002");
  const SafetensorsEntry& tokens = file.at("tokens");
  EXPECT_EQ(tokens.type, StoredType::i32);
  EXPECT_EQ(tokens.shape, (std::vector<std::int64_t>{2, 49}));
  EXPECT_EQ(tokens.bytes.size(), 2u * 49 * 4);
  EXPECT_EQ(file.at("loss").bytes.size(), 4u);
  EXPECT_EQ(file.find("no"), nullptr);
  expect_error(
      ErrorCode::data, [&] { file.at("no"); }, "\"no\"", "golden.safetensors");
  std::size_t bytes = 0;
  for (const SafetensorsEntry& entry : file.entries()) {
    EXPECT_EQ(file.find(entry.name), &entry);
    bytes += entry.bytes.size();
  }
  EXPECT_LT(bytes, file.file().size());
}

TEST(Safetensors, AcceptsEmptyFilesScalarsEmptyTensorsAndUnpaddedHeaders) {
  EXPECT_TRUE(index_of(file_of("{}", "")).entries().empty());
  const std::string file = file_of(
      R"({"s":{"dtype":"F32","shape":[],"data_offsets":[2,6]},"e":{"dtype":"I64","shape":[5,0],"data_offsets":[2,2]},)"
      R"("b":{"data_offsets":[0,2],"shape":[2],"dtype":"U8"}} )",
      "abcdef");
  const SafetensorsIndex index = index_of(file);
  ASSERT_EQ(index.entries().size(), 3u);
  EXPECT_EQ(index.entries()[0].name, "b");
  EXPECT_EQ(index.entries()[1].name, "e");
  EXPECT_TRUE(index.find("s")->shape.empty());
  EXPECT_EQ(std::memcmp(index.find("s")->bytes.data(), "cdef", 4), 0);
}

TEST(Safetensors, LyingLengthsAreRefused) {
  for (const std::string& file :
       {std::string(), std::string("1234567"), std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}"),
        std::string("\x03\0\0\0\0\0\0\0{}", 10), std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10)}) {
    expect_error(
        ErrorCode::data, [&] { index_of(file); }, "x.safetensors");
  }
}

TEST(Safetensors, LyingOffsetsAreRefused) {
  const auto one = [](const char* shape, const char* offsets, const char* type = "F32") {
    return std::string(R"({"a":{"dtype":")") + type + R"(","shape":)" + shape +
           R"(,"data_offsets":)" + offsets + "}}";
  };
  const std::string four(4, 'x'), eight(8, 'x');
  EXPECT_EQ(index_of(file_of(one("[1]", "[0,4]"), four)).entries().size(), 1u);
  expect_refused(one("[1]", "[4,8]"), eight, "leaves a hole");
  expect_refused(one("[1]", "[0,4]"), eight, "4 bytes of no tensor");
  expect_refused(one("[2]", "[0,8]"), four, "ends within tensor");
  expect_refused(one("[2]", "[0,4]"), four, "needs 8 bytes");
  expect_refused(one("[1]", "[4,0]"), four, "");
  expect_refused(one("[1]", "[0,4]", "F16"), four, "needs 2 bytes");
  expect_refused(one("[4611686018427387904,4]", "[0,0]"), "", "impossible shape");
  expect_refused(one("[4294967296,4294967296,0]", "[0,0]"), "", "impossible shape");
  expect_refused(one("[9223372036854775808]", "[0,4]"), four, "impossible dimension");
  expect_refused(one("[18446744073709551616]", "[0,4]"), four, "too large");
  expect_refused(one("[1]", "[0,18446744073709551615]"), four, "needs 4 bytes");
  const std::string overlap =
      R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})";
  expect_refused(overlap, "xxxxxx", "overlaps");
}

TEST(Safetensors, MalformedHeadersAreRefused) {
  const std::string a = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  const std::string b = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]})";
  expect_refused("{" + a + "," + b + "}", "xx", "twice");
  expect_refused("{" + a, "x", "not valid JSON");
  expect_refused("{" + a + "}}", "x", "not valid JSON");
  expect_refused(" {" + a + "}", "x", "begin");
  expect_refused("", "", "begin");
  expect_refused(std::string("{}\0", 3), "", "zero byte");
  expect_refused("[]", "", "begin");
  expect_refused(R"({"a":1})", "", "a number");
  expect_refused(R"({"a":null})", "", "null");
  expect_refused(R"({"a":{}})", "", "lacks");
  expect_refused(R"({"a":{"dtype":"F4","shape":[],"data_offsets":[0,0]}})", "", "unknown dtype");
  expect_refused(R"({"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}})", "",
                 "repeated");
  expect_refused(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0]}})", "", "two numbers");
  expect_refused(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0,0]}})", "", "two numbers");
  expect_refused(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,0]}})", "", "negative");
  expect_refused(R"({"a":{"dtype":"U8","shape":[0.5],"data_offsets":[0,0]}})", "", "whole");
  expect_refused(R"({"a":{"dtype":"U8","shape":[[0]],"data_offsets":[0,0]}})", "", "an array");
  expect_refused(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"extra":1}})", "",
                 "unknown");
  expect_refused(R"({"__metadata__":{"a":1}})", "", "metadata");
  expect_refused(R"({"__metadata__":{"a":"1","a":"2"}})", "", "twice");
  expect_refused(R"({"__metadata__":{},"__metadata__":{}})", "", "two __metadata__");
  expect_refused("{\"\xff\":{}}", "", "not valid JSON");
  std::string many = R"({"a":{"dtype":"U8","data_offsets":[0,0],"shape":[0)";
  for (int i = 0; i < 100; ++i) many += ",1";
  expect_refused(many + "]}}", "", "too many dimensions");
}

TEST(Safetensors, DeepNestingNeitherCrashesNorTakesLong) {
  expect_refused("{\"a\":" + std::string(2'000'000, '['), "", "an array");
}

TEST(SafetensorsWriter, WhatIsWrittenReadsBackInAlignedOrder) {
  TestFolder folder;
  const std::string strange = "q\"uote\\ \n \x01 \u00e9 \U0001F600";
  SafetensorsWriter writer(folder / "a",
                           {{"small", StoredType::i8, {3}},
                            {strange, StoredType::f32, {2, 2}},
                            {"empty", StoredType::f64, {0}},
                            {"wide", StoredType::i64, {1}},
                            {"a.bf16", StoredType::bf16, {}}},
                           {{"for\"mat", "p\nt"}});
  std::vector<std::string> order;
  for (const TensorDeclaration& tensor : writer.order()) order.push_back(tensor.name);
  EXPECT_EQ(order, (std::vector<std::string>{"empty", "wide", strange, "a.bf16", "small"}));
  for (const TensorDeclaration& tensor : writer.order()) {
    const std::string bytes(bytes_of(tensor), tensor.name[0]);
    for (const char& c : bytes) writer.append(tensor.name, std::as_bytes(std::span(&c, 1)));
  }
  writer.commit();
  EXPECT_EQ(writer.size(), std::filesystem::file_size(folder / "a"));
  EXPECT_EQ(writer.hash(), hash_of_file(folder / "a"));

  const SafetensorsFile file(folder / "a");
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"for\"mat", "p\nt"}}));
  ASSERT_EQ(file.entries().size(), 5u);
  for (const SafetensorsEntry& entry : file.entries()) {
    for (const std::byte byte : entry.bytes) EXPECT_EQ(static_cast<char>(byte), entry.name[0]);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(entry.bytes.data()) % size_of(entry.type), 0u);
  }
  EXPECT_EQ(file.at(strange).shape, (std::vector<std::int64_t>{2, 2}));
}

TEST(SafetensorsWriter, RewritingAGoldenFileGivesTheSameTensors) {
  TestFolder folder;
  const SafetensorsFile source("tests/golden/qwen2_tied/model/model.safetensors");
  std::vector<TensorDeclaration> tensors(source.entries().begin(), source.entries().end());
  SafetensorsWriter writer(folder / "a", tensors, source.metadata());
  for (const TensorDeclaration& tensor : writer.order()) {
    writer.append(tensor.name, source.at(tensor.name).bytes);
  }
  writer.commit();
  // The writer of the original uses the same order and padding, so even the bytes agree.
  EXPECT_EQ(writer.hash(), hash_of_file(source.file().path()));
}

TEST(SafetensorsWriter, MisuseIsRefusedAndLeavesNothing) {
  TestFolder folder;
  const auto usage = [](auto&& action, const char* what) {
    expect_error(ErrorCode::usage, action, what);
  };
  const std::byte two[2] = {};
  const auto path = folder / "a";
  usage(
      [&] {
        SafetensorsWriter(path, {{"x", StoredType::u8, {1}}, {"x", StoredType::u8, {1}}});
      },
      "x");
  usage([&] { SafetensorsWriter(path, {{"__metadata__", StoredType::u8, {1}}}); }, "name");
  usage([&] { SafetensorsWriter(path, {{"\xff", StoredType::u8, {1}}}); }, "UTF-8");
  usage([&] { SafetensorsWriter(path, {{"x", StoredType::u8, {-1}}}); }, "impossible");
  usage(
      [&] {
        SafetensorsWriter(path, {{"x", StoredType::u8, {1}}}).append("x", two);
      },
      "too many");
  usage([&] { SafetensorsWriter(path, {{"x", StoredType::u8, {9}}}).append("y", two); }, "order");
  usage([&] { SafetensorsWriter(path, {{"x", StoredType::u8, {9}}}).commit(); }, "end");
  EXPECT_EQ(files_in(folder.path()), 0u);
}

}  // namespace
}  // namespace ingot
