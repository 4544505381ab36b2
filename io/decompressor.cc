#include "io/decompressor.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/error.h"
#include "io/file_descriptor.h"

namespace ingot {
namespace {

constexpr std::size_t kBlock = std::size_t{1} << 17;
constexpr int kGzipAlone = 15 + 16;  // zlib's spelling of "gzip, largest window"

}  // namespace

Compression compression_of(std::string_view first_bytes) {
  if (first_bytes.starts_with("\x1F\x8B")) return Compression::gzip;
  if (first_bytes.starts_with("\x28\xB5\x2F\xFD")) return Compression::zstd;
  return Compression::none;
}

// A decoder takes from `input` and gives to a buffer.
struct Decompressor::State {
  explicit State(const std::filesystem::path& file_path)
      : path(file_path), file(open_for_reading(file_path)), block(kBlock) {}
  virtual ~State() = default;

  // What comes out of the input at hand, which may be empty; takes it off `input`.
  virtual std::size_t decode(std::span<char> out) = 0;

  // Makes sure there is input; false at the end of the file.
  bool refill() {
    if (!input.empty()) return true;
    const std::size_t count = read_some(file, std::as_writable_bytes(std::span(block)), path);
    input = std::span(block).first(count);
    return count > 0;
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorCode::data, what, path.string(), "fetch the file again");
  }
  std::filesystem::path path;
  FileDescriptor file;
  std::vector<char> block;
  std::span<char> input;
  bool inside = false;  // of a compressed part
};

namespace {

struct GzipState : Decompressor::State {
  explicit GzipState(const std::filesystem::path& path) : State(path) {
    if (inflateInit2(&stream, kGzipAlone) != Z_OK) throw std::bad_alloc();
  }
  ~GzipState() override { inflateEnd(&stream); }

  std::size_t decode(std::span<char> out) override {
    if (input.empty() && !inside) return 0;
    if (any && !inside && input[0] != '\x1F') {
      input = {};  // padding behind the last part
      return 0;
    }
    inside = any = true;
    stream.next_in = reinterpret_cast<Bytef*>(input.data());
    stream.avail_in = static_cast<uInt>(input.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(std::min<std::size_t>(out.size(), kBlock));
    const std::size_t room = stream.avail_out;
    const int status = inflate(&stream, Z_NO_FLUSH);
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
      fail(std::string("damaged gzip data: ") + (stream.msg ? stream.msg : "unknown"));
    }
    input = input.last(stream.avail_in);
    if (status == Z_STREAM_END) {
      inside = false;
      inflateReset(&stream);
    }
    return room - stream.avail_out;
  }

  z_stream stream = {};
  bool any = false;  // a part has begun
};

struct ZstdState : Decompressor::State {
  explicit ZstdState(const std::filesystem::path& path)
      : State(path), stream(ZSTD_createDStream()) {
    if (!stream) throw std::bad_alloc();
    // As `zstd --long=31` writes: the memory is taken only if the file asks for it.
    ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, 31);
  }
  ~ZstdState() override { ZSTD_freeDStream(stream); }

  std::size_t decode(std::span<char> out) override {
    if (input.empty() && !inside) return 0;
    ZSTD_inBuffer from{input.data(), input.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    const std::size_t status = ZSTD_decompressStream(stream, &to, &from);
    if (ZSTD_isError(status)) {
      fail(std::string("damaged zstd data: ") + ZSTD_getErrorName(status));
    }
    inside = status != 0;
    input = input.subspan(from.pos);
    return to.pos;
  }

  ZSTD_DStream* stream;
};

}  // namespace

Decompressor::Decompressor(const std::filesystem::path& path, Compression compression) {
  if (compression == Compression::gzip) {
    state_ = std::make_unique<GzipState>(path);
  } else {
    state_ = std::make_unique<ZstdState>(path);
  }
}

Decompressor::Decompressor(Decompressor&&) noexcept = default;
Decompressor& Decompressor::operator=(Decompressor&&) noexcept = default;
Decompressor::~Decompressor() = default;

std::size_t Decompressor::read(std::span<char> buffer) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const bool more = state_->refill();
    const std::size_t count = state_->decode(buffer.subspan(done));
    done += count;
    if (more || count > 0) continue;
    if (state_->inside) state_->fail("the compressed file ends too early");
    break;
  }
  return done;
}

}  // namespace ingot
