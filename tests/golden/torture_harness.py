"""How a corner case is written down, and PyTorch's answer to it.

A case is an expression, or statements that leave their result in y, of named inputs. What is differentiated is sum(y), or
sum(y * cotangent). `orders` asks for derivatives of the derivative summed, with respect to the first input. Where we
deviate on purpose, a case has a name of its own, and tests/torture_conventions.h says what our answer is.
"""
import ast
import math
import warnings

import torch
import torch.nn.functional as F
import torch.utils.checkpoint

warnings.filterwarnings("ignore")
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
nan, inf = math.nan, math.inf
cases = []
counts = {}
group = ""


def begin(name):
    """The group of the cases that follow."""
    global group
    group = name


def case(expr, *values, orders=(), cotangent=None, policy="exact", tol=1e-11, name=None, **inputs):
    """Positional inputs are x, y0, z in this order."""
    inputs = {**dict(zip(("x", "y0", "z"), values)), **inputs}
    counts[group] = counts.get(group, 0) + 1
    cases.append(dict(id=name or f"{group}{counts[group]:03}", expr=expr, inputs=inputs, orders=orders,
                      cotangent=cotangent, policy=policy, tol=tol))


def run(expr, inputs):
    names = {"torch": torch, "F": F, "math": math, "nan": nan, "inf": inf, **inputs}
    tree = ast.parse(expr)
    if len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr):
        return eval(expr, names)
    exec(expr, names)
    return names["y"]


def numbers(t):
    if isinstance(t, torch.Tensor):
        t = torch.zeros(t.shape) if t._is_zerotensor() else t.detach()
        t = t.tolist()
    if isinstance(t, (list, tuple)):
        return [numbers(i) for i in t]
    t = float(t)
    if math.isnan(t):
        return "nan"
    if math.isinf(t):
        return "inf" if t > 0 else "-inf"
    short = float(f"{t:.14g}")
    return int(short) if short == int(short) and abs(short) < 1e15 and math.copysign(1, short) > 0 else short


def answer(c):
    leaves = {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in c["inputs"].items()}
    out = {"id": c["id"], "title": c["expr"].split("\n")[0], "expr": c["expr"], "inputs": numbers_of(c["inputs"]),
           "policy": c["policy"], "tol": c["tol"]}
    y = run(c["expr"], leaves)
    out["value"] = numbers(y)
    weight = torch.tensor(c["cotangent"], dtype=torch.float64) if c["cotangent"] is not None else None
    if weight is not None:
        out["cotangent"] = numbers(weight)
    loss = (y * weight).sum() if weight is not None else y.sum()
    grads = [None] * len(leaves)
    if loss.requires_grad:
        grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, create_graph=bool(c["orders"]))
    out["grad"] = {k: "no-dependency (zero)" if g is None else numbers(g) for k, g in zip(leaves, grads)}
    first, g, higher = next(iter(leaves.values())), grads[0], []
    for order in range(2, 1 + max(c["orders"], default=0)):
        if g is not None and g.requires_grad:
            g = torch.autograd.grad(g.sum(), first, create_graph=True, allow_unused=True)[0]
        else:
            g = None
        if order in c["orders"]:
            higher.append({"order": order, "value": numbers(torch.zeros_like(first) if g is None else g)})
    if higher:
        out["higher"] = higher
    return out


def numbers_of(inputs):
    return {k: numbers(v) for k, v in inputs.items()}
