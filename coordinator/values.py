"""The values of a round on a worker. The gradient of a player's parameters is a tuple, with a tensor for each."""

import torch
from torch import Tensor

from antiphon.transport.memory import Value, vectors


def flat(value: Value) -> Tensor:
    """Return a message as one tensor. The gradients of all parameters of a player become one vector."""
    if isinstance(value, Tensor):
        return value
    return torch.cat(vectors(value))


def added(total: Value, term: Value) -> Value:
    """Return the sum of two messages; those with a part for each parameter of a player are added part by part."""
    if isinstance(total, Tensor) or isinstance(term, Tensor):
        return flat(total) + flat(term)
    return tuple(one + other for one, other in zip(total, term, strict=True))
