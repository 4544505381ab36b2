// growth INGOT FOLDER [sequence|experts|layers]...   How cost grows with the size of a model: runs
// the program INGOT (bazel-bin/tools/ingot) on one config after the other, prints the tables of
// docs/benchmarks.md and draws FOLDER/growth_*.svg. Everything is run twice, one after the other,
// and the better of both counts: the second table is the one to keep. Prefix it with `chrt -r 5` on
// a busy machine.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/line_plot.h"

namespace ingot {
namespace {

using nlohmann::json;

struct Point {
  double microseconds_per_token = 0;
  double attention_time = 0, attention_flops = 0;  // shares of the whole, 0 to 1
  double update_time = 0;                          // the optimizer's share
  double arena_mebibytes = 0;
  double plan_seconds = 0;  // all of `ingot plan`
};

class Runner {
 public:
  Runner(std::string program, std::filesystem::path folder)
      : program_(std::move(program)), folder_(std::move(folder)) {}

  Point measure(const json& run) {
    const std::string config =
        (std::filesystem::temp_directory_path() / "ingot_growth.json").string();
    std::ofstream(config) << run;
    Point point;
    const auto start = std::chrono::steady_clock::now();
    const json plan = output_of("plan " + config + " --json");
    const auto end = std::chrono::steady_clock::now();
    point.plan_seconds = std::chrono::duration<double>(end - start).count();
    point.arena_mebibytes = plan["arena_bytes"].get<double>() / (1 << 20);
    const json report = output_of("bench ops " + config + " --steps 4 --json");
    std::map<std::string, double>& fastest = fastest_[run.dump()];  // by op, over both times
    double seconds = 0, flops = 0, attention_seconds = 0, attention_flops = 0, update_seconds = 0;
    for (const json& op : report["models"][0]["ops"]) {
      const std::string name = op["op"];
      const double now = op["seconds"], work = op["gflops"].get<double>() * now;
      double& time = fastest.try_emplace(name, now).first->second;
      time = std::min(time, now);
      seconds += time;
      flops += work;
      if (name.starts_with("attention")) {
        attention_seconds += time;
        attention_flops += work;
      } else if (name == "adamw" || name == "gradient_norm") {
        update_seconds += time;
      }
    }
    point.microseconds_per_token = seconds * 1e6 / run["batch"]["tokens_per_step"].get<double>();
    point.attention_time = attention_seconds / seconds;
    point.attention_flops = attention_flops / flops;
    point.update_time = update_seconds / seconds;
    return point;
  }

  void draw(const std::string& name, const LinePlot& plot) const {
    const std::filesystem::path file = folder_ / ("growth_" + name + ".svg");
    if (!(std::ofstream(file) << line_plot(plot))) {
      throw std::runtime_error("cannot write " + file.string());
    }
  }

 private:
  json output_of(const std::string& arguments) const {
    std::FILE* pipe = ::popen((program_ + " " + arguments).c_str(), "r");
    if (pipe == nullptr) throw std::runtime_error("cannot start " + program_);
    std::string text;
    char piece[4096];
    while (const std::size_t count = std::fread(piece, 1, sizeof piece, pipe)) {
      text.append(piece, count);
    }
    if (::pclose(pipe) != 0) throw std::runtime_error(program_ + " " + arguments + " failed");
    return json::parse(text);
  }

