#include "training/run/metrics.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "io/atomic_file.h"

namespace ingot {
namespace {

// A line in a fixed buffer; what does not fit is cut.
class Line {
 public:
  Line(char* text, std::size_t size) : text_(text), size_(size) { text_[0] = 0; }

  template <class... Values>
  void add(fmt::format_string<Values...> format, Values&&... values) {
    const std::size_t room = size_ - 1 - length_;
    const auto written =
        fmt::format_to_n(text_ + length_, room, format, std::forward<Values>(values)...);
    length_ += std::min(room, written.size);
    text_[length_] = 0;
  }

  int length() const { return static_cast<int>(length_); }

 private:
  char* text_;
  std::size_t size_;
  std::size_t length_ = 0;
};

// JSON has no NaN or infinity: null says that the number was not one.
void add_number(Line& line, const char* name, double value) {
  if (std::isfinite(value)) {
    line.add(",\"{}\":{:.9g}", name, value);
  } else {
    line.add(",\"{}\":null", name);
  }
}

// 812 -> "812", 40300 -> "40.3k", 2100000 -> "2.1M"
void add_short(Line& line, double value) {
  if (value >= 1e6) {
    line.add("{:.1f}M", value / 1e6);
  } else if (value >= 1e4) {
    line.add("{:.1f}k", value / 1e3);
  } else {
    line.add("{:.0f}", value);
  }
}

// 0.00029 -> "2.9e-4"
void add_scientific(Line& line, double value) {
  const int exponent = value > 0 ? static_cast<int>(std::floor(std::log10(value))) : 0;
  const double mantissa = value / std::pow(10.0, exponent);
  // 9.96 would be printed as 10.0
  const bool carry = mantissa >= 9.95;
  line.add("{:.1f}e{}", carry ? mantissa / 10 : mantissa, exponent + (carry ? 1 : 0));
}

void add_duration(Line& line, double seconds) {
  if (!(seconds < 360000000)) seconds = 360000000;
  const auto whole = static_cast<std::int64_t>(std::max(0.0, seconds));
  const std::int64_t hours = whole / 3600, minutes = whole / 60 % 60;
  if (hours > 0) {
    line.add("{}h{:02}m", hours, minutes);
  } else {
    line.add("{}m{:02}s", minutes, whole % 60);
  }
}

// The "step" of a metrics line, or -1.
std::int64_t step_of(std::string_view line) {
  constexpr std::string_view kStart = "{\"step\":";
  if (!line.starts_with(kStart)) return -1;
  std::int64_t step = 0;
  std::size_t digits = 0;
  for (const char c : line.substr(kStart.size())) {
    if (c < '0' || c > '9' || ++digits > 15) break;
    step = step * 10 + (c - '0');
  }
  return digits == 0 ? -1 : step;
}

bool is_validation(std::string_view line) {
  return line.find(",\"validation_loss\":") != std::string_view::npos;
}

// Rewrites the file without the lines after `keep_steps` and without a torn last line. Returns the
// step of its last validation, or -1.
std::int64_t drop_later_lines(const std::filesystem::path& path, std::int64_t keep_steps) {
  std::int64_t validated = -1;
  std::ifstream in(path, std::ios::binary);
  if (!in) return validated;
  const std::string all{std::istreambuf_iterator<char>(in), {}};
  std::string kept;
  for (std::size_t first = 0; first < all.size();) {
    const std::size_t end = all.find('\n', first);
    if (end == std::string::npos) break;
    const std::string_view line = std::string_view(all).substr(first, end + 1 - first);
    const std::int64_t step = step_of(line);
    if (step >= 0 && step <= keep_steps) {
      kept += line;
      if (is_validation(line)) validated = step;
    }
    first = end + 1;
  }
  if (kept.size() == all.size()) return validated;
  AtomicFile out(path);
  out.write(std::as_bytes(std::span(kept)));
  out.commit();
  return validated;
}

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& directory, std::int64_t keep_steps)
    : validated_(drop_later_lines(directory / "metrics.jsonl", keep_steps)),
      file_(directory / "metrics.jsonl") {}

bool MetricsLog::step(const StepMetrics& m) {
  char text[1024];
  Line line(text, sizeof text);
  line.add("{{\"step\":{}", m.step);
  add_number(line, "loss", m.loss);
  add_number(line, "grad_norm", m.grad_norm);
  add_number(line, "learning_rate", m.learning_rate);
  line.add(",\"tokens\":{}", m.tokens);
  add_number(line, "tokens_per_second", m.tokens_per_second);
  add_number(line, "step_seconds", m.step_seconds);
  add_number(line, "mfu", m.mfu);
  line.add(",\"arena_bytes\":{},\"peak_rss_bytes\":{},\"budget_bytes\":{}", m.arena_bytes,
           m.peak_rss_bytes, m.budget_bytes);
  add_number(line, "loss_scale", m.loss_scale);
  if (m.expert_load_max_over_mean >= 0) {
    add_number(line, "expert_load_max_over_mean", m.expert_load_max_over_mean);
    add_number(line, "auxiliary_loss", m.auxiliary_loss);
  }
  if (m.mtp_loss >= 0) add_number(line, "mtp_loss", m.mtp_loss);
  line.add("}}\n");
  return file_.append({text, static_cast<std::size_t>(line.length())});
}

bool MetricsLog::start(std::int64_t step, std::string_view build, std::string_view backend) {
  const nlohmann::ordered_json line = {{"step", step}, {"build", build}, {"backend", backend}};
  return file_.append(line.dump() + "\n");
}

bool MetricsLog::validation(std::int64_t step, double loss) {
  char text[128];
  Line line(text, sizeof text);
  line.add("{{\"step\":{}", step);
  add_number(line, "validation_loss", loss);
  line.add("}}\n");
  return file_.append({text, static_cast<std::size_t>(line.length())});
}

int format_console_line(char* text, std::size_t size, const StepMetrics& m) {
  constexpr double kGiB = 1 << 30;
  Line line(text, size);
  const double done =
      m.steps > 0 ? 100.0 * static_cast<double>(m.step) / static_cast<double>(m.steps) : 0;
  line.add("step {}/{} {:.1f}% | loss {:.4f} ({:+.1f}z) | norm {:.3f} | lr ", m.step, m.steps, done,
           m.loss, m.loss_z, m.grad_norm);
  add_scientific(line, m.learning_rate);
  line.add(" | ");
  if (m.step_seconds < 10) {
    line.add("{:.0f} ms | ", m.step_seconds * 1e3);
  } else {
    line.add("{:.1f} s | ", m.step_seconds);
  }
  add_short(line, m.tokens_per_second);
  line.add(" tok/s | {:.0f}% peak | mem {:.1f}/{:.1f}G | eta ", m.mfu * 100,
           static_cast<double>(m.peak_rss_bytes) / kGiB,
           static_cast<double>(m.budget_bytes) / kGiB);
  add_duration(line, m.remaining_seconds);
  if (*m.mark != 0) line.add(" {}", m.mark);
  return line.length();
}

}  // namespace ingot
