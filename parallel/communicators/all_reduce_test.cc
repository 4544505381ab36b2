// The sum of tensors over ranks (ops/all_reduce), with threads as ranks.
#include "ops/all_reduce/all_reduce.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "engine/execution/executor.h"
#include "engine/numbers/random.h"
#include "ops/all_reduce/all_reduce_cpu.h"
#include "parallel/communicators/thread_ranks.h"

namespace ingot {
namespace {

// Their sizes do not divide by any number of ranks, and the last does not fit one window.
constexpr std::int64_t kSizes[] = {1, 2, 5, 1001, (8 << 20) / 4 + 77};

std::vector<float> values_of(int rank, std::int64_t count) {
  std::vector<float> values(count);
  for (std::int64_t i = 0; i < count; ++i) {
    values[i] = random_normal_pair(rank + 1, count, i / 2)[i % 2];
  }
  return values;
}

// By tensor, what rank `rank` has when all have run the op, as bytes.
using Tensors = std::vector<std::vector<std::byte>>;

Tensors narrowed(DType dtype, int rank) {
  Tensors tensors;
  for (const std::int64_t count : kSizes) {
    const std::vector<float> values = values_of(rank, count);
    auto& bytes = tensors.emplace_back(count * size_of(dtype));
    for (std::int64_t i = 0; i < count; ++i) {
      std::byte* const at = bytes.data() + i * size_of(dtype);
      if (dtype == DType::f32) *reinterpret_cast<float*>(at) = values[i];
      if (dtype == DType::bf16) *reinterpret_cast<std::uint16_t*>(at) = float_to_bf16(values[i]);
      if (dtype == DType::i32) {
        *reinterpret_cast<std::int32_t*>(at) = static_cast<std::int32_t>(values[i] * 1e6f);
      }
    }
  }
  return tensors;
}

Tensors summed_by(ThreadRanks& world, DType dtype, int rank) {
  Program program;
  program.begin(Part::micro_step);
  const Queue queue = program.add_queue({QueueKind::group, "all"});
  std::vector<Tensor> tensors;
  for (const std::int64_t count : kSizes) {
    tensors.push_back(program.persistent(std::to_string(count), {count}, dtype, Role::gradient));
  }
  Op& op = all_reduce(program, tensors, queue);
  op.ticket = program.new_ticket();
  Op wait = op;
  wait.kind = &kWait;
  wait.queue = kCompute;
  program.append(std::move(wait));
  cpu::CpuBackend backend(1, cpu::all_reduce_cpu_kernels(), cpu::isa(), &world.rank(rank));
  BoundProgram bound(program, backend);
  Placement places = separate_places(program, bound);
  Executor executor(program, std::move(bound), std::move(places), backend);
  Tensors values = narrowed(dtype, rank);
  for (std::size_t i = 0; i < tensors.size(); ++i) executor.write(tensors[i], values[i]);
  executor.run(Part::micro_step);
  for (std::size_t i = 0; i < tensors.size(); ++i) executor.read(tensors[i], values[i]);
  return values;
}

template <class Value, class Wide>
Value sum_in_order(const std::vector<Tensors>& ranks, std::size_t tensor, std::int64_t i,
                   Wide (*widen)(Value), Value (*narrow)(Wide)) {
  Wide sum = widen(reinterpret_cast<const Value*>(ranks[0][tensor].data())[i]);
  for (std::size_t r = 1; r < ranks.size(); ++r) {
    sum += widen(reinterpret_cast<const Value*>(ranks[r][tensor].data())[i]);
  }
  return narrow(sum);
}

class AllReduce : public testing::TestWithParam<DType> {};

TEST_P(AllReduce, AddsInTheOrderOfRanksWheneverMessagesArrive) {
  for (const int size : {1, 2, 3, 4}) {
    std::vector<Tensors> inputs;
    for (int rank = 0; rank < size; ++rank) inputs.push_back(narrowed(GetParam(), rank));
    ThreadRanks world(size, /*delays=*/static_cast<std::uint64_t>(size));
    std::vector<Tensors> outputs(size);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size; ++rank) {
      threads.emplace_back([&, rank] { outputs[rank] = summed_by(world, GetParam(), rank); });
    }
    for (std::thread& thread : threads) thread.join();
    for (int rank = 1; rank < size; ++rank) EXPECT_EQ(outputs[rank], outputs[0]) << size;
    for (std::size_t t = 0; t < std::size(kSizes); ++t) {
      for (std::int64_t i = 0; i < kSizes[t]; ++i) {
        if (GetParam() == DType::f32) {
          const auto same = +[](float x) { return x; };
          ASSERT_EQ(reinterpret_cast<const float*>(outputs[0][t].data())[i],
                    (sum_in_order<float, float>(inputs, t, i, same, same)));
        } else if (GetParam() == DType::bf16) {
          ASSERT_EQ(
              reinterpret_cast<const std::uint16_t*>(outputs[0][t].data())[i],
              (sum_in_order<std::uint16_t, float>(inputs, t, i, bf16_to_float, float_to_bf16)));
        } else {
          const auto same = +[](std::int32_t x) { return x; };
          ASSERT_EQ(reinterpret_cast<const std::int32_t*>(outputs[0][t].data())[i],
                    (sum_in_order<std::int32_t, std::int32_t>(inputs, t, i, same, same)));
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, AllReduce, testing::Values(DType::f32, DType::bf16, DType::i32),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace ingot
