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
    """The sum of messages, added from first to last, so that rounding is the same everywhere."""
    for message in others:
        first = first + message
    return first


@typed
def scale(message: Tensor, factor: float) -> Tensor:
    """The message times a number."""
    return message * factor


@typed
def over_batch(message: Tensor, factor: float = 1.0) -> Tensor:
    """The message times `factor / batch`: what one example contributes to a mean over the batch (first dimension)."""
    return message * (factor / message.shape[0])


@typed
def fixed_matrix(message: Tensor, matrix: Tensor) -> Tensor:
    """`message @ matrix`, the matrix fixed: shape (batch, n) times (n, m)."""
    return torch.matmul(message, matrix)
