#include "tools/verify/verify_report.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

namespace ingot {

bool VerifyReport::passed() const {
  return !comparisons.empty() && std::all_of(comparisons.begin(), comparisons.end(),
                                             [](const Comparison& c) { return c.passed(); });
}

std::string VerifyReport::to_json() const {
  nlohmann::json tensors = nlohmann::json::array();
  for (const Comparison& c : comparisons) {
    const nlohmann::json error =
        std::isfinite(c.error) ? nlohmann::json(c.error) : nlohmann::json();
    tensors.push_back(
        {{"name", c.name}, {"error", error}, {"tolerance", c.tolerance}, {"passed", c.passed()}});
  }
  return nlohmann::json{{"passed", passed()}, {"tensors", tensors}}.dump(2);
}

std::string VerifyReport::to_table() const {
  // The worst of each kind ("grad", "hidden", ...) in relation to its tolerance, and all failures.
  std::map<std::string, const Comparison*> worst;
  std::map<std::string, int> count;
  const auto share = [](const Comparison& c) {
    return c.tolerance == 0 ? c.error : c.error / c.tolerance;
  };
  std::vector<std::string> order;
  for (const Comparison& c : comparisons) {
    const bool family = c.name.starts_with("grad.") || c.name.starts_with("final.") ||
                        c.name.starts_with("hidden.");
    const std::string kind = family ? c.name.substr(0, c.name.find('.')) : c.name;
    if (count[kind]++ == 0) order.push_back(kind);
    const Comparison*& most = worst[kind];
    if (most == nullptr || !(share(c) <= share(*most))) most = &c;
  }
  std::string text;
  for (const std::string& kind : order) {
    const Comparison& c = *worst[kind];
    text +=
        fmt::format("{:<4} {:<18} {:4} compared, worst {:.2e} of {:.0e} allowed  {}\n",
                    c.passed() ? "ok" : "FAIL", kind, count[kind], c.error, c.tolerance, c.name);
  }
  text += passed() ? "agrees with the reference" : "DISAGREES with the reference";
  return text;
}

}  // namespace ingot
