#include "ops/router/router_simd.h"

#include "backends/cpu/simd.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

constexpr float kTiny = 1e-20f;  // in denominators, as in DeepSeek's code

// ---- Scores -------------------------------------------------------------------------------

// `value` in the first n lanes, `other` in the rest.
INGOT_SIMD F16 first_lanes(F16 value, int n, float other) {
  if (n == kLanes) return value;
  return select(lane_numbers() < broadcast_int(n), value, broadcast(other));
}

void softmax(const float* logits, float* scores, std::int64_t count) {
  F16 most = broadcast(-__builtin_inff());
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int n = lanes_left(count - i);
    most = max(first_lanes(load_partial(logits + i, n), n, -__builtin_inff()), most);
  }
  const float shift = horizontal_max(most);
  F16 sum = zero();
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int n = lanes_left(count - i);
    const F16 e = exp(load_partial(logits + i, n) - shift);
    store_partial(scores + i, e, n);
    sum += first_lanes(e, n, 0.0f);
  }
  const float total = horizontal_sum(sum);
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int n = lanes_left(count - i);
    store_partial(scores + i, load_partial(scores + i, n) / total, n);
  }
}

// Returns the sum of the scores.
float sigmoids(const float* logits, float* scores, std::int64_t count) {
  F16 sum = zero();
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int n = lanes_left(count - i);
    const F16 s = sigmoid(load_partial(logits + i, n));
    store_partial(scores + i, s, n);
    sum += first_lanes(s, n, 0.0f);
  }
  return horizontal_sum(sum);
}

// ---- Selection ----------------------------------------------------------------------------

// The best of the candidates so far, best first; of equal ones the earlier first. NaN counts as
// -infinity, so that there are always as many as were offered, up to the capacity.
struct Best {
  float* values;
  std::int32_t* ids;
  std::int64_t capacity, count;

  void offer(float value, std::int32_t id);
  void offer_all(const float* candidates, std::int64_t first, std::int64_t last);
};

void Best::offer(float value, std::int32_t id) {
  if (value != value) value = -__builtin_inff();
  if (count < capacity) {
    ++count;
  } else if (!(value > values[count - 1])) {
    return;
  }
  std::int64_t place = count - 1;
  for (; place > 0 && value > values[place - 1]; --place) {
    values[place] = values[place - 1];
    ids[place] = ids[place - 1];
  }
  values[place] = value;
  ids[place] = id;
}

void Best::offer_all(const float* candidates, std::int64_t first, std::int64_t last) {
  for (std::int64_t i = first; i < last; i += kLanes) {
    const int n = lanes_left(last - i);
    // Sixteen at a time are turned down with one comparison.
    if (count == capacity && !any(load_partial(candidates + i, n) > broadcast(values[count - 1]))) {
      continue;
    }
    for (int lane = 0; lane < n; ++lane) {
      offer(candidates[i + lane], static_cast<std::int32_t>(i + lane));
    }
  }
}

float group_score(const float* scores, std::int64_t size, bool top_two) {
  float first = -__builtin_inff(), second = -__builtin_inff();
  for (std::int64_t i = 0; i < size; ++i) {
    if (scores[i] > first) {
      second = first;
      first = scores[i];
    } else if (scores[i] > second) {
      second = scores[i];
    }
  }
  return top_two ? first + second : first;
}

void sort_ascending(std::int32_t* values, std::int64_t count) {
  for (std::int64_t i = 1; i < count; ++i) {
    const std::int32_t value = values[i];
    std::int64_t place = i;
    for (; place > 0 && values[place - 1] > value; --place) values[place] = values[place - 1];
    values[place] = value;
  }
}

// Writes the selected experts of one token, best first.
void choose(const RouterShape& shape, const float* scores, float* scratch, std::int32_t* chosen) {
  Best best{scratch, chosen, shape.selected, 0};
  if (shape.groups == 1) {
    best.offer_all(scores, 0, shape.experts);
    return;
  }
  float* group_scores = scratch + shape.selected;
  const std::int64_t size = shape.experts / shape.groups;
  for (std::int64_t group = 0; group < shape.groups; ++group) {
    group_scores[group] = group_score(scores + group * size, size, shape.top_two);
  }
  auto* kept = reinterpret_cast<std::int32_t*>(group_scores + 2 * shape.groups);
  Best groups{group_scores + shape.groups, kept, shape.kept_groups, 0};
  groups.offer_all(group_scores, 0, shape.groups);
  sort_ascending(kept, shape.kept_groups);  // ties between experts go to the lower index
  for (std::int64_t i = 0; i < shape.kept_groups; ++i) {
    best.offer_all(scores, kept[i] * size, (kept[i] + 1) * size);
  }
}

void weigh(const RouterShape& shape, const float* scores, const std::int32_t* chosen,
           float* weights) {
  float sum = kTiny;
  for (std::int64_t k = 0; k < shape.selected; ++k) sum += scores[chosen[k]];
  const float factor = shape.normalize ? shape.scaling / sum : shape.scaling;
  for (std::int64_t k = 0; k < shape.selected; ++k) weights[k] = scores[chosen[k]] * factor;
}

// ---- Forward ------------------------------------------------------------------------------

void add_scaled(float* sums, const float* scores, float factor, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int n = lanes_left(count - i);
    const F16 sum = fma(load_partial(scores + i, n), broadcast(factor), load_partial(sums + i, n));
    store_partial(sums + i, sum, n);
  }
}

