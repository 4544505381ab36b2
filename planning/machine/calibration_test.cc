#include "planning/machine/calibration.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>

#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/cpu_queues.h"
#include "backends/host/system_memory.h"
#include "io/test_folder.h"
#include "ops/cpu_kernels.h"
#include "planning/machine/calibration_file.h"
#include "planning/machine/disk_speed.h"

namespace ingot {
namespace {

using nlohmann::json;

class Calibration : public testing::Test {
 protected:
  void SetUp() override { setenv("XDG_CACHE_HOME", folder_.path().c_str(), 1); }

  RunConfig config(const std::vector<std::string>& overrides = {}) const {
    std::vector<std::string> all = {"memory.offload_directory=" + folder_.path().string()};
    all.insert(all.end(), overrides.begin(), overrides.end());
    return parse_run_config(R"({"model": {"model_type": "llama", "vocab_size": 64,
      "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
      "num_attention_heads": 2}})",
                            "run.json", ".", all);
  }

  json kept() const { return json::parse(contents_of(costs_file(config(), backend_))); }
  // Changes the file as it would be after one quiet measurement of a machine that is so much
  // slower.
  void keep_slower_by(double factor) const {
    json file = kept();
    for (json& timings : file["measured"]) {
      for (json& timing : timings) timing[3] = timing[3].get<double>() * factor;
    }
    file["measurements"] = 1;
    file["doubtful"] = false;
    put_file(costs_file(config(), backend_), file.dump());
  }

  TestFolder folder_;
  cpu::CpuBackend backend_{2, cpu::all_cpu_kernels()};
};

TEST_F(Calibration, TimesEachKindOfOpAndIsKeptForLaterProcesses) {
  const CostModel costs = machine_costs(config(), backend_);
  for (const char* key : {"linear bf16", "cross_entropy_backward bf16 i32 f32 bf16 f32", "fetch",
                          "store", "quantize bf16 i8 f32"}) {
    ASSERT_TRUE(costs.timings().contains(key)) << key;
    for (const Timing& timing : costs.timings().at(key)) EXPECT_GT(timing.seconds, 0) << key;
  }
  // Of both models: one entry for each size.
  EXPECT_EQ(costs.timings().at("linear bf16").size(), 2u);
  keep_slower_by(1);  // however busy this machine is
  EXPECT_EQ(machine_costs(config(), backend_).timings(), costs.timings());
}

// As where neither the offload folder nor the one for temporary files takes a file: on a disk in
// memory, which no run may offload to.
TEST_F(Calibration, WithoutTransfersIsCompletedAsSoonAsAFolderTakesAFile) {
  if (machine_disk(folder_.path()) == DiskSpeed()) GTEST_SKIP() << "the test's folder is in memory";
  const char* before = std::getenv("TMPDIR");
  setenv("TMPDIR", "/dev/shm", 1);
  const CostModel without = machine_costs(config({"memory.offload_directory=/dev/shm"}), backend_);
  EXPECT_FALSE(without.timings().contains("fetch"));
  keep_slower_by(1e9);
  const CostModel with = machine_costs(config(), backend_);
  EXPECT_TRUE(with.timings().contains("fetch"));
  EXPECT_TRUE(with.timings().contains("store"));
  EXPECT_TRUE(with.timings().contains("fetch copy in"));  // and beside compute
  EXPECT_TRUE(with.timings().contains("store copy out"));
  EXPECT_GT(with.timings().at("linear bf16").front().seconds, 100);  // not measured again
  EXPECT_TRUE(kept()["measured"].contains("fetch"));
  before == nullptr ? unsetenv("TMPDIR") : setenv("TMPDIR", before, 1);
}

TEST_F(Calibration, SaysHowWrongItMayBe) {
  machine_costs(config(), backend_);
  keep_slower_by(1);
  const double quiet = machine_costs(config(), backend_).error();
  EXPECT_GT(quiet, 0);
  json file = kept();
  file["measurements"] = 4;
  file["doubtful"] = true;
  put_file(costs_file(config(), backend_), file.dump());
  EXPECT_GT(machine_costs(config(), backend_).error(), quiet);
}

TEST_F(Calibration, StaysWithinASmallBudget) {
  constexpr std::int64_t kBytes = 48 << 20;
  const std::int64_t before = peak_resident_bytes(), now = resident_bytes();
  const CostModel costs = machine_costs(config(), backend_, kBytes);
  EXPECT_TRUE(costs.timings().contains("linear bf16"));
  // The code it runs for the first time, and the heap.
  EXPECT_LE(peak_resident_bytes(), std::max(before, now + kBytes + (8 << 20)));
  EXPECT_FALSE(std::filesystem::exists(costs_file(config(), backend_)));
}

