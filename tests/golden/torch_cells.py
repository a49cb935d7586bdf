#!/usr/bin/env python3
"""Writes torch_cells.json: outputs and all gradients of PyTorch's RNN, GRU and LSTM, in f64, for tests/torch_test.cpp.

    /usr/bin/python3 torch_cells.py > torch_cells.json      (python3-torch 1.13 of Debian 12)

Weights are stored in our layout: w [D, G*H], u [H, G*H], b [G*H], that is PyTorch's transposed. The loss is
sum(outputs * weight) + sum(last h * last_weight) (+ the same of c), so that every cotangent is different.
"""
import json
import sys

import torch

T, B, D, H = 5, 3, 4, 6
torch.manual_seed(1)
torch.set_default_dtype(torch.float64)


def numbers(t):
    t = t.detach()
    return {"shape": list(t.shape), "values": [float(v) for v in t.contiguous().flatten()]}


def case(name, module, lstm=False):
    xs = torch.randn(T, B, D, requires_grad=True)
    state = [torch.randn(1, B, H, requires_grad=True) for _ in range(2 if lstm else 1)]
    outputs, last = module(xs, tuple(state) if lstm else state[0])
    last = list(last) if lstm else [last]
    weight = torch.randn_like(outputs)
    last_weights = [torch.randn_like(s) for s in last]
    loss = (outputs * weight).sum() + sum((s * w).sum() for s, w in zip(last, last_weights))
    loss.backward()
    p = dict(module.named_parameters())
    return {
        "name": name,
        "xs": numbers(xs), "state": [numbers(s[0]) for s in state],
        "w": numbers(p["weight_ih_l0"].T), "u": numbers(p["weight_hh_l0"].T),
        "b_input": numbers(p["bias_ih_l0"]), "b_hidden": numbers(p["bias_hh_l0"]),
        "weight": numbers(weight), "last_weights": [numbers(w[0]) for w in last_weights],
        "outputs": numbers(outputs), "last": [numbers(s[0]) for s in last], "loss": float(loss),
        "d_xs": numbers(xs.grad), "d_state": [numbers(s.grad[0]) for s in state],
        "d_w": numbers(p["weight_ih_l0"].grad.T), "d_u": numbers(p["weight_hh_l0"].grad.T),
        "d_b_input": numbers(p["bias_ih_l0"].grad), "d_b_hidden": numbers(p["bias_hh_l0"].grad),
    }


def steps(name, make):
    """Six updates of one parameter on fixed gradients."""
    p = torch.nn.Parameter(torch.randn(5))
    optimizer = make([p])
    start, grads, values = numbers(p), [], []
    for _ in range(6):
        p.grad = torch.randn(5)
        grads.append(numbers(p.grad))
        optimizer.step()
        values.append(numbers(p))
    return {"name": name, "start": start, "grads": grads, "values": values}


json.dump({
    "torch": torch.__version__,
    "cells": [
        case("rnn_tanh", torch.nn.RNN(D, H)),
        case("rnn_relu", torch.nn.RNN(D, H, nonlinearity="relu")),
        case("gru", torch.nn.GRU(D, H)),
        case("lstm", torch.nn.LSTM(D, H), lstm=True),
    ],
    "optimizers": [
        steps("sgd", lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.01)),
        steps("sgd_momentum", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
        steps("sgd_nesterov", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)),
        steps("rms_prop", lambda p: torch.optim.RMSprop(p, lr=0.01, weight_decay=0.01)),
        steps("rms_prop_momentum", lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9)),
        steps("adam", lambda p: torch.optim.Adam(p, lr=0.01)),
        steps("adam_decay", lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1)),
        steps("adam_w", lambda p: torch.optim.AdamW(p, lr=0.01)),
    ],
}, sys.stdout)
print()
