"""Aligned memory that Python writes as bytes and torch reads as a tensor."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

Value: TypeAlias = Tensor | tuple[Tensor, ...]
"""A value to send: one tensor, or several that travel as one vector."""

ALIGNMENT = 64
"""Alignment, in bytes, of every value that a channel returns.

At other addresses, vectorised kernels may round in another order. With this alignment, all channels give equal bits.
"""


def aligned(size: int) -> memoryview:
    """Return a writable buffer of `size` bytes at a multiple of 64. The memory exists as long as a view of it.

    Its content is arbitrary. torch aligns all CPU memory in this way, and does not fill it with zeros first.
    """
    return torch.empty(size, dtype=torch.uint8).numpy().data


def tensor_over(memory: memoryview, dtype: torch.dtype, shape: tuple[int, ...], offset: int = 0) -> Tensor:
    """Return a tensor over the bytes of `memory` from `offset` on. The tensor shares the memory and keeps it alive."""
    count = math.prod(shape)
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(memory, dtype=dtype, count=count, offset=offset).view(shape)


def type_of(value: Value) -> tuple[torch.dtype | None, tuple[int, ...]]:
    """Return dtype and shape of a value as it is sent. Several tensors are sent as one vector of all their elements.

    The dtype is None if the tensors have different dtypes.
    """
    if isinstance(value, Tensor):
        return value.dtype, value.shape
    dtypes = {each.dtype for each in value}
    return dtypes.pop() if len(dtypes) == 1 else None, (sum(each.numel() for each in value),)


def vectors(value: Sequence[Tensor]) -> list[Tensor]:
    """Return each tensor as a dense vector; a view where possible."""
    return [(each.to_dense() if each.is_sparse else each).reshape(-1) for each in value]


def write(target: Tensor, value: Value) -> None:
    """Copy a value into `target`. If the value is several tensors, they are written one after the other."""
    if isinstance(value, Tensor):
        target.copy_(value.detach() if value.requires_grad else value)
    else:
        with torch.no_grad():
            torch.cat(vectors(value), out=target)
