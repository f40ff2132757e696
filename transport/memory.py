"""Aligned memory that Python writes as bytes and torch reads as a tensor."""

import math

import torch
from torch import Tensor

ALIGNMENT = 64
"""Every value that a channel hands out starts at a multiple of this address, so that kernels take the same path
whichever channel it came by (vector units round in another order on unaligned heads)."""


def aligned(size: int) -> memoryview:
    """A writable buffer of `size` bytes whose address is a multiple of 64; the memory lives as long as its views."""
    raw = bytearray(size + ALIGNMENT)
    start = -torch.frombuffer(raw, dtype=torch.uint8).data_ptr() % ALIGNMENT
    return memoryview(raw)[start : start + size]


def tensor_over(memory: memoryview, dtype: torch.dtype, shape: tuple[int, ...], offset: int = 0) -> Tensor:
    """The tensor that lies in `memory` from `offset` on; it shares the memory and keeps it alive."""
    count = math.prod(shape)
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(memory, dtype=dtype, count=count, offset=offset).view(shape)
