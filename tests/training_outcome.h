// What two ways of running the same training must agree on, to the bit.
#pragma once

#include <string>
#include <vector>

#include "training/steps/training_engine.h"

namespace ingot {

// The plan of a program that the planner has not chosen, offloading into the current folder.
PlannedTraining planned_as(TrainingProgram compiled, Backend& backend);

struct Outcome {
  std::vector<double> numbers;  // of each step: loss, norm, and those of MTP and experts
  std::string weights;          // and moments, after the last step, as bytes
  std::string progress;         // Program::progress
  bool operator==(const Outcome&) const = default;
};

// Two steps of so many micro-batches, from fresh weights: those of this rank, whose turn in the
// batch is every `ranks`-th.
Outcome outcome_of(TrainingEngine& engine, std::int64_t micro_batches, int ranks = 1, int rank = 0);

}  // namespace ingot