TEST_F(Calibration, StaysWithinWhatARunUnderWayLeaves) {
  constexpr std::int64_t kBytes = std::int64_t{1} << 40;
  const std::int64_t before = peak_resident_bytes(), now = resident_bytes();
  machine_costs(config(), backend_, kBytes, kBytes - (48 << 20));
  EXPECT_LE(peak_resident_bytes(), std::max(before, now + (56 << 20)));
  EXPECT_FALSE(std::filesystem::exists(costs_file(config(), backend_)));
}

TEST_F(Calibration, HoldsForOneDeviceAndPrecision) {
  EXPECT_NE(costs_file(config({"precision.compute=fp32"}), backend_),
            costs_file(config(), backend_));
  const cpu::CpuBackend other(1, cpu::all_cpu_kernels());
  EXPECT_NE(costs_file(config(), other), costs_file(config(), backend_));
}

// The file of another machine under this one's name, and one with impossible numbers.
TEST_F(Calibration, IsMeasuredAgainWhereTheFileIsForAnotherMachineOrDamaged) {
  const std::filesystem::path path = costs_file(config(), backend_);
  std::filesystem::create_directories(path.parent_path());
  const json slow = {{"linear bf16", {{128, 1, 1, 1e6}}}};
  const json negative = {{"linear bf16", {{128, 1, 1, -1}}}};
  put_file(path, json{{"measured_for", "another machine"}, {"measured", slow}}.dump());
  const CostModel again = machine_costs(config(), backend_);
  EXPECT_LT(again.timings().at("linear bf16").front().seconds, 100);
  json mended = json::parse(contents_of(path));
  mended["measured"] = negative;
  put_file(path, mended.dump());
  EXPECT_GT(machine_costs(config(), backend_).timings().at("linear bf16").front().seconds, 0);
}

// Nobody measures what lies between a hundred seconds and nothing: no clock decides this test.
TEST_F(Calibration, IsRepeatedWhenDoubtedAndKeepsTheFasterTimes) {
  EXPECT_FALSE(doubt_costs(config(), backend_));  // nothing there yet
  machine_costs(config(), backend_);
  const auto linear = [](const CostModel& costs) {
    return costs.timings().at("linear bf16").front().seconds;
  };
  constexpr double kBusy = 1e9, kUnmatched = 1e-12;
  keep_slower_by(kBusy);
  EXPECT_GT(linear(machine_costs(config(), backend_)), 100);
  EXPECT_TRUE(doubt_costs(config(), backend_));
  const auto unlimited = std::numeric_limits<std::int64_t>::max();
  EXPECT_GT(linear(machine_costs(config(), backend_, unlimited, /*held_bytes=*/1)), 100);
  EXPECT_LT(linear(machine_costs(config(), backend_)), 100);
  EXPECT_EQ(kept()["measurements"], 2);

  keep_slower_by(kUnmatched);
  const CostModel fast = machine_costs(config(), backend_);
  EXPECT_TRUE(doubt_costs(config(), backend_));
  EXPECT_EQ(machine_costs(config(), backend_).timings(), fast.timings());
}

TEST_F(Calibration, OfAMachineThatIsAlwaysBusyEndsAfterAFewMeasurements) {
  const CalibrationFile file("x", "this machine");
  EXPECT_FALSE(file.wants_another());
  EXPECT_FALSE(file.doubt());
  file.write(7);
  EXPECT_FALSE(file.wants_another());
  EXPECT_TRUE(file.doubt());
  EXPECT_TRUE(CalibrationFile("x", "this machine").wants_another());
  EXPECT_EQ(file.read(), 7);
  int measurements = 1;
  for (; file.wants_another() && measurements < 100; ++measurements) file.write(8, true);
  EXPECT_EQ(measurements, 4);
  EXPECT_FALSE(file.doubt());
  EXPECT_FALSE(file.wants_another());
  EXPECT_EQ(file.read(), 8);
}

TEST_F(Calibration, IsSettledWhenOneMeasurementWasQuiet) {
  const CalibrationFile file("x", "this machine");
  file.write(7, /*disturbed=*/true);
  EXPECT_TRUE(file.wants_another());
  file.write(6);
  EXPECT_FALSE(file.wants_another());
}

TEST_F(Calibration, TakesDamagedCountsAndDoubtsForNone) {
  const CalibrationFile file("x", "this machine");
  for (const json& damaged : {json("many"), json(-1e30), json(nullptr), json(std::uint64_t(-1))}) {
    file.write(7, true);
    json text = json::parse(contents_of(file.path()));
    text["measurements"] = damaged;
    text["doubtful"] = damaged;
    put_file(file.path(), text.dump());
    EXPECT_EQ(file.read(), 7);
    EXPECT_FALSE(file.wants_another());
    file.write(8);
    EXPECT_EQ(file.read(), 8);
  }
}

