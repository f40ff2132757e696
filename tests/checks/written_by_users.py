"""Modules and operators as users write them in float32, each of which plays: what a check has to be able to measure."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

WIDTH = 6


class Simple(nn.Module):
    """A linear layer whose output passes `bend`, as a subclass has it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(WIDTH, WIDTH)
        self.make()

    def make(self) -> None:
        """What else it holds."""

    def bend(self, h: Tensor) -> Tensor:
        """(batch, WIDTH) -> (batch, WIDTH)."""
        return h

    def forward(self, x: Tensor) -> Tensor:
        """(batch, WIDTH) -> (batch, WIDTH)."""
        return self.bend(torch.tanh(self.inner(x)))


class Zeros(Simple):
    """Makes a tensor without a dtype."""

    def bend(self, h: Tensor) -> Tensor:
        return torch.cat([h, torch.zeros(len(h), WIDTH)], 1)[:, :WIDTH] @ torch.eye(WIDTH)


class Asked(Simple):
    """Names its dtype, in every way that torch has."""

    def bend(self, h: Tensor) -> Tensor:
        twice = h.to(torch.float32) + h.float() + h.to(dtype=torch.float32) + h.type(torch.float32)
        other = h.to(torch.ones(1)) + h.type_as(torch.ones(1)) + h.to("cpu", torch.float32)
        return (twice + other) @ torch.full((WIDTH, WIDTH), 0.1, dtype=torch.float32) + h.new_ones(
            1, dtype=torch.float32
        )


class Half(Simple):
    """Rounds to half precision on the way."""

    def bend(self, h: Tensor) -> Tensor:
        return h.half().float() * 2 + h.bfloat16().float()


class PlaysHalf(Simple):
    """Its output is declared in half precision."""

    def bend(self, h: Tensor) -> Tensor:
        return h.bfloat16()


class Autocasts(nn.Module):
    """A matrix product in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return self.inner(x).float()


class Numpy(Simple):
    """A constant that numpy made."""

    def make(self) -> None:
        self.table = np.linspace(0, 1, WIDTH * WIDTH, dtype=np.float32).reshape(WIDTH, WIDTH)

    def bend(self, h: Tensor) -> Tensor:
        return h @ torch.from_numpy(self.table) + torch.as_tensor(self.table[0]) * torch.tensor([0.5, 0.25])[0]


class Complex(nn.Module):
    """Complex parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.randn(WIDTH // 2 + 1, dtype=torch.cfloat))

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(x) * self.filter.to(torch.complex64), n=WIDTH)


class Rotation(nn.Module):
    """Complex numbers in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, WIDTH, dtype=torch.cfloat))

    def forward(self, x: Tensor) -> Tensor:
        return x.to(torch.cfloat) @ self.weight


class Modulus(Rotation):
    """Complex numbers in, real ones out."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).abs()


class Tied(nn.Module):
    """One module used twice, under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(WIDTH, WIDTH)
        self.two = self.one

    def forward(self, x: Tensor) -> Tensor:
        return self.two(torch.tanh(self.one(x)))


class TiedWeight(nn.Module):
    """One parameter of two modules, as of an embedding and its decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.two(torch.tanh(self.one(x)))


class NotSaved(Simple):
    """A buffer that state_dict leaves out."""

    def make(self) -> None:
        self.mask: Tensor
        self.register_buffer("mask", torch.rand(WIDTH), persistent=False)

    def bend(self, h: Tensor) -> Tensor:
        return h * self.mask


class Extra(Simple):
    """State that only get_extra_state knows, and that each query changes."""

    def make(self) -> None:
        self.asked = 1

    def get_extra_state(self) -> Any:
        return self.asked

    def set_extra_state(self, state: Any) -> None:
        self.asked = state

    def bend(self, h: Tensor) -> Tensor:
        self.asked += 1
        return h * self.asked


