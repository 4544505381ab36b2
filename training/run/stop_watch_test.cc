#include "training/run/stop_watch.h"

#include <gtest/gtest.h>

#include <csignal>

namespace ingot {
namespace {

Op op_of(Phase phase) {
  Op op;
  op.phase = phase;
  return op;
}

TEST(StopWatch, StopsBeforeTheNextOpUnlessWeightsAreBeingUpdated) {
  const RunSignals signals;
  StopWatch watch(signals);
  for (const Phase phase : {Phase::forward, Phase::backward, Phase::update}) {
    EXPECT_NO_THROW(watch.before(op_of(phase)));
  }
  watch.restart();
  EXPECT_NO_THROW(watch.before(op_of(Phase::update)));
  std::raise(SIGTERM);
  // An update in backward: half of the weights may be new already.
  EXPECT_NO_THROW(watch.before(op_of(Phase::backward)));
  EXPECT_NO_THROW(watch.before(op_of(Phase::update)));
  watch.restart();
  EXPECT_THROW(watch.before(op_of(Phase::forward)), Stopped);
  EXPECT_THROW(watch.before(op_of(Phase::backward)), Stopped);
}

}  // namespace
}  // namespace ingot
