#include "io/decompressor.h"

#include <algorithm>
#include <string>

#include "io/compressed_testing.h"
#include "io/test_folder.h"

namespace ingot {
namespace {

// Compresses neither to nothing nor badly.
std::string text_of(std::size_t size) {
  std::string text;
  for (std::size_t i = 0; text.size() < size; ++i) text += std::to_string(i * i % 7919) + "\n";
  text.resize(size);
  return text;
}

std::string read_all(const std::filesystem::path& path, std::size_t step) {
  const std::string compressed = contents_of(path);
  Decompressor stream(path, compression_of(compressed));
  std::string text, buffer(step, '\0');
  for (std::size_t count = step; count == step;) {
    count = stream.read(buffer);
    text.append(buffer, 0, count);
  }
  return text;
}

TEST(Decompressor, GivesTheTextInStepsOfAnySize) {
  TestFolder folder;
  for (const std::size_t size : {0, 1, 1000, 131072, 3'000'000}) {
    const std::string text = text_of(size);
    put_file(folder / "gz", gzipped(text));
    put_file(folder / "zst", zstd_compressed(text));
    for (const std::size_t step : {7, 131072, 4'000'000}) {
      if (step == 7 && size > 1000) continue;
      EXPECT_EQ(read_all(folder / "gz", step), text) << size << " " << step;
      EXPECT_EQ(read_all(folder / "zst", step), text) << size << " " << step;
    }
  }
}

// `cat a.gz b.gz`, and what pigz, bgzip and zstd's threads write.
TEST(Decompressor, PartsOneBehindTheOtherAreOneStream) {
  TestFolder folder;
  const std::string a = text_of(200'000), b = "short";
  put_file(folder / "gz", gzipped(a) + gzipped("") + gzipped(b) + std::string(1024, '\0'));
  put_file(folder / "zst", zstd_compressed(a) + zstd_compressed("") + zstd_compressed(b));
  EXPECT_EQ(read_all(folder / "gz", 10'000), a + b);
  EXPECT_EQ(read_all(folder / "zst", 10'000), a + b);
}

TEST(Decompressor, DamagedAndCutOffFilesAreNamed) {
  TestFolder folder;
  const std::string text = text_of(500'000);
  for (std::string whole : {gzipped(text), zstd_compressed(text)}) {
    for (const std::size_t size : {whole.size() - 1, whole.size() / 2, std::size_t{5}}) {
      put_file(folder / "cut", whole.substr(0, size));
      expect_error(
          ErrorCode::data, [&] { read_all(folder / "cut", 65536); }, "ends too early", "cut");
    }
    std::fill_n(whole.begin() + whole.size() / 2, 64, '\xA5');
    put_file(folder / "bad", whole);
    expect_error(
        ErrorCode::data, [&] { read_all(folder / "bad", 65536); }, "damaged", "bad");
  }
}

TEST(Decompressor, KindsAreKnownByTheirFirstBytes) {
  EXPECT_EQ(compression_of(gzipped("a")), Compression::gzip);
  EXPECT_EQ(compression_of(zstd_compressed("a")), Compression::zstd);
  EXPECT_EQ(compression_of("plain"), Compression::none);
  EXPECT_EQ(compression_of(""), Compression::none);
}

}  // namespace
}  // namespace ingot
