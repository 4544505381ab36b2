#include "optim/update.h"

#include "ops/adamw/adamw.h"
#include "ops/gradient_norm/gradient_norm.h"
#include "ops/router/router.h"

namespace ingot {

UpdateOutputs append_update(Program& program, const UpdateOptions& options,
                            const std::vector<RouterUpdate>& routers) {
  program.begin(Part::update);
  std::vector<Tensor> gradients;
  for (Weight& weight : program.weights()) {
    if (!weight.gradient) continue;
    gradients.push_back(weight.gradient);
    const std::string name = program.info(weight.tensor).name;
    const Shape shape = program.info(weight.tensor).shape;
    program.set_layer(program.info(weight.tensor).layer);
    weight.first_moment =
        program.persistent(name + " first moment", shape, DType::f32, Role::optimizer_state);
    weight.second_moment =
        program.persistent(name + " second moment", shape, DType::f32, Role::optimizer_state);
  }
  program.set_layer(-1);

  const GradientNorm norm = gradient_norm(program, gradients, options.clip_norm);
  for (const Weight& weight : program.weights()) {
    if (!weight.gradient) continue;
    const Scope scope(program, program.info(weight.tensor).name, program.info(weight.tensor).layer);
    adamw(program, weight, norm.scale, norm.skipped,
          {.beta1 = options.beta1,
           .beta2 = options.beta2,
           .epsilon = options.epsilon,
           .decay = weight.decayed ? options.weight_decay : 0});
  }

  UpdateOutputs outputs{.norm = norm.norm, .skipped = norm.skipped};
  for (const RouterUpdate& router : routers) {
    const Scope scope(program, program.info(router.load).name, program.info(router.load).layer);
    outputs.load_ratios.push_back(
        bias_update(program, router.selection_bias, router.load, norm.skipped));
  }
  return outputs;
}

}  // namespace ingot
