"""PyTorch's side: its own layers where it has them, else the cell written by hand, eager or scripted, whichever is
faster here. Speaks the protocol of bench/peer.h."""

import statistics
import sys
import time
from typing import List

try:
    import torch
    from torch import Tensor, nn
except ImportError:
    sys.exit(0)  # silence is how a peer says that it lacks what it needs

LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
CELLS = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}


def weight(*shape: int) -> nn.Parameter:
    k = shape[-2] ** -0.5 if len(shape) > 1 else 0.1
    return nn.Parameter(torch.empty(*shape).uniform_(-k, k))


class Mgu(nn.Module):
    def __init__(self, inputs: int, hidden: int):
        super().__init__()
        self.w, self.b = weight(inputs, 2 * hidden), weight(2 * hidden)
        self.uf, self.ug = weight(hidden, hidden), weight(hidden, hidden)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> Tensor:
        outputs: List[Tensor] = []
        for z in torch.addmm(self.b, x.flatten(0, 1), self.w).view(x.size(0), x.size(1), -1).unbind(0):
            xf, xg = z.chunk(2, 1)
            f = torch.sigmoid(torch.addmm(xf, h, self.uf))
            g = torch.tanh(torch.addmm(xg, f * h, self.ug))
            h = h + f * (g - h)
            outputs.append(h)
        return torch.stack(outputs)


class Peephole(nn.Module):
    def __init__(self, inputs: int, hidden: int):
        super().__init__()
        self.w, self.u, self.b = weight(inputs, 4 * hidden), weight(hidden, 4 * hidden), weight(4 * hidden)
        self.pi, self.pf, self.po = weight(hidden), weight(hidden), weight(hidden)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> Tensor:
        outputs: List[Tensor] = []
        for z in torch.addmm(self.b, x.flatten(0, 1), self.w).view(x.size(0), x.size(1), -1).unbind(0):
            i, f, g, o = torch.addmm(z, h, self.u).chunk(4, 1)
            c = torch.sigmoid(f + self.pf * c) * c + torch.sigmoid(i + self.pi * c) * torch.tanh(g)
            h = torch.sigmoid(o + self.po * c) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs)


class LayerNormLstm(nn.Module):
    def __init__(self, inputs: int, hidden: int):
        super().__init__()
        self.w, self.u = weight(inputs, 4 * hidden), weight(hidden, 4 * hidden)
        self.from_input, self.from_state, self.of_cell = nn.LayerNorm(4 * hidden), nn.LayerNorm(4 * hidden), nn.LayerNorm(hidden)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> Tensor:
        outputs: List[Tensor] = []
        for z in self.from_input(torch.mm(x.flatten(0, 1), self.w)).view(x.size(0), x.size(1), -1).unbind(0):
            i, f, g, o = (z + self.from_state(torch.mm(h, self.u))).chunk(4, 1)
            c = self.of_cell(torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g))
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs)


BY_HAND = {"mgu": Mgu, "peephole": Peephole, "lnlstm": LayerNormLstm}


class Layer(nn.Module):
    def __init__(self, cell: str, inputs: int, hidden: int):
        super().__init__()
        self.layer, self.has_cell_state = LAYERS[cell](inputs, hidden), cell == "lstm"

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> Tensor:
        return self.layer(x, (h[None], c[None]) if self.has_cell_state else h[None])[0]


def training_step(model: nn.Module, batch: int, steps: int, size: int):
    x = torch.randn(steps, batch, size, requires_grad=True)
    h, c = torch.zeros(batch, size, requires_grad=True), torch.zeros(batch, size, requires_grad=True)
    cotangent = torch.randn(steps, batch, size) / (batch * steps)
    leaves = [x, h, c, *model.parameters()]

    def step():
        model(x, h, c).backward(cotangent)
        for leaf in leaves:
            leaf.grad = None

    return step


def inference(cell: str, batch: int, steps: int, size: int):
    layer = LAYERS[cell](size, size).eval()
    x = torch.randn(steps, batch, size)

    def run():
        with torch.inference_mode():
            layer(x)

    return run


def streaming(cell: str, size: int):
    """One step: the faster of the cell and the layer of one step."""
    one, layer, x = CELLS[cell](size, size).eval(), LAYERS[cell](size, size).eval(), torch.randn(1, 1, size)
    states = {"cell": None, "layer": None}

    def by_cell():
        with torch.inference_mode():
            states["cell"] = one(x[0], states["cell"])

    def by_layer():
        with torch.inference_mode():
            states["layer"] = layer(x, states["layer"])[1]

    return faster([(by_cell, 3), (by_layer, 3)])


def timed(solve, calls: int) -> float:
    """Milliseconds for each call."""
    begin = time.perf_counter()
    for _ in range(calls):
        solve()
    return (time.perf_counter() - begin) * 1e3 / calls


def faster(ways):
    """Of (function, calls to warm it up)."""
    best = []
    for solve, warm in ways:
        timed(solve, warm)
        best.append((statistics.median(timed(solve, 1) for _ in range(3)), len(best), solve))
    return min(best)[2]


def prepare(task: str, cell: str, batch: int, steps: int, size: int):
    torch.manual_seed(1)
    if task == "train" and cell in LAYERS:
        return training_step(Layer(cell, size, size), batch, steps, size)
    if task == "train" and cell in BY_HAND:
        eager, scripted = BY_HAND[cell](size, size), torch.jit.script(BY_HAND[cell](size, size))
        # Scripts are recompiled for what their first calls have shown.
        return faster([(training_step(eager, batch, steps, size), 2), (training_step(scripted, batch, steps, size), 4)])
    if task == "infer" and cell in LAYERS:
        return inference(cell, batch, steps, size)
    if task == "stream" and cell in LAYERS and steps == 1:
        return streaming(cell, size)
    return None


def serve():
    torch.set_flush_denormal(True)
    print("ready", flush=True)
    solve = None
    for line in sys.stdin:
        verb, *words = line.split()
        if verb == "prepare":
            task, cell, *sizes, threads = words
            torch.set_num_threads(int(threads))
            solve = prepare(task, cell, *map(int, sizes))
            print("ok" if solve else "no", flush=True)
        else:
            print(timed(solve, int(words[0])), flush=True)


serve()