  std::string program_;
  std::filesystem::path folder_;
  std::map<std::string, std::map<std::string, double>> fastest_;
};

json dense_run(int hidden, int layers, int sequence, int micro_batch, int tokens) {
  return {{"model",
           {{"model_type", "llama"},
            {"vocab_size", 4096},
            {"hidden_size", hidden},
            {"intermediate_size", hidden * 11 / 4},
            {"num_hidden_layers", layers},
            {"num_attention_heads", hidden / 64},
            {"max_position_embeddings", 8192}}},
          {"data", {{"sequence_length", sequence}}},
          {"batch", {{"tokens_per_step", tokens}, {"micro_batch", micro_batch}}}};
}

void sequences(Runner& runner) {
  LinePlot cost{.title = "Cost of a token as sequences grow",
                .x_label = "sequence length, tokens",
                .y_label = "µs a token",
                .doubling_x = true,
                .curves = {{.name = "measured"},
                           {.name = "without attention"},
                           {.name = "512's, attention in proportion", .dashed = true}}};
  LinePlot memory{.title = "Memory as sequences grow",
                  .x_label = "sequence length, tokens",
                  .y_label = "arena, MiB",
                  .doubling_x = false,
                  .curves = {{.name = "one sequence at a time"}}};
  std::puts(
      "| sequence | µs a token | attention's share of time | of FLOPs | arena, MiB |\n"
      "| --- | --- | --- | --- | --- |");
  double rest = 0, attention = 0;
  for (int sequence = 512; sequence <= 8192; sequence *= 2) {
    const Point p = runner.measure(dense_run(512, 4, sequence, 1, 8192));
    std::printf("| %d | %.1f | %.1f %% | %.1f %% | %.0f |\n", sequence, p.microseconds_per_token,
                100 * p.attention_time, 100 * p.attention_flops, p.arena_mebibytes);
    std::fflush(stdout);
    const double other = p.microseconds_per_token * (1 - p.attention_time);
    if (sequence == 512) {
      rest = other;
      attention = p.microseconds_per_token - other;
    }
    cost.curves[0].points.emplace_back(sequence, p.microseconds_per_token);
    cost.curves[1].points.emplace_back(sequence, other);
    cost.curves[2].points.emplace_back(sequence, rest + attention * sequence / 512);
    memory.curves[0].points.emplace_back(sequence, p.arena_mebibytes);
  }
  runner.draw("sequence", cost);
  runner.draw("sequence_memory", memory);
}

void experts(Runner& runner) {
  LinePlot cost{.title = "Cost of a token as experts grow in number",
                .x_label = "routed experts, 4 of them active",
                .y_label = "µs a token",
                .doubling_x = true,
                .curves = {{.name = "step"}, {.name = "without the optimizer"}}};
  std::puts(
      "| experts | µs a token | to 8 experts | without the optimizer | to 8 experts | arena, MiB "
      "|\n"
      "| --- | --- | --- | --- | --- | --- |");
  double first = 0, first_rest = 0;
  for (int experts = 8; experts <= 256; experts *= 2) {
    const json run = {{"model",
                       {{"model_type", "deepseek_v3"},
                        {"vocab_size", 4096},
                        {"hidden_size", 256},
                        {"intermediate_size", 704},
                        {"moe_intermediate_size", 256},
                        {"num_hidden_layers", 3},
                        {"num_attention_heads", 4},
                        {"first_k_dense_replace", 1},
                        {"n_routed_experts", experts},
                        {"num_experts_per_tok", 4},
                        {"n_shared_experts", 1},
                        {"n_group", 1},
                        {"topk_group", 1},
                        {"q_lora_rank", 96},
                        {"kv_lora_rank", 64},
                        {"qk_nope_head_dim", 64},
                        {"qk_rope_head_dim", 32},
                        {"v_head_dim", 64},
                        {"num_nextn_predict_layers", 0}}},
                      {"data", {{"sequence_length", 512}}},
                      {"batch", {{"tokens_per_step", 32768}, {"micro_batch", 32}}}};
    const Point p = runner.measure(run);
    const double rest = p.microseconds_per_token * (1 - p.update_time);
    if (experts == 8) first = p.microseconds_per_token, first_rest = rest;
    std::printf("| %d | %.1f | %.2f | %.1f | %.2f | %.0f |\n", experts, p.microseconds_per_token,
                p.microseconds_per_token / first, rest, rest / first_rest, p.arena_mebibytes);
    std::fflush(stdout);
    cost.curves[0].points.emplace_back(experts, p.microseconds_per_token);
    cost.curves[1].points.emplace_back(experts, rest);
  }
  runner.draw("experts", cost);
}

void layers(Runner& runner) {
  LinePlot cost{
      .title = "Cost of a token as layers grow in number",
      .x_label = "layers",
      .y_label = "µs a token",
      .curves = {{.name = "measured"}, {.name = "line through 2 and 16 layers", .dashed = true}}};
  std::puts(
      "| layers | µs a token | of each layer | `ingot plan`, s | arena, MiB |\n"
      "| --- | --- | --- | --- | --- |");
  std::map<int, Point> points;
  for (int layers = 2; layers <= 64; layers *= 2) {
    points[layers] = runner.measure(dense_run(256, layers, 256, 8, 2048));
    const Point& p = points[layers];
    const int before = layers == 2 ? layers : layers / 2;
    const double each =
        layers == 2 ? 0
                    : (p.microseconds_per_token - points[before].microseconds_per_token) / before;
    std::printf("| %d | %.1f | %.2f | %.2f | %.0f |\n", layers, p.microseconds_per_token, each,
                p.plan_seconds, p.arena_mebibytes);
    std::fflush(stdout);
    cost.curves[0].points.emplace_back(layers, p.microseconds_per_token);
  }
  const double slope = (points[16].microseconds_per_token - points[2].microseconds_per_token) / 14;
  for (const auto& [count, point] : points) {
    cost.curves[1].points.emplace_back(count,
                                       points[2].microseconds_per_token + slope * (count - 2));
  }
  runner.draw("layers", cost);
}

int run(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: growth INGOT FOLDER [sequence|experts|layers]...\n", stderr);
    return 2;
  }
  Runner runner(argv[1], argv[2]);
  const std::map<std::string_view, void (*)(Runner&)> parts = {
      {"sequence", sequences}, {"experts", experts}, {"layers", layers}};
  std::vector<std::string_view> names(argv + 3, argv + argc);
  if (names.empty()) names = {"sequence", "experts", "layers"};
  for (const std::string_view name : names) {
    for (int time = 0; time < 2; ++time) parts.at(name)(runner);
  }
  return 0;
}

}  // namespace
}  // namespace ingot

int main(int argc, char** argv) {
  try {
    return ingot::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "growth: %s\n", error.what());
    return 1;
  }
}