class PlainAttribute(Simple):
    """Tensors that are no buffers, of which one changes."""

    def make(self) -> None:
        self.table, self.mean, self.first = torch.rand(WIDTH, WIDTH), torch.zeros(WIDTH), torch.zeros(2)

    def bend(self, h: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * h.detach().mean(0)
        self.first[0] = self.mean[0]
        self.shown = h
        return (h - self.mean) @ self.table + self.first[0]


class InPlace(Simple):
    """A buffer that each query changes in place."""

    def make(self) -> None:
        self.seen: Tensor
        self.count: Tensor
        self.register_buffer("seen", torch.zeros(WIDTH))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def bend(self, h: Tensor) -> Tensor:
        self.seen.mul_(0.9).add_(h.detach().mean(0))
        self.count += 1
        return h * self.seen.clone() + self.count


class SharedBuffer(nn.Module):
    """One buffer of two modules, which one of them changes."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = InPlace(), NotSaved()
        self.two.mask = self.one.seen

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x))


class Masked(Simple):
    """A mask of booleans, and what is nothing."""

    def bend(self, h: Tensor) -> Tensor:
        return h.masked_fill(h < 0, 0.0) + torch.where(h > 0.5, h, torch.tensor(0.5)) * (h > 0)


class Adds(Simple):
    """Writes into tensors that it made itself."""

    def bend(self, h: Tensor) -> Tensor:
        out = torch.zeros(len(h), WIDTH)
        out[:, :3] = h[:, :3]
        out.scatter_add_(1, torch.full((len(h), 1), 4), h[:, :1])
        return out + torch.empty_like(h, dtype=torch.float32).fill_(0.5)


class Watched(Simple):
    """A state that a hook writes, and tensors made by torch.Tensor itself."""

    def bend(self, h: Tensor) -> Tensor:
        return h * torch.Tensor([0.5]) + torch.FloatTensor([1.0])


class HalfOfIt(torch.autograd.Function):
    """Half of a value, whose derivative is written by hand and names a dtype."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.float() / 2

    @staticmethod
    def backward(ctx: Any, told: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return told.to(torch.float32) * torch.full((), 0.5)


class ByHand(Simple):
    """A function with a derivative of its own."""

    def bend(self, h: Tensor) -> Tensor:
        return HalfOfIt.apply(h)


class Scripted(Simple):
    """Compiled by TorchScript."""

    def make(self) -> None:
        self.scripted = torch.jit.script(_scripted)

    def bend(self, h: Tensor) -> Tensor:
        return self.scripted(h)


def _scripted(h: Tensor) -> Tensor:
    return h.to(torch.float32) @ torch.ones(6, 6)


class Recurrent(nn.Module):
    """A recurrent network over the features."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.GRU(1, WIDTH, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.unsqueeze(2), torch.zeros(1, len(x), WIDTH))[0][:, -1]


class Attention(nn.Module):
    """A transformer's layer, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.TransformerEncoderLayer(WIDTH, 2, 8, dropout=0.3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.unsqueeze(1)).squeeze(1)


class Norms(nn.Module):
    """Batch norm, whose statistics are buffers, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Checkpointed(Simple):
    """Computed again in the backward pass."""

    def bend(self, h: Tensor) -> Tensor:
        from torch.utils.checkpoint import checkpoint

        return checkpoint(lambda value: torch.sin(value.float()) @ torch.eye(WIDTH), h, use_reentrant=False)


class Penalised(Simple):
    """Asks for a gradient while it plays."""

    def bend(self, h: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad(torch.sin(h.float()).sum(), h, create_graph=True)
        return h + slope * torch.ones(1)


class Distribution(Simple):
    """Draws from a distribution of its output."""

    def bend(self, h: Tensor) -> Tensor:
        return torch.distributions.Normal(h, torch.ones(WIDTH)).rsample() + torch.randn(WIDTH)


class Parametrized(Simple):
    """A weight that is normalised at each use."""

    def make(self) -> None:
        nn.utils.parametrizations.weight_norm(self.inner)


class Spectral(Simple):
    """A weight of norm 1, found by iterations whose vectors are buffers."""

    def make(self) -> None:
        nn.utils.parametrizations.spectral_norm(self.inner)


class HalfParameters(nn.Module):
    """Parameters in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(WIDTH, WIDTH, dtype=torch.bfloat16)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.bfloat16()).float()


class Particular(Simple):
    """Insists on float32: what can be measured there only."""

    def bend(self, h: Tensor) -> Tensor:
        if h.dtype != torch.float32:
            raise TypeError(f"float32 only, not {h.dtype}")
        return h * 2


class Bits(Simple):
    """Reads the bits of a number: a function of float32 alone."""

    def bend(self, h: Tensor) -> Tensor:
        return h * (1 + (h.detach().view(torch.int32) % 2).float())


class Embedded(nn.Module):
    """Integers in, an embedding whose gradient is sparse."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.out = nn.Embedding(9, WIDTH, sparse=True), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.inner(x).tanh())


class Frozen(Simple):
    """A part that never learns."""

    def make(self) -> None:
        self.fixed = nn.Linear(WIDTH, WIDTH).requires_grad_(False)

    def bend(self, h: Tensor) -> Tensor:
        return self.fixed(h)


PROMOTED = (
    Zeros, Asked, Half, PlaysHalf, Autocasts, Numpy, Complex, Tied, TiedWeight, NotSaved, Extra,
    PlainAttribute, InPlace, SharedBuffer, Masked, Adds, Watched, ByHand, Scripted, Recurrent, Attention, Norms,
    Checkpointed, Penalised, Distribution, Parametrized, Spectral, HalfParameters, Frozen,
)  # fmt: skip
"""Modules (batch, WIDTH) -> (batch, WIDTH) that can be measured in float64."""

SINGLE = (Particular, Bits)
"""Those that are functions of float32 only."""
