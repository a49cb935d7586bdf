// How the table of functions is written: what its lines have in common.
#pragma once

#include "ops/reduce.h"
#include "torch_language.h"

namespace tapeloop::testing::torch {

using Table = std::map<std::string, Function>;

Function unary(Tensor (*f)(const Operand&));                     // of one tensor, as floats
Function pairwise(Tensor (*f)(const Operand&, const Operand&));  // of two tensors or numbers, as floats of one dtype
Axes axes_of(const Args& a, std::size_t i = 1);                  // argument "dim": a number, a list, or everything
bool keeps(const Args& a);                                       // argument "keepdim"
Value reduced_loss(const Tensor& each, const Args& a, std::size_t i);           // argument "reduction"
Tensor optional_tensor(const Args& a, std::size_t i, const std::string& name);  // empty when it is absent

// The parts of the table, one file each.
void add_network_functions(Table& table);
void add_index_functions(Table& table);
void add_special_functions(Table& table);
void add_statistics_functions(Table& table);
void add_linear_functions(Table& table);
void add_view_functions(Table& table);
void add_loss_functions(Table& table);

}  // namespace tapeloop::testing::torch
