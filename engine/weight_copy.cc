#include "engine/weight_copy.h"

#include <algorithm>
#include <stdexcept>

namespace ingot {
namespace {

constexpr std::size_t kChunk = 1 << 16;  // elements converted at a time

std::byte* place_of(const Executor& executor, Tensor tensor, std::int64_t offset) {
  const std::int64_t size = size_of(executor.program().dtype(tensor));
  return executor.data(executor.program().whole(tensor.id)) + offset * size;
}

std::uint16_t to_half(float value, DType dtype) {
  return dtype == DType::bf16 ? float_to_bf16(value) : float_to_f16(value);
}

void write_values(Executor& executor, Tensor tensor, std::int64_t offset,
                  std::span<const float> values) {
  const DType dtype = executor.program().dtype(tensor);
  if (dtype == DType::f32) {
    executor.backend().copy_to_device(place_of(executor, tensor, offset), std::as_bytes(values));
    return;
  }
  std::vector<std::uint16_t> rounded(std::min(kChunk, values.size()));
  for (std::size_t first = 0; first < values.size(); first += kChunk) {
    const std::size_t count = std::min(kChunk, values.size() - first);
    for (std::size_t i = 0; i < count; ++i) rounded[i] = to_half(values[first + i], dtype);
    executor.backend().copy_to_device(
        place_of(executor, tensor, offset + static_cast<std::int64_t>(first)),
        std::as_bytes(std::span(rounded).first(count)));
  }
}

}  // namespace

Tensor state_tensor(const Weight& weight, WeightState state) {
  switch (state) {
    case WeightState::value:
      return weight.master;
    case WeightState::gradient:
      return weight.gradient;
    case WeightState::first_moment:
      return weight.first_moment;
    case WeightState::second_moment:
      return weight.second_moment;
  }
  return {};
}

void write_weight_part(Executor& executor, const Weight& weight, const WeightPart& part,
                       std::span<const float> values) {
  write_values(executor, weight.tensor, part.offset, values);
  if (weight.master != weight.tensor) write_values(executor, weight.master, part.offset, values);
}

void read_weight_part(const Executor& executor, const Weight& weight, const WeightPart& part,
                      WeightState state, std::span<float> values) {
  const Tensor tensor = state_tensor(weight, state);
  const DType dtype = executor.program().dtype(tensor);
  const std::byte* place = place_of(executor, tensor, part.offset);
  if (dtype == DType::f32) {
    executor.backend().copy_to_host(std::as_writable_bytes(values), place);
    return;
  }
  std::vector<std::uint16_t> raw(std::min(kChunk, values.size()));
  for (std::size_t first = 0; first < values.size(); first += kChunk) {
    const std::size_t count = std::min(kChunk, values.size() - first);
    executor.backend().copy_to_host(std::as_writable_bytes(std::span(raw).first(count)),
                                    place + first * size_of(dtype));
    for (std::size_t i = 0; i < count; ++i) {
      values[first + i] = dtype == DType::bf16 ? bf16_to_float(raw[i]) : f16_to_float(raw[i]);
    }
  }
}

void write_state_part(Executor& executor, const Weight& weight, const WeightPart& part,
                      WeightState state, std::span<const float> values) {
  write_values(executor, state_tensor(weight, state), part.offset, values);
}

}  // namespace ingot
