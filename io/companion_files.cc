#include "io/companion_files.h"

#include <algorithm>
#include <cstdint>
#include <system_error>
#include <utility>

#include "engine/base/error.h"
#include "engine/base/read_text.h"
#include "io/file_name.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLargest = std::uint64_t{64} << 20;
constexpr std::uint64_t kLargestTokenizer = std::uint64_t{256} << 20;

// The one list. A name, or what it begins (X*) or ends with (*X); the first that fits counts.
constexpr std::pair<std::string_view, Companion> kList[] = {
    // What is written anew with each model, of a run's own, and what other trainers leave behind.
    {"manifest.json", Companion::none},
    {"prepare.json", Companion::none},
    {"*.index.json", Companion::none},
    {"trainer_state.json", Companion::none},
    {"*_results.json", Companion::none},
    {"adapter_config.json", Companion::none},
    {"tokenizer.json", Companion::tokenizer},
    {"tokenizer_config.json", Companion::tokenizer},
    {"special_tokens_map.json", Companion::tokenizer},
    {"added_tokens.json", Companion::tokenizer},
    {"vocab.json", Companion::tokenizer},
    {"vocab.txt", Companion::tokenizer},
    {"merges.txt", Companion::tokenizer},
    {"tekken.json", Companion::tokenizer},
    {"chat_template.json", Companion::tokenizer},
    {"*.jinja", Companion::tokenizer},
    {"*.tiktoken", Companion::tokenizer},
    {"*.model", Companion::tokenizer},
    {"tokenization_*", Companion::tokenizer},
    {"*.json", Companion::model},
    {"*.py", Companion::model},
    {"*.md", Companion::model},
    {"*.txt", Companion::model},
    {"LICENSE*", Companion::model},
    {"LICENCE*", Companion::model},
    {"NOTICE*", Companion::model},
    {"COPYING*", Companion::model},
};

constexpr std::string_view kTemplateFolders[] = {"additional_chat_templates", "chat_templates"};

bool fits(std::string_view name, std::string_view pattern) {
  if (pattern.front() == '*') return name.ends_with(pattern.substr(1));
  if (pattern.back() == '*') return name.starts_with(pattern.substr(0, pattern.size() - 1));
  return name == pattern;
}

template <class Wanted>
void read_folder(const fs::path& folder, const std::string& prefix, const Wanted& wanted,
                 CompanionFiles& files) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = prefix + entry->path().filename().string();
    if (!wanted(companion_of(name))) continue;
    std::error_code ignored;
    const std::uint64_t largest = name == "tokenizer.json" ? kLargestTokenizer : kLargest;
    if (!entry->is_regular_file(ignored) || entry->file_size(ignored) >= largest) continue;
    files.emplace(name, read_text(entry->path(), ErrorCode::data, largest));
  }
}

template <class Wanted>
CompanionFiles read_all(const fs::path& folder, const Wanted& wanted) {
  CompanionFiles files;
  read_folder(folder, "", wanted, files);
  for (const std::string_view templates : kTemplateFolders) {
    read_folder(folder / templates, std::string(templates) + "/", wanted, files);
  }
  return files;
}

}  // namespace

bool is_companion_folder(std::string_view name) {
  return std::ranges::find(kTemplateFolders, name) != std::end(kTemplateFolders);
}

Companion companion_of(std::string_view name) {
  if (const auto slash = name.find('/'); slash != std::string_view::npos) {
    const bool known = is_companion_folder(name.substr(0, slash));
    const std::string_view file = name.substr(slash + 1);
    return known && is_plain_file_name(file) && file.ends_with(".jinja") ? Companion::tokenizer
                                                                         : Companion::none;
  }
  if (!is_plain_file_name(name)) return Companion::none;
  for (const auto& [pattern, companion] : kList) {
    if (fits(name, pattern)) return companion;
  }
  return Companion::none;
}

bool is_file_beside_model(std::string_view name) {
  return is_plain_file_name(name) || companion_of(name) != Companion::none;
}

CompanionFiles read_companions(const fs::path& folder) {
  return read_all(folder, [](Companion companion) { return companion != Companion::none; });
}

CompanionFiles read_tokenizer_companions(const fs::path& folder) {
  return read_all(folder, [](Companion companion) { return companion == Companion::tokenizer; });
}

}  // namespace ingot