void route_rows(const RouteRows& task) {
  const RouterShape& shape = task.shape;
  const std::int64_t experts = shape.experts;
  if (task.counts != nullptr) __builtin_memset(task.counts, 0, sizeof(float) * (experts + 1));
  if (task.score_sums != nullptr) __builtin_memset(task.score_sums, 0, sizeof(float) * experts);
  for (std::int64_t row = 0; row < task.rows; ++row) {
    const float* logits = task.logits + row * task.logits_stride;
    float* scores = task.scores + row * experts;
    float score_sum = 1;
    if (shape.sigmoid) {
      score_sum = sigmoids(logits, scores, experts);
    } else {
      softmax(logits, scores, experts);
    }
    const float* candidates = scores;
    if (task.bias != nullptr) {
      candidates = task.scratch;
      for (std::int64_t i = 0; i < experts; i += kLanes) {
        const int n = lanes_left(experts - i);
        const F16 biased = load_partial(scores + i, n) + load_partial(task.bias + i, n);
        store_partial(task.scratch + i, biased, n);
      }
    }
    std::int32_t* chosen = task.chosen + row * shape.selected;
    choose(shape, candidates, task.scratch + experts, chosen);
    weigh(shape, scores, chosen, task.weights + row * shape.selected);

    if (task.counts == nullptr || (task.ids != nullptr && task.ids[row] < 0)) continue;
    for (std::int64_t k = 0; k < shape.selected; ++k) ++task.counts[chosen[k]];
    ++task.counts[experts];
    if (task.score_sums != nullptr) {
      add_scaled(task.score_sums, scores, 1.0f / (score_sum + kTiny), experts);
    }
  }
}

// ---- Backward -----------------------------------------------------------------------------

struct Dots {
  float score_sum, slope_dot;
};

Dots sum_and_dot(const float* scores, const float* slope, std::int64_t count) {
  F16 sum = zero(), dot = zero();
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int n = lanes_left(count - i);
    const F16 s = load_partial(scores + i, n);
    sum += s;
    dot = fma(s, load_partial(slope + i, n), dot);
  }
  return {horizontal_sum(sum), horizontal_sum(dot)};
}

// d_logits (+)= jacobian(s) * (a * slope - b), where the softmax' jacobian is s (its dot product is
// already in b) and the sigmoid's s (1 - s). slope may be null: zeros.
void dense_part(const RouteBackwardRows& task, const float* scores, const float* slope, float a,
                float b, float* d_logits) {
  for (std::int64_t i = 0; i < task.shape.experts; i += kLanes) {
    const int n = lanes_left(task.shape.experts - i);
    const F16 s = load_partial(scores + i, n);
    const F16 jacobian = task.shape.sigmoid ? s * (1.0f - s) : s;
    F16 d = broadcast(-b);
    if (slope != nullptr) d = fma(load_partial(slope + i, n), broadcast(a), d);
    const F16 before = task.accumulate ? load_partial(d_logits + i, n) : zero();
    store_partial(d_logits + i, fma(jacobian, d, before), n);
  }
}

void backward_row(const RouteBackwardRows& task, std::int64_t row) {
  const RouterShape& shape = task.shape;
  const std::int32_t* chosen = task.chosen + row * shape.selected;
  const float* scores = task.scores + row * shape.experts;
  float* d_logits = task.d_logits + row * task.d_logits_stride;
  const float* d_weights =
      task.d_weights == nullptr ? nullptr : task.d_weights + row * shape.selected;
  const bool counted = task.ids == nullptr || task.ids[row] >= 0;
  const float* slope = counted ? task.slope : nullptr;

  // Selected scores: d_j = factor * (d_weights_j - shift).
  float factor = shape.scaling, shift = 0, selected_dot = 0;
  if (d_weights != nullptr) {
    float sum = kTiny, dot = 0;
    for (std::int64_t k = 0; k < shape.selected; ++k) {
      sum += scores[chosen[k]];
      dot += scores[chosen[k]] * d_weights[k];
    }
    if (shape.normalize) {
      factor = shape.scaling / sum;
      shift = dot / sum;
    }
    for (std::int64_t k = 0; k < shape.selected; ++k) {
      selected_dot += scores[chosen[k]] * factor * (d_weights[k] - shift);
    }
  }

  Dots dots{1, 0};
  if (slope != nullptr) dots = sum_and_dot(scores, slope, shape.experts);
  if (shape.sigmoid) {  // through s / sum(s)
    const float a = task.slope_factor / (dots.score_sum + kTiny);
    dense_part(task, scores, slope, a, a * dots.slope_dot / (dots.score_sum + kTiny), d_logits);
  } else {
    const float a = task.slope_factor;
    dense_part(task, scores, slope, a, a * dots.slope_dot + selected_dot, d_logits);
  }
  if (d_weights == nullptr) return;
  for (std::int64_t k = 0; k < shape.selected; ++k) {
    const float s = scores[chosen[k]];
    const float jacobian = shape.sigmoid ? s * (1 - s) : s;
    d_logits[chosen[k]] += jacobian * factor * (d_weights[k] - shift);
  }
}

void backward_rows(const RouteBackwardRows& task) {
  for (std::int64_t row = 0; row < task.rows; ++row) backward_row(task, row);
}

}  // namespace

const RouterKernels router_kernels = {.route_rows = route_rows, .backward_rows = backward_rows};

}  // namespace ingot::cpu::INGOT_ISA
