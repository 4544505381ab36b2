#include "data/prepare/prepare_tokenizer.h"

#include <nlohmann/json.hpp>

#include "data/tokenizer/tokenizer.h"
#include "engine/base/error.h"
#include "engine/base/read_text.h"
#include "io/atomic_file.h"
#include "io/companion_files.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

void replace_files(const CompanionFiles& files, const fs::path& output) {
  for (const auto& [name, text] : read_tokenizer_companions(output)) {
    std::error_code error;
    fs::remove(output / name, error);
    if (error) throw_disk_error("cannot remove", error.value(), output / name);
  }
  for (const auto& [name, text] : files) {
    create_folder((output / name).parent_path());
    write_text_file(output / name, text);
  }
}

}  // namespace

void copy_tokenizer(const fs::path& given, const fs::path& output) {
  CompanionFiles files;
  if (given.filename() == kTokenizerFile) files = read_tokenizer_companions(given.parent_path());
  files[kTokenizerFile] = read_text(given, ErrorCode::data, kMaxTokenizerFileBytes);
  replace_files(files, output);
}

void write_tokenizer(const TokenizerSpec& spec, const std::string& end, const fs::path& output) {
  const nlohmann::ordered_json config{{"tokenizer_class", "PreTrainedTokenizerFast"},
                                      {"eos_token", end},
                                      {"clean_up_tokenization_spaces", false}};
  replace_files({{kTokenizerFile, write_tokenizer_json(spec)},
                 {"tokenizer_config.json", config.dump(1) + "\n"}},
                output);
}

}  // namespace ingot