// A device that something else always had a part of.
class BusyBackend final : public Backend {
 public:
  explicit BusyBackend(Backend& cpu) : cpu_(cpu) {}
  const DeviceTraits& traits() const override { return cpu_.traits(); }
  std::string build_id() const override { return "busy"; }
  MachinePeaks peaks(std::int64_t room) override { return cpu_.peaks(room); }
  MemoryLimits limits(const std::filesystem::path& folder) const override {
    return cpu_.limits(folder);
  }
  std::unique_ptr<Kernel> make_kernel(const Program& program, const Op& op) override {
    return cpu_.make_kernel(program, op);
  }
  std::unique_ptr<Memory> allocate(Place place, std::int64_t bytes,
                                   const std::filesystem::path& folder) override {
    return cpu_.allocate(place, bytes, folder);
  }
  void write(Range to, std::span<const std::byte> host) override { cpu_.write(to, host); }
  void read(std::span<std::byte> host, Range from) override { cpu_.read(host, from); }
  std::unique_ptr<Queues> open(std::span<const int> starts) override {
    class Busy final : public cpu::CpuQueues {
     public:
      using CpuQueues::CpuQueues;
      bool quiet(std::size_t, std::size_t) const override { return false; }
    };
    return std::make_unique<Busy>(starts);
  }

 private:
  Backend& cpu_;
};

TEST_F(Calibration, IsMarkedWhereNoProbeHadTheDeviceForItself) {
  BusyBackend busy(backend_);
  EXPECT_GE(machine_costs(config(), busy).error(), 0.1);
  EXPECT_TRUE(json::parse(contents_of(costs_file(config(), busy)))["doubtful"].get<bool>());
}

TEST_F(Calibration, FilesThatTellNothingAreTakenForMissing) {
  const CalibrationFile file("x", "this machine");
  EXPECT_TRUE(file.read().is_null());
  file.write(7);
  EXPECT_EQ(file.read(), 7);
  for (const char* text : {"", "{", "[]", "7", R"({"measured_for": "this machine"})",
                           R"({"measured_for": "that machine", "measured": 7})"}) {
    put_file(file.path(), text);
    EXPECT_TRUE(file.read().is_null()) << text;
  }
}

TEST_F(Calibration, KeepsTheHighestPeakSeen) {
  EXPECT_EQ(best_peak_flops(backend_, "bf16", 2e11), 2e11);
  EXPECT_EQ(best_peak_flops(backend_, "bf16", 1e11), 2e11);  // a disturbed measurement
  EXPECT_EQ(best_peak_flops(backend_, "bf16", 3e11), 3e11);
  EXPECT_EQ(best_peak_flops(backend_, "bf16", 1e11), 3e11);
  EXPECT_EQ(best_peak_flops(backend_, "fp32", 1e11), 1e11);
  const cpu::CpuBackend other(1, cpu::all_cpu_kernels());
  EXPECT_EQ(best_peak_flops(other, "bf16", 1e11), 1e11);
}

TEST_F(Calibration, TakesNoPeakFromADamagedFile) {
  for (const double damaged : {1e30, -1.0, 0.0}) {
    best_peak_flops(backend_, "bf16", 1e11);
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "ingot")) {
      json file = json::parse(contents_of(entry.path()));
      file["measured"] = damaged;
      put_file(entry.path(), file.dump());
    }
    EXPECT_EQ(best_peak_flops(backend_, "bf16", 1e11), 1e11) << damaged;
  }
}

TEST_F(Calibration, MeasuresTheDiskOnceForAllFoldersOnIt) {
  const TestFolder disk;  // as the offload folder: not in memory where this test must tell
  const DiskSpeed speed = machine_disk(disk.path());
  EXPECT_GT(speed.read_seconds_per_byte, 0);
  EXPECT_GT(speed.write_seconds_per_byte, 0);
  EXPECT_EQ(machine_disk(disk / "not" / "there" / "yet"), speed);
}

TEST_F(Calibration, MeasuresTheDiskAgainWhenDoubtedAndKeepsTheFasterSpeed) {
  const TestFolder disk;
  EXPECT_FALSE(doubt_disk(disk.path()));
  const DiskSpeed speed = machine_disk(disk.path());
  if (speed == DiskSpeed()) GTEST_SKIP() << "the test's folder lies in memory";
  std::filesystem::path path;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "ingot")) {
    path = entry.path();
  }
  json file = json::parse(contents_of(path));
  file["measured"] = {9e-4, 1e-15};
  put_file(path, file.dump());
  const DiskSpeed by_hand{9e-4, 1e-15};
  EXPECT_EQ(machine_disk(disk.path()), by_hand);
  EXPECT_TRUE(doubt_disk(disk.path()));
  EXPECT_LT(machine_disk(disk.path()).read_seconds_per_byte, 9e-4);
  EXPECT_EQ(machine_disk(disk.path()).write_seconds_per_byte, 1e-15);
}

TEST_F(Calibration, TakesAFolderThatCannotBeWrittenForACommonDisk) {
  EXPECT_EQ(measure_disk("/proc"), DiskSpeed());
  EXPECT_EQ(machine_disk("/dev/shm"), DiskSpeed());
}

}  // namespace
}  // namespace ingot
