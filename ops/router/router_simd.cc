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

// ---- Selection: a lane for each of sixteen tokens ------------------------------------------

// Scores and choices of up to sixteen tokens, a line of sixteen numbers for each expert, group or
// place. No branch depends on a score: mispredicted ones cost three times the work.
struct Lanes {
  float* candidates;    // [experts]
  float* group_scores;  // [groups]
  float* best;          // [selected], the best first
  std::int32_t* ids;    // [selected]
};

// lines[expert][token] = scores[token][expert] + bias[expert]. NaN becomes the lowest number, so
// that every candidate beats the -infinity of an empty place, and a token has as many experts as it
// wants whatever its scores.
void place_candidates(const RouteRows& task, const float* scores, int tokens, const Lanes& lanes) {
  const std::int64_t experts = task.shape.experts;
  for (int lane = 0; lane < kLanes; ++lane) {
    const float* row = scores + (lane < tokens ? lane : 0) * experts;
    for (std::int64_t e = 0; e < experts; ++e) lanes.candidates[e * kLanes + lane] = row[e];
  }
  for (std::int64_t e = 0; e < experts; ++e) {
    const float bias = task.bias == nullptr ? 0.0f : task.bias[e];
    float* line = lanes.candidates + e * kLanes;
    store(line, max(load(line) + bias, broadcast(-__FLT_MAX__)));
  }
}

F16 group_score(const float* lines, std::int64_t experts, bool top_two) {
  F16 first = broadcast(-__builtin_inff()), second = first;
  for (std::int64_t e = 0; e < experts; ++e) {
    const F16 score = load(lines + e * kLanes);
    second = max(second, min(first, score));
    first = max(first, score);
  }
  return top_two ? first + second : first;
}

// Gives the experts of all but the best groups -infinity.
void drop_groups(const RouterShape& shape, const Lanes& lanes) {
  const std::int64_t size = shape.experts / shape.groups;
  for (std::int64_t g = 0; g < shape.groups; ++g) {
    store(lanes.group_scores + g * kLanes,
          group_score(lanes.candidates + g * size * kLanes, size, shape.top_two));
  }
  const I16 one = broadcast_int(1);
  for (std::int64_t g = 0; g < shape.groups; ++g) {
    const F16 score = load(lanes.group_scores + g * kLanes);
    I16 better = broadcast_int(0);  // groups before this one in rank
    for (std::int64_t other = 0; other < shape.groups; ++other) {
      const F16 rival = load(lanes.group_scores + other * kLanes);
      better = better + ((other < g ? rival >= score : rival > score) & one);
    }
    const I16 kept = better < broadcast_int(static_cast<std::int32_t>(shape.kept_groups));
    for (std::int64_t e = g * size; e < (g + 1) * size; ++e) {
      float* line = lanes.candidates + e * kLanes;
      store(line, select(kept, load(line), broadcast(-__builtin_inff())));
    }
  }
}

// Offers each expert in turn; it takes the place of the first that it beats, and all from there on
// move down by one. Equal ones stay in order.
void select_best(const RouterShape& shape, const Lanes& lanes) {
  for (std::int64_t k = 0; k < shape.selected; ++k) {
    store(lanes.best + k * kLanes, broadcast(-__builtin_inff()));
  }
  for (std::int64_t e = 0; e < shape.experts; ++e) {
    F16 score = load(lanes.candidates + e * kLanes);
    I16 id = broadcast_int(static_cast<std::int32_t>(e)), placed = broadcast_int(0);
    for (std::int64_t k = 0; k < shape.selected; ++k) {
      const F16 best = load(lanes.best + k * kLanes);
      const I16 best_id = load_int(lanes.ids + k * kLanes);
      placed = placed | (score > best);
      store(lanes.best + k * kLanes, select(placed, score, best));
      store_int(lanes.ids + k * kLanes, select(placed, id, best_id));
      score = select(placed, best, score);
      id = select(placed, best_id, id);
    }
  }
}

// Writes the selected experts of up to sixteen tokens, best first.
void choose(const RouteRows& task, const float* scores, int tokens, std::int32_t* chosen) {
  const RouterShape& shape = task.shape;
  Lanes lanes;
  lanes.candidates = task.scratch;
  lanes.group_scores = lanes.candidates + shape.experts * kLanes;
  lanes.best = lanes.group_scores + shape.groups * kLanes;
  lanes.ids = reinterpret_cast<std::int32_t*>(lanes.best + shape.selected * kLanes);
  place_candidates(task, scores, tokens, lanes);
  if (shape.groups > 1) drop_groups(shape, lanes);
  select_best(shape, lanes);
  for (int lane = 0; lane < tokens; ++lane) {
    for (std::int64_t k = 0; k < shape.selected; ++k) {
      chosen[lane * shape.selected + k] = lanes.ids[k * kLanes + lane];
    }
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

// Counts a token that is not padding.
void count(const RouteRows& task, const std::int32_t* chosen, const float* scores,
           float score_sum) {
  const std::int64_t experts = task.shape.experts;
  for (std::int64_t k = 0; k < task.shape.selected; ++k) ++task.counts[chosen[k]];
  ++task.counts[experts];
  if (task.score_sums == nullptr) return;
  const F16 factor = broadcast(1.0f / (score_sum + kTiny));
  for (std::int64_t i = 0; i < experts; i += kLanes) {
    const int n = lanes_left(experts - i);
    const F16 sum = load_partial(task.score_sums + i, n);
    store_partial(task.score_sums + i, fma(load_partial(scores + i, n), factor, sum), n);
  }
}

void route_rows(const RouteRows& task) {
  const RouterShape& shape = task.shape;
  const std::int64_t experts = shape.experts, selected = shape.selected;
  if (task.counts != nullptr) __builtin_memset(task.counts, 0, sizeof(float) * (experts + 1));
  if (task.score_sums != nullptr) __builtin_memset(task.score_sums, 0, sizeof(float) * experts);
  for (std::int64_t first = 0; first < task.rows; first += kLanes) {
    const int tokens = lanes_left(task.rows - first);
    float score_sums[kLanes];
    for (int lane = 0; lane < tokens; ++lane) {
      const float* logits = task.logits + (first + lane) * task.logits_stride;
      float* scores = task.scores + (first + lane) * experts;
      if (shape.sigmoid) {
        score_sums[lane] = sigmoids(logits, scores, experts);
      } else {
        softmax(logits, scores, experts);
        score_sums[lane] = 1;
      }
    }
    choose(task, task.scores + first * experts, tokens, task.chosen + first * selected);
    for (int lane = 0; lane < tokens; ++lane) {
      const std::int64_t row = first + lane;
      const float* scores = task.scores + row * experts;
      const std::int32_t* chosen = task.chosen + row * selected;
      weigh(shape, scores, chosen, task.weights + row * selected);
      if (task.counts != nullptr && (task.ids == nullptr || task.ids[row] >= 0)) {
        count(task, chosen, scores, score_sums[lane]);
      }
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
