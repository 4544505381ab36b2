// The files of a model's folder besides the weights: its tokenizer's, how chats are written and
// texts are generated, its code, its licence. ingot reads a few of them and changes none: they come
// in with a model, go from checkpoint to checkpoint, and come out again. config.json goes with them
// for the keys that ingot does not compute with (weights/exported_config.h).
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace ingot {

// Contents by name; a chat template's may have a folder in front ("additional_chat_templates/").
using CompanionFiles = std::map<std::string, std::string, std::less<>>;

// Whose a file is, by its name.
enum class Companion { none, tokenizer, model };
Companion companion_of(std::string_view name);
// Whether a checkpoint may hold a file of this name: one in its own folder, or a companion.
bool is_file_beside_model(std::string_view name);
// Whether companions may lie in a folder of this name.
bool is_companion_folder(std::string_view name);

inline constexpr const char* kConfigFile = "config.json";

// All companions in a folder of Hugging Face or a checkpoint. A file of 64 MiB or more (256 for
// tokenizer.json) is data of some kind and no companion. Empty where there is no such folder.
// Throws Error(data) when one cannot be read.
CompanionFiles read_companions(const std::filesystem::path& folder);
// Those of the tokenizer alone.
CompanionFiles read_tokenizer_companions(const std::filesystem::path& folder);

}  // namespace ingot
