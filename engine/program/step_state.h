// The numbers that change from step to step. They lie in the device's memory: the host writes them
// there before a part runs, kernels read them there, so that a program is compiled once and a run
// of it can be recorded and replayed. What a step finds out comes back in the report
// (Program::report); nothing here is a result.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string_view>

namespace ingot {

constexpr int kStepSlots = 64, kReportSlots = 64;

// Plain bytes, as they are uploaded.
struct StepState {
  std::int64_t step = 0;         // of the schedule, from 0
  std::int64_t micro_batch = 0;  // within this update, over all ranks that split the batch
  std::uint64_t seed = 0;
  double learning_rate = 0;
  // The update is skipped when the mean loss or the norm of the gradients exceeds these.
  double loss_limit = std::numeric_limits<double>::infinity();
  float norm_limit = std::numeric_limits<float>::infinity();
  float loss_scale = 1;  // factor on every gradient (fp16); the update divides it out
  // Numbers of single layers and losses, by the index that Program::step_slot() gave their name.
  std::array<double, kStepSlots> slots{};
};

// Which run of its part within an update: all that a kernel is told when it is started.
struct Turn {
  bool first = true;  // gradients of weights start anew
  bool last = true;   // and are complete afterwards
};

// In which turns an op runs at all.
enum class When : std::uint8_t { every, first, last };
constexpr bool runs_in(When when, const Turn& turn) {
  return when == When::every || (when == When::first ? turn.first : turn.last);
}

// How the inputs of a report's slot, and the turns of an update, are combined.
enum class ReportRule : std::uint8_t { sum, most };

// Slots of the step that several rooms know.
namespace step_slot {
constexpr std::string_view kLossFactor = "loss factor";  // 1 / targets of the update
constexpr std::string_view kBalanceWeight = "balance weight";
constexpr std::string_view kSequences = "sequences";  // of the update: balance losses are means
constexpr std::string_view kBiasRate = "bias rate";   // of the routers' selection bias
}  // namespace step_slot

// Slots of the report.
namespace report_slot {
constexpr std::string_view kLoss = "loss";        // sum over targets
constexpr std::string_view kTargets = "targets";  // their number
constexpr std::string_view kMtpLoss = "mtp loss", kMtpTargets = "mtp targets";
constexpr std::string_view kBalance = "balance";  // sum over routers and micro-steps
constexpr std::string_view kLoad = "load";        // max over mean, of the worst router
constexpr std::string_view kNorm = "norm";        // of all gradients, before clipping
constexpr std::string_view kSkipped = "skipped";  // 1: the update was not applied
}  // namespace report_slot

// Places in Program::progress().
enum Progress : int { kUpdates, kPreviousNorm, kNonfiniteInARow, kProgressCount };

}  // namespace ingot
