#include "models/average.h"

#include "ops/elementwise.h"

namespace tapeloop::detail {

void update_average(const Handles& means, const Tensors& params, Tensor& step, double decay) {
  for (std::size_t i = 0; i < means.size(); ++i) {
    // 1 − d without cancellation where d is near 1.
    const Tensor forgets = maximum(9 / (cast(step, means[i]->dtype()) + 10), 1 - decay);
    *means[i] = *means[i] + forgets * (params[i] - *means[i]);
  }
  step = step + 1;
}

}  // namespace tapeloop::detail
