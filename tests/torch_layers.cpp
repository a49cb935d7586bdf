#include "torch_layers.h"

namespace tapeloop::testing::torch {
namespace {

// The function that a layer calls, and the names of the arguments that it is made with.
struct Layer {
  std::string function;
  std::vector<std::string> arguments = {};
};

const std::map<std::string, Layer>& layers() {
  static const std::map<std::string, Layer> all{
      {"Identity", {"positive"}},
      {"ReLU", {"relu"}},
      {"ReLU6", {"relu6"}},
      {"LeakyReLU", {"leaky_relu", {"negative_slope"}}},
      {"ELU", {"elu", {"alpha"}}},
      {"CELU", {"celu", {"alpha"}}},
      {"SELU", {"selu"}},
      {"GELU", {"gelu", {"approximate"}}},
      {"SiLU", {"silu"}},
      {"Mish", {"mish"}},
      {"GLU", {"glu", {"dim"}}},
      {"Sigmoid", {"sigmoid"}},
      {"Tanh", {"tanh"}},
      {"LogSigmoid", {"logsigmoid"}},
      {"Softplus", {"softplus", {"beta", "threshold"}}},
      {"Softsign", {"softsign"}},
      {"Tanhshrink", {"tanhshrink"}},
      {"Hardtanh", {"hardtanh", {"min_val", "max_val"}}},
      {"Hardsigmoid", {"hardsigmoid"}},
      {"Hardswish", {"hardswish"}},
      {"Hardshrink", {"hardshrink", {"lambd"}}},
      {"Softshrink", {"softshrink", {"lambd"}}},
      {"Threshold", {"threshold", {"threshold", "value"}}},
      {"Softmax", {"softmax", {"dim"}}},
      {"LogSoftmax", {"log_softmax", {"dim"}}},
      {"Softmin", {"softmin", {"dim"}}},
      {"Flatten", {"flatten", {"start_dim", "end_dim"}}},
      {"Unflatten", {"unflatten", {"dim", "sizes"}}},
      {"LayerNorm", {"layer_norm", {"normalized_shape", "eps"}}},
      {"CosineSimilarity", {"cosine_similarity", {"dim", "eps"}}},
      {"PairwiseDistance", {"pairwise_distance", {"p", "eps", "keepdim"}}},
      {"MSELoss", {"mse_loss"}},
      {"L1Loss", {"l1_loss"}},
      {"SmoothL1Loss", {"smooth_l1_loss"}},
      {"HuberLoss", {"huber_loss"}},
      {"BCELoss", {"binary_cross_entropy"}},
      {"BCEWithLogitsLoss", {"binary_cross_entropy_with_logits"}},
      {"CrossEntropyLoss", {"cross_entropy", {"weight"}}},
      {"NLLLoss", {"nll_loss", {"weight"}}},
      {"KLDivLoss", {"kl_div"}},
      {"SoftMarginLoss", {"soft_margin_loss"}},
      {"MarginRankingLoss", {"margin_ranking_loss", {"margin"}}},
      {"HingeEmbeddingLoss", {"hinge_embedding_loss", {"margin"}}},
      {"CosineEmbeddingLoss", {"cosine_embedding_loss", {"margin"}}},
      {"TripletMarginLoss", {"triplet_margin_loss", {"margin", "p", "eps"}}},
      {"AvgPool1d", {"avg_pool1d", {"kernel_size", "stride"}}},
      {"MaxPool1d", {"max_pool1d", {"kernel_size", "stride"}}},
      {"Dropout", {"dropout", {"p"}}},
  };
  return all;
}

}  // namespace

bool is_layer(const std::string& name) {
  return layers().contains(name) || name == "Sequential" || name == "Parameter";
}

Value layer(const Args& made_with) {
  if (made_with.function == "Parameter") return made_with.positional.at(0);
  if (made_with.function == "Sequential")
    return {Closure{[steps = made_with.positional](const Values& given) {
      Value x = given.at(0);
      for (const Value& step : steps) x = step.as<Closure>()->call({x});
      return x;
    }}};
  const Layer& of = layers().at(made_with.function);
  Args args{of.function, {}, made_with.named};
  for (std::size_t i = 0; i < made_with.positional.size(); ++i)
    args.named[of.arguments.at(i)] = made_with.positional[i];
  args.named.erase("inplace");
  return {Closure{[args](const Values& given) {
    Args call = args;
    call.positional = given;
    return function_named(call.function)(call);
  }}};
}

void spell_alike(Args& args) {
  auto rename = [&](const char* from, const char* to) {
    if (auto found = args.named.extract(from); !found.empty()) {
      found.key() = to;
      args.named.insert(std::move(found));
    }
  };
  rename("axis", "dim");
  rename("keepdims", "keepdim");
  for (const char* first : {"input", "self", "tensors"})
    if (args.positional.empty() && args.named.contains(first)) args.positional.push_back(args.named.at(first));
}

}  // namespace tapeloop::testing::torch
