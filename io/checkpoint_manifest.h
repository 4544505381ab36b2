// manifest.json of a checkpoint: what belongs to it, and proof that it is intact. Internal to
// io/checkpoint_files.h.
//
//   {
//    "manifest_xxh3": "0123456789abcdef",   hash of everything behind this line
//    "format_version": 1,
//    "step": 500,
//    "sequence": 7,                         7th save in this directory
//    ...                                    what the trainer adds: config, mesh, seed, position
//    "files": [{"name": "...", "bytes": 123, "xxh3": "0123456789abcdef"}]
//   }
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "io/sharded_writer.h"

namespace ingot {

struct CheckpointManifest {
  std::int64_t step = 0;
  std::uint64_t sequence = 0;
  std::vector<WrittenFile> files;
  std::string text;  // the whole file
};

inline constexpr const char* kManifestFile = "manifest.json";

// `state_json` is an object; its keys are kept in order. Error(usage) when it is not, or has a key
// of the manifest's own.
std::string format_manifest(const CheckpointManifest& manifest, std::string_view state_json);

// Error(data) when the text is not, byte for byte, what format_manifest wrote, or says something
// impossible (names with a path in them, the same file twice). `file` is for messages.
CheckpointManifest parse_manifest(std::string text, const std::filesystem::path& file);

// Of the checkpoint in this folder. Error(data) also when it is missing.
CheckpointManifest read_manifest(const std::filesystem::path& checkpoint);

}  // namespace ingot
