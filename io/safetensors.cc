#include "io/safetensors.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

#include "engine/base/error.h"
#include "io/safetensors_header.h"

namespace ingot {
namespace {

constexpr std::size_t kLengthBytes = 8;

[[noreturn]] void throw_damaged(const std::string& what, const std::filesystem::path& file) {
  throw Error(ErrorCode::data, what, file.string(),
              "the file is damaged or incomplete: fetch it again");
}

std::uint64_t read_length(std::span<const std::byte> bytes) {
  std::uint64_t length = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;) {
    length = length << 8 | std::to_integer<std::uint64_t>(bytes[i]);
  }
  return length;
}

// Every tensor begins where the one before ended and has the size its shape asks for.
void check_layout(std::span<const SafetensorsHeader::Tensor> tensors, std::uint64_t buffer_size,
                  const std::filesystem::path& file) {
  std::uint64_t position = 0;
  for (const auto& [declaration, begin, end] : tensors) {
    const auto expected = checked_product(declaration.shape, size_of(declaration.type));
    const std::string tensor = "tensor " + quoted_name(declaration.name);
    if (!expected) throw_damaged(tensor + " has an impossible shape", file);
    if (begin != position) {
      throw_damaged(tensor + (begin < position ? " overlaps the one before" : " leaves a hole"),
                    file);
    }
    if (end < begin || end - begin != static_cast<std::uint64_t>(*expected)) {
      throw_damaged(tensor + " is " + describe(declaration) + " and needs " +
                        std::to_string(*expected) + " bytes, but has offsets [" +
                        std::to_string(begin) + ", " + std::to_string(end) + "]",
                    file);
    }
    if (end > buffer_size) throw_damaged("ends within " + tensor, file);
    position = end;
  }
  if (position != buffer_size) {
    throw_damaged("has " + std::to_string(buffer_size - position) + " bytes of no tensor", file);
  }
}

}  // namespace

SafetensorsIndex::SafetensorsIndex(std::span<const std::byte> bytes,
                                   const std::filesystem::path& file) {
  if (bytes.size() < kLengthBytes) throw_damaged("is too short for a safetensors file", file);
  const std::uint64_t length = read_length(bytes);
  if (length > kLargestSafetensorsHeader || length > bytes.size() - kLengthBytes) {
    throw_damaged("names a header of " + std::to_string(length) + " bytes", file);
  }
  const auto text = bytes.subspan(kLengthBytes, length);
  const auto buffer = bytes.subspan(kLengthBytes + length);
  SafetensorsHeader header =
      parse_safetensors_header({reinterpret_cast<const char*>(text.data()), text.size()}, file);

  std::sort(header.tensors.begin(), header.tensors.end(), [](const auto& a, const auto& b) {
    return std::tie(a.begin, a.end, a.declaration.name) <
           std::tie(b.begin, b.end, b.declaration.name);
  });
  check_layout(header.tensors, buffer.size(), file);
  entries_.reserve(header.tensors.size());
  for (auto& [declaration, begin, end] : header.tensors) {
    entries_.push_back({std::move(declaration), buffer.subspan(begin, end - begin)});
  }
  by_name_.resize(entries_.size());
  std::iota(by_name_.begin(), by_name_.end(), 0u);
  const auto name = [this](std::uint32_t i) -> const std::string& { return entries_[i].name; };
  std::sort(by_name_.begin(), by_name_.end(),
            [&](std::uint32_t a, std::uint32_t b) { return name(a) < name(b); });
  const auto twice =
      std::adjacent_find(by_name_.begin(), by_name_.end(),
                         [&](std::uint32_t a, std::uint32_t b) { return name(a) == name(b); });
  if (twice != by_name_.end())
    throw_damaged("has tensor " + quoted_name(name(*twice)) + " twice", file);
  metadata_ = std::move(header.metadata);
}

const SafetensorsEntry* SafetensorsIndex::find(std::string_view name) const {
  const auto found = std::lower_bound(
      by_name_.begin(), by_name_.end(), name,
      [this](std::uint32_t i, std::string_view wanted) { return entries_[i].name < wanted; });
  return found == by_name_.end() || entries_[*found].name != name ? nullptr : &entries_[*found];
}

SafetensorsFile::SafetensorsFile(std::filesystem::path path)
    : file_(std::move(path)), index_(file_.bytes(), file_.path()) {}

const SafetensorsEntry& SafetensorsFile::at(std::string_view name) const {
  if (const SafetensorsEntry* entry = find(name)) return *entry;
  throw Error(ErrorCode::data, "has no tensor " + quoted_name(name), file_.path().string(),
              "name a file that has it");
}

void SafetensorsFile::release(const SafetensorsEntry& tensor) const {
  const std::byte* const begin = file_.bytes().data();
  const std::byte* const tensor_begin = tensor.bytes.data();
  if (tensor_begin >= begin && tensor_begin < begin + file_.size()) file_.release(tensor.bytes);
}

std::uint64_t bytes_of(const TensorDeclaration& tensor) {
  const auto bytes = checked_product(tensor.shape, size_of(tensor.type));
  if (!bytes) throw Error(ErrorCode::usage, "a tensor has an impossible shape", tensor.name);
  return static_cast<std::uint64_t>(*bytes);
}

std::vector<TensorDeclaration> in_file_order(std::vector<TensorDeclaration> tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    const std::int64_t a_size = size_of(a.type), b_size = size_of(b.type);
    return std::tie(b_size, a.name) < std::tie(a_size, b.name);
  });
  return tensors;
}

SafetensorsWriter::SafetensorsWriter(std::filesystem::path path,
                                     std::vector<TensorDeclaration> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : tensors_(in_file_order(std::move(tensors))), file_(std::move(path)) {
  file_.write(format_safetensors_header(tensors_, metadata));
  if (!tensors_.empty()) missing_ = bytes_of(tensors_.front());
  skip_complete();
}

void SafetensorsWriter::skip_complete() {
  while (missing_ == 0 && current_ < tensors_.size()) {
    if (++current_ < tensors_.size()) missing_ = bytes_of(tensors_[current_]);
  }
}

void SafetensorsWriter::append(std::string_view name, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  if (current_ == tensors_.size() || tensors_[current_].name != name || bytes.size() > missing_) {
    throw Error(ErrorCode::usage, "a tensor is saved out of order or with too many bytes",
                std::string(name));
  }
  file_.write(bytes);
  missing_ -= bytes.size();
  skip_complete();
}

void SafetensorsWriter::commit() {
  if (!is_complete()) {
    throw Error(ErrorCode::usage, "a tensor was not saved to its end", tensors_[current_].name);
  }
  file_.commit();
}

}  // namespace ingot
