#include "io/hash.h"

#include <xxhash.h>

#include <algorithm>
#include <new>
#include <vector>

#include "io/file_descriptor.h"

namespace ingot {

Hash::Hash() : state_(XXH3_createState()) {
  if (!state_) throw std::bad_alloc();
  XXH3_64bits_reset(state_.get());
}

void Hash::Free::operator()(XXH3_state_s* state) const { XXH3_freeState(state); }

void Hash::update(std::span<const std::byte> bytes) {
  if (!bytes.empty()) XXH3_64bits_update(state_.get(), bytes.data(), bytes.size());
}

std::uint64_t Hash::value() const { return XXH3_64bits_digest(state_.get()); }

std::uint64_t hash_of(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::uint64_t hash_of(std::string_view text) { return hash_of(std::as_bytes(std::span(text))); }

std::uint64_t hash_of_file(const std::filesystem::path& path, ReadFrom from) {
  const FileDescriptor file = open_for_reading(path);
  if (from == ReadFrom::disk) forget_cached_pages(file);
  const std::uint64_t size = size_of_file(file, path);
  std::vector<std::byte> buffer(std::clamp<std::uint64_t>(size, 1, std::uint64_t{1} << 20));
  Hash hash;
  while (const std::size_t count = read_some(file, buffer, path)) {
    hash.update(std::span(buffer).first(count));
  }
  return hash.value();
}

std::string to_hex(std::uint64_t hash) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string digits(16, '0');
  for (int i = 15; i >= 0; --i, hash >>= 4) digits[i] = kDigits[hash & 15];
  return digits;
}

std::optional<std::uint64_t> from_hex(std::string_view digits) {
  if (digits.size() != 16) return std::nullopt;
  std::uint64_t hash = 0;
  for (const char c : digits) {
    const bool is_number = c >= '0' && c <= '9', is_letter = c >= 'a' && c <= 'f';
    if (!is_number && !is_letter) return std::nullopt;
    hash = hash << 4 | static_cast<std::uint64_t>(is_number ? c - '0' : c - 'a' + 10);
  }
  return hash;
}

}  // namespace ingot
