// What queue_times() predicts for copies that wait for a disk is what a run takes: on a disk that
// is made slow, so that neither the machine's own nor other work on it decides.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>

#include "backends/cpu/cpu_backend.h"
#include "engine/execution/op_times.h"
#include "engine/program/schedule_queues.h"
#include "memory/plan.h"
#include "memory/queue_times.h"
#include "ops/transfer/transfer.h"
#include "ops/transfer/transfer_cpu.h"

namespace ingot {
namespace {

using Clock = std::chrono::steady_clock;

// Something that does one thing at a time and takes its time for each. Who comes as soon as the
// last has gone begins when that should have ended, so that waking up late does not add up.
class Paced {
 public:
  void take(double seconds) {
    const std::lock_guard lock(mutex_);
    constexpr std::chrono::milliseconds kAtOnce{3};
    const Clock::time_point now = Clock::now();
    const Clock::time_point begin = now - woke_ < kAtOnce ? end_ : now;
    end_ =
        begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    std::this_thread::sleep_until(end_);
    woke_ = Clock::now();
  }

 private:
  std::mutex mutex_;
  Clock::time_point end_, woke_;
};
Paced disk, cores;
double disk_seconds_per_byte = 0;

// A kernel that takes the disk besides.
class OnDisk final : public Kernel {
 public:
  OnDisk(std::unique_ptr<Kernel> copy, std::int64_t bytes)
      : copy_(std::move(copy)), bytes_(bytes) {}
  void run(const KernelArguments& arguments, const Turn& turn) override {
    disk.take(static_cast<double>(bytes_) * disk_seconds_per_byte);
    copy_->run(arguments, turn);
  }

 private:
  std::unique_ptr<Kernel> copy_;
  std::int64_t bytes_;
};

std::unique_ptr<Kernel> on_disk(const Program& program, const Op& op, const cpu::Context& context) {
  for (const cpu::KernelEntry& entry : cpu::transfer_cpu_kernels()) {
    if (entry.kind != op.kind->name) continue;
    return std::make_unique<OnDisk>(entry.make(program, op, context),
                                    program.info(op.inputs[0]).bytes());
  }
  throw std::logic_error("no copy");
}

// Takes op.flops nanoseconds.
std::unique_ptr<Kernel> make_work(const Program&, const Op& op, const cpu::Context&) {
  return cpu::make_kernel(
      0, [seconds = op.flops * 1e-9](const auto&, const Turn&) { cores.take(seconds); });
}

const OpKind kWork{.name = "work"};
constexpr cpu::KernelEntry kKernels[] = {
    {"fetch", on_disk}, {"store", on_disk}, {"work", make_work}};

constexpr int kLayers = 8;
constexpr std::int64_t kRows = 256;  // of 256 f32: 256 KiB a layer
constexpr double kBytes = kRows * 256 * 4;

// Layers whose states are fetched, worked on, and stored.
Program update_of_layers(double work_seconds, int ahead) {
  Program program;
  program.begin(Part::update);
  for (int layer = 0; layer < kLayers; ++layer) {
    const Tensor state = program.add_tensor({.name = "m" + std::to_string(layer),
                                             .shape = {kRows, 256},
                                             .dtype = DType::f32,
                                             .role = Role::optimizer_state,
                                             .lifetime = Lifetime::persistent,
                                             .place = Place::offload});
    const Tensor here = fetch(program, state);
    program.append({.kind = &kWork,
                    .inputs = {here},
                    .outputs = {here},
                    .part = Part::update,
                    .flops = work_seconds * 1e9});
    store(program, here, state);
  }
  schedule_queues(program, ahead);
  check_program(program);
  return program;
}

// 15 %: the model knows no slices of copies that take turns on the disk, and threads wake up late.
constexpr double kTolerance = 0.15;

struct Seconds {
  double predicted = 0, measured = 0;
  double predicted_waits = 0, waits = 0;  // how long compute stood still, by the stopwatch
};

double waits_of(const OpTimes& times) {
  double seconds = 0;
  for (const OpCall& call : times.calls()) {
    if (times.program().ops()[call.op].kind == &kWait) seconds += call.seconds;
  }
  return seconds;
}

Seconds seconds_of(double work_seconds, double copy_seconds, int ahead) {
  disk_seconds_per_byte = copy_seconds / kBytes;
  const Program program = update_of_layers(work_seconds, ahead);
  CostModel costs;
  costs.add("work f32", {.rows = kRows, .flops = 1e9, .seconds = 1});
  costs.add("fetch", {.bytes = 2 * kBytes, .seconds = 1e-4});  // 2.5 GB/s, next to nothing here
  costs.add("store", {.bytes = 2 * kBytes, .seconds = 1e-4});
  costs.set_disk({disk_seconds_per_byte, disk_seconds_per_byte}, /*page_bytes=*/0);
  const QueueTimes predicted = queue_times(program, Schedule{{Part::update}}, costs);
  Seconds seconds{.predicted = predicted.seconds, .measured = 1e9};
  for (const double exposed : predicted.exposed) seconds.predicted_waits += exposed;

  cpu::CpuBackend backend(1, kKernels);
  BoundProgram bound(program, backend);
  const MemoryPlan plan = plan_memory(program, bound);
  Executor executor(program, std::move(bound), plan.placement, backend, ".");
  for (int i = 0; i < 3; ++i) {  // other work on the machine only makes it slower
    OpTimes times(executor);
    executor.set_observer(&times);
    const Clock::time_point begin = Clock::now();
    executor.run(Part::update);
    executor.synchronize();
    const double took = std::chrono::duration<double>(Clock::now() - begin).count();
    times.collect();
    if (took >= seconds.measured) continue;
    seconds.measured = took;
    seconds.waits = waits_of(times);
  }
  return seconds;
}

void expect_as_predicted(double work, double copy) {
  const Seconds in_order = seconds_of(work, copy, 0);
  EXPECT_NEAR(in_order.measured, in_order.predicted, kTolerance * in_order.predicted);
  for (const int ahead : {1, 2, 4}) {
    const Seconds beside = seconds_of(work, copy, ahead);
    EXPECT_NEAR(beside.measured, beside.predicted, kTolerance * beside.predicted)
        << ahead << " ahead";
    EXPECT_NEAR(beside.waits, beside.predicted_waits, kTolerance * beside.predicted)
        << ahead << " ahead";
    const double gain = in_order.measured - beside.measured;
    const double predicted_gain = in_order.predicted - beside.predicted;
    EXPECT_GT(predicted_gain, 0.2 * in_order.predicted) << ahead << " ahead";
    EXPECT_NEAR(gain, predicted_gain, kTolerance * in_order.predicted) << ahead << " ahead";
  }
}

TEST(DiskBound, CopiesAheadHideBehindWorkThatTakesLonger) { expect_as_predicted(0.03, 0.01); }

TEST(DiskBound, CopiesAheadHideTheWorkWhereTheyTakeLonger) { expect_as_predicted(0.015, 0.015); }

}  // namespace
}  // namespace ingot
