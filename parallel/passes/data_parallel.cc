#include "parallel/passes/data_parallel.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "ops/all_reduce/all_reduce.h"
#include "ops/report/report.h"

namespace ingot {
namespace {

// The last op of the micro-step that writes a tensor; none: -1.
std::int64_t last_writer(const Program& program, Tensor t) {
  const std::span<const Op> all = program.ops();
  for (auto i = std::ssize(all) - 1; i >= 0; --i) {
    const Op& op = all[i];
    const auto is_it = [t](Tensor written) { return written && written.id == t.id; };
    if (op.part == Part::micro_step && std::ranges::any_of(op.outputs, is_it)) return i;
  }
  return -1;
}

struct Sum {
  std::int64_t after = -1;  // the op that completes it
  std::vector<Tensor> tensors;
};

std::vector<Sum> buckets_of(const Program& program, std::span<const Tensor> summed) {
  std::vector<std::pair<std::int64_t, Tensor>> complete;
  const auto add = [&](Tensor t) {
    const std::int64_t writer = last_writer(program, t);
    if (writer >= 0) complete.emplace_back(writer, t);
  };
  for (const Weight& weight : program.weights()) {
    if (weight.learning == Learning::gradient) add(program.whole(weight.gradient.values.id));
  }
  for (const Tensor t : summed) add(program.whole(t.id));
  std::ranges::stable_sort(complete, {}, [](const auto& entry) { return entry.first; });
  std::vector<Sum> sums;
  std::int64_t room = 0;
  for (const auto& [writer, t] : complete) {
    if (room <= 0) {
      sums.emplace_back();
      room = kBucketBytes;
    }
    sums.back().after = writer;
    sums.back().tensors.push_back(t);
    room -= program.info(t).bytes();
  }
  return sums;
}

}  // namespace

Queue sum_over_data_ranks(Program& program, std::span<const Tensor> summed) {
  const Queue queue = program.add_queue({QueueKind::group, "data ranks"});
  const std::vector<Sum> sums = buckets_of(program, summed);
  std::vector<Op> ops = program.take_ops();
  auto sum = sums.begin();
  bool combined = false;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const Cursor here{.part = ops[i].part, .phase = ops[i].phase, .layer = ops[i].layer};
    if (!combined && ops[i].part == Part::update) {
      combined = true;
      const At at(program, here);
      combine_reports(program, queue);
    }
    program.append(std::move(ops[i]));
    for (; sum != sums.end() && sum->after == static_cast<std::int64_t>(i); ++sum) {
      const At at(program, here);
      all_reduce(program, sum->tensors, queue).when = When::last;
    }
  }
  return queue;
}

}  // namespace ingot
