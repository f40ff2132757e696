"""Adds and flattens the messages of a round, and makes digests of parameters.

The gradient of a player's parameters is a tuple with one tensor for each parameter.
"""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

from antiphon.transport.memory import Value, vectors


def flat(value: Value) -> Tensor:
    """Return a message as one tensor. A tuple of gradients, one per parameter, becomes one vector."""
    if isinstance(value, Tensor):
        return value
    return torch.cat(vectors(value))


def added(total: Value, term: Value) -> Value:
    """Return the sum of two messages.

    Two tuples are added element by element; a tuple and a tensor are added as vectors.
    """
    if isinstance(total, Tensor) or isinstance(term, Tensor):
        return flat(total) + flat(term)
    return tuple(one + other for one, other in zip(total, term, strict=True))


def digest(parameters: Iterable[Tensor]) -> str:
    """Return a digest of the bytes of all tensors in `parameters`, as 16 hexadecimal digits.

    >>> digest([torch.zeros(2)]) == digest([torch.zeros(2)]) != digest([torch.tensor([0.0, -0.0])])
    True
    """
    found = hashlib.blake2b(digest_size=8)
    for parameter in parameters:
        found.update(parameter.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
