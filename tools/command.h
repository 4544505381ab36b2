// The commands of the program: each file tools/NAME_command.cc adds one to the parser.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/config/config.h"
#include "engine/execution/backend.h"
#include "engine/execution/communicator.h"

namespace CLI {
class App;
}

namespace ingot {

// What to run once flags are parsed; returns the exit code.
using Command = std::function<int()>;

void add_prepare(CLI::App& app, Command& command);
void add_tokenize(CLI::App& app, Command& command);
void add_plan(CLI::App& app, Command& command);
void add_train(CLI::App& app, Command& command);
void add_eval(CLI::App& app, Command& command);
void add_generate(CLI::App& app, Command& command);
void add_import(CLI::App& app, Command& command);
void add_export(CLI::App& app, Command& command);
void add_verify(CLI::App& app, Command& command);
void add_bench(CLI::App& app, Command& command);
void add_report(CLI::App& app, Command& command);

// A line on stderr for what does not stop the command.
void warn(const std::string& line);

// One for each setting that others keep from having an effect.
void warn_of_settings(const RunConfig& config);

// RUN.json, --set a.b=c and --device, of a command that works on a run: `config` is the file's
// path, `overrides` are for load_run_config.
void add_run_config(CLI::App& command, std::string& config, std::vector<std::string>& overrides);

// --device cpu|cuda: what computes. For commands with a run config it overrides the key "device";
// for the others it is none where the flag was not given.
void add_device_flag(CLI::App& command, std::vector<std::string>& overrides);
void add_device_flag(CLI::App& command, std::optional<Device>& device);

// Worker threads: config.threads, or all this process may use.
int thread_count(std::int64_t configured);
// What this machine's cores can do at most in the config's compute type, FLOP/s.
double measured_peak_flops(const RunConfig& config, Backend& backend);
// The device a config asks for. Throws Error(device) when it is not there.
std::unique_ptr<Backend> make_backend(Device device, int threads, Communicators* ranks = nullptr);

}  // namespace ingot
