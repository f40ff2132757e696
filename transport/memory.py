"""Aligned memory that Python writes as bytes and torch reads as a tensor."""

import math

import torch
from torch import Tensor

ALIGNMENT = 64
"""Alignment, in bytes, of every value that a channel returns.

At other addresses, vectorised kernels may round in another order. With this alignment, all channels give equal bits.
"""


def aligned(size: int) -> memoryview:
    """Return a writable buffer of `size` bytes at a multiple of 64. The memory exists as long as a view of it.

    Its content is arbitrary. torch aligns its own memory on the CPU so, and does not fill it with zeros first.
    """
    return torch.empty(size, dtype=torch.uint8).numpy().data


def tensor_over(memory: memoryview, dtype: torch.dtype, shape: tuple[int, ...], offset: int = 0) -> Tensor:
    """Return a tensor over the bytes of `memory` from `offset` on. The tensor shares the memory and keeps it alive."""
    count = math.prod(shape)
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(memory, dtype=dtype, count=count, offset=offset).view(shape)
