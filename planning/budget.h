// The memory that a run may take: what memory.budget comes to on this machine, and the part of it
// that the process needs besides the arena.
#pragma once

#include <cstdint>
#include <string>

#include "engine/config/config.h"
#include "engine/program/program.h"

namespace ingot {

// What the process may take under config.memory.budget, in bytes. "auto" is the room this machine
// or control group has, less a guard of 1 % and at least 64 MiB.
// system_root: as for read_system_memory().
std::int64_t budget_bytes(const MemoryBudget& budget, const std::string& system_root = "");

// What a process that runs this program takes at its peak besides the arena, in bytes: code,
// libraries, the compiled program, the tokenizer, a checkpoint's buffer. A rule, not a measurement,
// so that every process plans the same: only one that holds clearly more than the rule allows for
// (many threads, another run's leftovers) is taken at its word, in whole steps of a few MiB.
// held_bytes: resident in this process now, without an arena. running: its run is under way, and
// holds what a run takes.
std::int64_t process_bytes(const Program& program, std::int64_t held_bytes, bool running);

// "1.25 GiB" or "96 MiB", rounded up: a budget of what it says is enough.
std::string binary_units(std::int64_t bytes);

}  // namespace ingot
