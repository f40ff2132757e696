"""The product of a linear layer, by the faster one of the two libraries that torch has for it on a CPU."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

LARGE = 1 << 21
"""Number of multiplications from which oneDNN is used. oneDNN takes about 10 microseconds more than MKL to begin."""

_onednn: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)  # Any: torch makes its operations at run time
"""oneDNN's product of dense float32 matrices: what torch's compiler calls for a linear layer. None without oneDNN."""


def affine(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the output of a linear layer, x W^t + b, contiguous. Shapes: (n, k), (m, k), (m,) -> (n, m).

    Call this only where autograd records nothing (`large_products.py` serves modules that it records).
    torch's own `linear` always calls MKL for float32, which uses half of the vector unit of an AMD processor. oneDNN
    uses all of it, and then large products take half the time. Both compute in float32, but add in different orders.
    The choice depends on the sizes alone (and on the switch `torch.backends.mkldnn`), so all executors choose alike.
    """
    if x.shape[0] * weight.numel() < LARGE or not has_onednn(x):
        return linear(x, weight, bias)
    return _onednn(x, weight, bias, "none", [], "")


def times(x: Tensor, y: Tensor) -> Tensor:
    """Return the matrix product x y: (n, k), (k, m) -> (n, m). Large float32 products on a CPU use oneDNN."""
    return torch.mm(x, y) if x.shape[0] * y.numel() < LARGE else affine(x, y.t())


def has_onednn(x: Tensor) -> bool:
    """Whether torch computes products of `x` with oneDNN if asked: float32, on a CPU, and not switched off."""
    able = _onednn is not None and x.dtype is torch.float32 and x.device.type == "cpu"
    return able and torch.backends.mkldnn.is_available() and bool(torch.backends.mkldnn.enabled)
