"""Fixed functions of messages, for edits of a Response graph."""

import torch
from torch import Tensor

from antiphon.grammars.typed import typed


@typed
def negate(message: Tensor) -> Tensor:
    """Minus the message: the one edit of a generative adversarial network (essay, Grammar 3)."""
    return -message


@typed
def add(first: Tensor, *others: Tensor) -> Tensor:
    """The sum of messages, added from first to last. The fixed order makes rounding the same everywhere."""
    for message in others:
        first = first + message
    return first


@typed
def scale(message: Tensor, factor: float) -> Tensor:
    """The message times a number."""
    return message * factor


@typed
def over_batch(message: Tensor, factor: float = 1.0) -> Tensor:
    """The message times `factor / batch`: an example's contribution to a mean over the batch (the first dimension)."""
    return message * (factor / message.shape[0])


@typed
def fixed_matrix(message: Tensor, matrix: Tensor) -> Tensor:
    """`message @ matrix` with a fixed matrix: (batch, n) times (n, m)."""
    return torch.matmul(message, matrix)
