"""Aligned memory that Python writes as bytes and torch reads as a tensor."""

import math

import torch
from torch import Tensor

ALIGNMENT = 64
"""Alignment, in bytes, of every value that a channel returns.

Vector units round in another order at unaligned starts. So kernels give the same bits for every kind of channel.
"""


def aligned(size: int) -> memoryview:
    """A writable buffer of `size` bytes at a multiple of 64. The memory lives as long as its views."""
    raw = bytearray(size + ALIGNMENT)
    start = -torch.frombuffer(raw, dtype=torch.uint8).data_ptr() % ALIGNMENT
    return memoryview(raw)[start : start + size]


def tensor_over(memory: memoryview, dtype: torch.dtype, shape: tuple[int, ...], offset: int = 0) -> Tensor:
    """The tensor in `memory` that begins at byte `offset`. It shares the memory and keeps it alive."""
    count = math.prod(shape)
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(memory, dtype=dtype, count=count, offset=offset).view(shape)
