// How fast the disk of offloaded tensors is: measured once for each disk, kept in a
// CalibrationFile.
#pragma once

#include <filesystem>

#include "engine/config/config.h"
#include "memory/cost_model.h"

namespace ingot {

// Where a run's offloaded tensors go.
std::filesystem::path offload_folder(const RunConfig& config);

// The folder, or the nearest of its parents that exists.
std::filesystem::path existing_part(std::filesystem::path folder);

// Of the disk that holds `folder`, or the nearest of its parents that exists. A folder that can't
// be written, or lies in memory, is taken for a common disk. Measured once more, a few times at
// most, when it was doubted since; the faster counts.
DiskSpeed machine_disk(const std::filesystem::path& folder);

// A run contradicts this speed. Whether later processes will measure it once more.
bool doubt_disk(const std::filesystem::path& folder);

// The same without a file: writes 64 MiB to the disk and reads them from it.
DiskSpeed measure_disk(const std::filesystem::path& folder);

}  // namespace ingot
