// A plan is made for the disk of offloaded tensors as for memory: the message names what is short.
#include <gtest/gtest.h>

#include "planning/planner.h"
#include "tests/forwarding_backend.h"
#include "tests/tiny_run.h"

namespace ingot {
namespace {

// Has a disk with so many bytes free.
class FullDisk final : public ForwardingBackend {
 public:
  explicit FullDisk(std::int64_t free) : ForwardingBackend(1), free_(free) {}
  MemoryLimits limits(const std::filesystem::path&) const override {
    MemoryLimits limits;
    limits[static_cast<int>(MemoryKind::disk)] = {.total = 1 << 30, .free = free_};
    return limits;
  }

 private:
  std::int64_t free_;
};

TEST(PlanDisk, ARunWhoseFileHasNoRoomIsRefusedAndTheDiskIsNamed) {
  const TinyRun run;
  const RunConfig config = run.config("run", {"memory.offload=all"});
  FullDisk roomy(1 << 29);
  const std::int64_t bytes = plan_training(config, roomy).memory.offload_bytes();
  FullDisk enough(bytes), full(bytes - 1);
  EXPECT_TRUE(plan_training(config, enough).fits());
  try {
    plan_training(config, full);
    FAIL() << "took a file of " << bytes << " bytes";
  } catch (const DoesNotFit& refusal) {
    EXPECT_EQ(refusal.code(), ErrorCode::budget);
    EXPECT_EQ(refusal.smallest().short_of(), MemoryKind::disk);
    EXPECT_NE(refusal.problem().find("on the disk of offloaded tensors"), std::string::npos)
        << refusal.what();
  }
  // As much of it is given room again by the run that plans anew.
  EXPECT_TRUE(plan_training(config, full, {.held_disk_bytes = 1}).fits());
}

TEST(PlanDisk, OffloadsLessWhereTheBudgetAllowsIt) {
  const TinyRun run;
  FullDisk none(0);
  const PlannedTraining plan = plan_training(run.config("run"), none);
  EXPECT_TRUE(plan.fits());
  EXPECT_EQ(plan.memory.offload_bytes(), 0);
}

}  // namespace
}  // namespace ingot
